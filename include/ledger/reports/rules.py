"""What each rule did, and the facts of closings for a simulation."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from include.interactions.closing_facts import ClosingFacts, facts_from_text
from include.interactions.states import State
from include.ledger import facts
from include.ledger.schema import interaction, state_is

SIMULATION = "simulation"
"""The ledger's fact: the result of the last simulation."""
MAX_CLOSINGS = 200_000
"""So many closings at most are simulated, the latest of the span."""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """What one rule did with the closings of a span."""

    name: str
    closings: int
    surveys: int
    """Sent, with a survey."""
    counted: int
    """Sent, without a survey."""
    skipped: int
    waiting: int


def report(connection: Connection, since: datetime) -> list[RuleReport]:
    """Return every rule that decided about a closing since then, the busiest first."""
    sent = state_is(State.SENT)
    quiet = interaction.c.sent_do_not_send.is_(True)
    rows = connection.execute(
        select(
            interaction.c.rule,
            func.count(),
            func.count().filter(sent & ~quiet),
            func.count().filter(sent & quiet),
            func.count().filter(state_is(State.SKIPPED)),
            func.count().filter(state_is(State.PLANNED, State.CLAIMED)),
        )
        .where(interaction.c.rule.is_not(None), interaction.c.closed_at >= since)
        .group_by(interaction.c.rule)
        .order_by(func.count().desc(), interaction.c.rule)
    )
    return [RuleReport(*row) for row in rows]


def last_simulation(connection: Connection) -> Mapping[str, Any] | None:
    """Return the result of the last simulation; None if there was none."""
    fact = facts.read(connection, SIMULATION)
    return json.loads(fact.value) if fact else None


def closings_to_simulate(connection: Connection, since: datetime) -> Iterator[ClosingFacts | None]:
    """Give the facts of the closings since then; None for one of which the ledger has none (any more)."""
    wanted = (
        select(
            interaction.c.conversation_id,
            interaction.c.closed_at,
            interaction.c.facts,
            interaction.c.agent_id,
            interaction.c.agent_email,
            interaction.c.agent_name,
        )
        .where(interaction.c.closed_at >= since)
        .order_by(interaction.c.closed_at.desc())
        .limit(MAX_CLOSINGS)
    )
    for rows in connection.execution_options(yield_per=5000).execute(wanted).partitions():
        for conversation_id, closed_at, kept, *agent in rows:
            if kept is None:
                yield None
            else:
                known = tuple(text for text in agent if text)
                yield facts_from_text(kept, conversation_id=conversation_id, closed_at=closed_at, agent=known)
