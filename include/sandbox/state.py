"""The memory of a running sandbox, shared by both apps; both run in one event loop, so nothing is locked."""

from collections import Counter
from dataclasses import dataclass

from include.sandbox.faults import Faults
from include.sandbox.kustomer.written import Written
from include.sandbox.limits import Budget
from include.sandbox.model import Json, Organisation
from include.sandbox.options import (
    EXPIRED_KUSTOMER_KEY,
    KUSTOMER_KEY,
    LIST_ROLES,
    OTHER_KUSTOMER_KEY,
    RULES_KUSTOMER_KEY,
    WRITE_ROLES,
    WRITING_KUSTOMER_KEY,
    Options,
)
from include.sandbox.stella_connect.data_return import DataReturn


@dataclass(slots=True)
class Received:
    """A feedback request that Stella Connect accepted. `received_at` in epoch seconds."""

    received_at: float
    request: Json
    duplicate: bool
    """Its `ext_interaction_id` had been received before."""
    delivery_status: str


@dataclass(slots=True)
class Refused:
    """A feedback request that Stella Connect refused."""

    received_at: float
    status: int
    name: str
    """The vendor's name of the error."""
    ext_interaction_id: str | None


class State:
    """Organisation, settings, faults, and everything that was received."""

    def __init__(self, organisation: Organisation, options: Options) -> None:
        self.organisation = organisation
        self.other_organisation = Organisation(0, "5f0000000000000000000009", "Bramble Works", "bramble")
        """What `OTHER_KUSTOMER_KEY` opens."""
        self.options = options
        self.faults = Faults()
        self.received: list[Received] = []
        self.recoveries: list[Received] = []
        """Service recoveries that were accepted."""
        self.refused: list[Refused] = []
        self.by_interaction: Counter[str] = Counter()
        self.last_survey: dict[str, float] = {}
        """Customer's address -> when a survey last went out, epoch seconds."""
        self.calls: Counter[str] = Counter()
        self.stopping = False
        self.version = 0
        """Grows with each change of a conversation or customer: what was computed before is stale then."""
        self.kustomer_tokens: dict[str, tuple[str, ...] | None] = {
            KUSTOMER_KEY: options.kustomer_roles,
            RULES_KUSTOMER_KEY: (*options.kustomer_roles, *LIST_ROLES),
            WRITING_KUSTOMER_KEY: (*options.kustomer_roles, *WRITE_ROLES),
            OTHER_KUSTOMER_KEY: options.kustomer_roles,
            EXPIRED_KUSTOMER_KEY: None,
        }
        """Key -> roles; None is an expired key."""
        window = options.limit_window_seconds
        self.org_budget = Budget(options.org_per_minute, window)
        self.search_budgets: dict[str, Budget] = {}
        self.data_budget = Budget(options.data_per_minute, window)
        self.written = Written()
        self.data_return = DataReturn(organisation, options)

    def search_budget(self, key: str) -> Budget:
        """Return the search budget of one key."""
        budget = self.search_budgets.get(key)
        if budget is None:
            budget = Budget(self.options.search_per_minute, self.options.limit_window_seconds)
            self.search_budgets[key] = budget
        return budget

    @property
    def duplicates(self) -> int:
        """How many accepted requests repeated an `ext_interaction_id`."""
        return len(self.received) - len(self.by_interaction)

    def counts(self) -> dict[str, int]:
        """Return what people ask first."""
        return {
            "accepted": len(self.received),
            "refused": len(self.refused),
            "duplicates": self.duplicates,
            "do_not_send": sum(1 for received in self.received if received.request.get("do_not_send") is True),
            "recoveries": len(self.recoveries),
        }
