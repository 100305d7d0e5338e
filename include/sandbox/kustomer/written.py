"""What was written at Kustomer."""

from dataclasses import dataclass, field

from include.sandbox.limits import Budget
from include.sandbox.model import Json


@dataclass(slots=True)
class Note:
    """A note of a conversation. Time in ms."""

    id: str
    body: str
    created_at: int
    external_id: str | None = None
    mentions: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class Bulk:
    """An asynchronous job: what it will change, and what became of each item."""

    id: str
    items: list[Json]
    results: list[Json] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every item has a result."""
        return len(self.results) == len(self.items)


@dataclass(slots=True)
class Written:
    """Everything that was written at Kustomer."""

    notes: dict[str, list[Note]] = field(default_factory=dict)
    """By conversation."""
    objects: dict[str, list[Json]] = field(default_factory=dict)
    """Custom objects by class, as records."""
    bulks: list[Bulk] = field(default_factory=list)
    updates: dict[str, int] = field(default_factory=dict)
    """How often each conversation was updated."""
    budgets: dict[tuple[str, str], Budget] = field(default_factory=dict)
    """By what is created, and the customer."""
