"""The customer and the agent of an interaction, and whether the ledger has forgotten them."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from include.interactions.states import Reason
from include.ledger.schema import interaction

_NEVER_ADDRESSED = frozenset(
    {
        Reason.MERGED,
        Reason.NO_AGENT_ASSIGNED,
        Reason.AGENT_WITHOUT_EMAIL,
        Reason.NO_CUSTOMER_EMAIL,
        Reason.INVALID_CUSTOMER_EMAIL,
        Reason.MALFORMED_RECORD,
    }
)
"""Skipped at extraction, which then keeps of the customer no more than the id."""
_PERHAPS_NOBODY = frozenset({Reason.MERGED, Reason.NO_AGENT_ASSIGNED, Reason.MALFORMED_RECORD})
"""Of these, what is kept without an agent."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Personal data: every field but `erased`.

    A customer whom the ledger has forgotten has `erased` set and nothing else. Without `erased`, a missing field
    was never known: extraction keeps name and address only of what it plans. Where not even the id is left of a
    closing that had neither customer nor agent to be kept, nobody can tell any more; it does not count as erased.
    """

    id: str | None = field(repr=False)
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    erased: bool


@dataclass(frozen=True, slots=True)
class Agent:
    """Personal data: name and address (the id says nothing outside Kustomer).

    Retention forgets agents too; then `erased` is set and nothing else. Without it, nothing set means that nobody
    was assigned.
    """

    id: str | None
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    erased: bool = False


FORGOTTEN = Agent(None, None, None, erased=True)


def customer_of(row: Any) -> Customer:
    """The customer of a row of the table `interaction`."""
    if row.reason not in _NEVER_ADDRESSED:
        erased = row.customer_email is None
    else:
        by_hand = (row.detail or "").startswith("personal data erased")
        by_retention = row.reason not in _PERHAPS_NOBODY and row.agent_id is None
        erased = row.customer_id is None and (by_hand or by_retention)
    return Customer(row.customer_id, row.customer_name, row.customer_email, erased)


def agent_of(row: Any) -> Agent:
    """The agent of a row of the table `interaction`."""
    erased = row.agent_id is None and row.reason not in _PERHAPS_NOBODY
    return Agent(row.agent_id, row.agent_name, row.agent_email, erased)


def known(connection: Connection) -> list[Agent]:
    """Every agent whom the ledger remembers, by name; name and address as in the agent's latest closing."""
    row = interaction.c
    # From one id to the next along the index: as many steps as there are agents, however many closings.
    first = select(func.min(row.agent_id).label("id")).cte("each", recursive=True)
    following = select(func.min(row.agent_id)).where(row.agent_id > first.c.id).scalar_subquery()
    each = first.union_all(select(following).where(first.c.id.is_not(None)))
    latest = select(row.id).where(row.agent_id == each.c.id).order_by(row.closed_at.desc()).limit(1)
    rows = connection.execute(
        select(row.agent_id, row.agent_name, row.agent_email)
        .select_from(each)
        .join(interaction, row.id == latest.scalar_subquery())
    )
    agents = [Agent(*one) for one in rows]
    return sorted(agents, key=lambda agent: ((agent.name or agent.email or "").casefold(), agent.id))
