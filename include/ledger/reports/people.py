"""The customer and the agent of an interaction, and whether the ledger has forgotten them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, ScalarSelect, Select, select

from include.interactions.reasons import Reason
from include.ledger.reports.distinct import each_value
from include.ledger.schema import interaction, interaction_event


@dataclass(frozen=True, slots=True)
class Customer:
    """Personal data: every field but `erased`.

    An erased customer has only `erased` set. Without `erased`, a missing field was never known: extraction keeps
    name and address only for planned interactions.
    """

    id: str | None = field(repr=False)
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    erased: bool


@dataclass(frozen=True, slots=True)
class Agent:
    """Personal data: name and address (the id says nothing outside Kustomer).

    Retention erases agents too; then only `erased` is set. If no field is set, no agent was assigned.
    """

    id: str | None
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    erased: bool = False


FORGOTTEN = Agent(None, None, None, erased=True)


def erased_in(connection: Connection, interaction_ids: Sequence[int]) -> frozenset[int]:
    """Return those of these rows whose history says that the customer's data were erased."""
    event = interaction_event.c
    noted = connection.execute(
        select(event.interaction_id).where(event.interaction_id.in_(interaction_ids), event.reason == Reason.ERASED)
    )
    return frozenset(noted.scalars())


def customer_of(row: Any, erased: bool) -> Customer:
    """Return the customer of a row of `interaction`; `erased`: the history says so."""
    kept = row.reason is None or Reason(row.reason).keeps_customer
    gone = row.customer_email is None and (kept or (erased and row.customer_id is None))
    return Customer(row.customer_id, row.customer_name, row.customer_email, gone)


def agent_of(row: Any) -> Agent:
    """Return the agent of a row of `interaction`."""
    erased = row.agent_id is None and (row.reason is None or Reason(row.reason).keeps_agent)
    return Agent(row.agent_id, row.agent_name, row.agent_email, erased)


def list_agents(connection: Connection) -> list[Agent]:
    """List every known agent by name, with name and address from the latest closing."""
    agents = [Agent(*row) for row in connection.execute(_KNOWN)]
    return sorted(agents, key=lambda agent: ((agent.name or agent.email or "").casefold(), agent.id))


def latest_of(agents: CTE, *conditions: ColumnElement[bool], row: Any) -> ScalarSelect[int]:
    """Return the row id of each agent's latest closing that meets the conditions, which refer to `row`."""
    return (
        select(row.c.id)
        .where(row.c.agent_id == agents.c.value, *conditions)
        .order_by(row.c.closed_at.desc(), row.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _known() -> Select[Any]:
    agents = each_value(interaction.c.agent_id)
    latest = latest_of(agents, row=interaction.alias("own"))
    row = interaction.c
    return (
        select(row.agent_id, row.agent_name, row.agent_email)
        .select_from(agents)
        .join(interaction, row.id == latest)
    )


_KNOWN = _known()
