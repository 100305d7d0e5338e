"""The customer and the agent of an interaction, and whether the ledger has forgotten them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Customer:
    """Personal data: every field but `erased`.

    A customer whom the ledger has forgotten has `erased` set and nothing else. Without `erased`, a missing field
    was never known: extraction keeps name and address only of what it plans.
    """

    id: str | None = field(repr=False)
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    erased: bool


@dataclass(frozen=True, slots=True)
class Agent:
    """Personal data: name and address (the id says nothing outside Kustomer).

    Retention forgets agents too, in `erased` ones every other field is None; so it is where nobody was assigned.
    """

    id: str | None
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    erased: bool = False
