"""Plan interactions again that ended without a survey and were not taken by Stella Connect."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, or_, select, update

from include.interactions.actor import Actor
from include.interactions.cap import customer_key
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.by_hand import spellings
from include.ledger.customer_keys import read_secret
from include.ledger.erasure import ErasingStore
from include.ledger.maintenance import restoring
from include.ledger.schema import has_later_closing, interaction, interaction_event, state_is, survey_response
from include.ledger.transition import Transition

ENDED = (State.SKIPPED, State.CANCELLED, State.REJECTED)
"""Never among them: `sent` and `unknown`, which may have been taken. A `rejected` one got a definite 4xx."""
_JUDGED = (
    *("due_at", "customer_id", "customer_name", "customer_email", "agent_id", "agent_email", "agent_name", "tags"),
    *("do_not_send", "first_due_at", "rule", "survey", "channel", "brand", "language", "country"),
    *("custom_properties", "time_zone", "facts"),
)
"""Columns that take the newly judged interaction's value; each is named like its field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedFilter:
    """Which ended interactions are meant; None: any."""

    closed_from: datetime
    closed_until: datetime | None = None
    state: State | None = None
    reason: Reason | None = None
    """Interactions that a person cancelled (`by_hand`) are only meant if this names the reason."""
    detail: str | None = None
    """Text within the detail."""
    agent_email: str | None = None


class Ended(NamedTuple):
    """A closing whose interaction ended, and why."""

    conversation_id: str
    closed_at: datetime
    why: str
    """Its reason, or `rejected`."""


class PlanningAgainStore(ErasingStore):
    """Finds ended interactions and plans them again."""

    def list_ended(self, chosen: EndedFilter, limit: int) -> list[Ended]:
        """List the interactions that may be planned again, oldest closing first."""
        row = interaction.c
        with self._reader.begin() as connection:
            found = connection.execute(
                select(row.conversation_id, row.closed_at, row.state, row.reason)
                .where(_may_return(), *_conditions(connection, chosen))
                .order_by(row.closed_at, row.id)
                .limit(limit)
            ).all()
        return [Ended(row.conversation_id, row.closed_at, row.reason or row.state) for row in found]

    def plan_again(self, judged: Sequence[Interaction], by: Actor, why: str, *, dry_run: bool) -> dict[str, int]:
        """Ended → planned, with the new judgement; returns the counts `planned`, `unknown` and `left`.

        Interactions that were judged as skipped, or that may not return by now, stay as they are and are counted.
        `unknown`: after a restore, those that the lost ledger may have sent.
        """
        planned: list[int] = []
        with self._by_hand(dry_run) as connection:
            now, secret = self._now(), read_secret(connection, self._now())
            for closing in judged:
                if closing.skip is None and (row := _lock(connection, closing)) is not None:
                    _plan(connection, now, row, closing, secret, by, why)
                    planned.append(row.id)
            doubted = restoring.doubt(connection, now, by, planned) if planned else 0
        return {"planned": len(planned) - doubted, "unknown": doubted, "left": len(judged) - len(planned)}


def _plan(
    connection: Connection, now: datetime, row: Any, closing: Interaction, secret: bytes, by: Actor, why: str
) -> None:
    values = {name: getattr(closing, name) for name in _JUDGED}
    values["customer_key"] = customer_key(secret, closing.customer_email) if closing.customer_email else None
    change = update(interaction).where(interaction.c.id == row.id)
    change = change.values(
        state=State.PLANNED,
        reason=None,
        detail=why,
        agent_profile=None,
        any_time=None,
        http_status=None,
        **values,
    )
    Transition(State(row.state), change).apply(connection, now, {}, detail=why, by=by)


def _lock(connection: Connection, closing: Interaction) -> Any:
    """Lock and return the row of this closing if it may return; None otherwise."""
    row = interaction.c
    return connection.execute(
        select(row.id, row.state)
        .where(row.conversation_id == closing.conversation_id, row.closed_at == closing.closed_at, _may_return())
        .with_for_update(of=interaction)
    ).first()


def _may_return() -> ColumnElement[bool]:
    final = [reason for reason in Reason if reason.final]
    row, event, shown = interaction.c, interaction_event.c, survey_response.c
    erased = exists(select(event.id).where(event.interaction_id == row.id, event.reason == Reason.ERASED))
    taken = exists(select(shown.uuid).where(shown.interaction_id == row.id))
    may_return: ColumnElement[bool] = (
        state_is(*ENDED)
        & or_(row.reason.is_(None), row.reason.not_in(final))
        & ~has_later_closing()
        & ~erased
        & ~taken
    )
    return may_return


def _conditions(connection: Connection, chosen: EndedFilter) -> list[ColumnElement[bool]]:
    row = interaction.c
    conditions = [row.closed_at >= chosen.closed_from]
    if chosen.closed_until is not None:
        conditions.append(row.closed_at < chosen.closed_until)
    if chosen.state is not None:
        conditions.append(state_is(chosen.state))
    if chosen.reason is None:
        conditions.append(or_(row.reason.is_(None), row.reason != Reason.BY_HAND))
    else:
        conditions.append(row.reason == chosen.reason)
    if chosen.detail is not None:
        conditions.append(row.detail.contains(chosen.detail, autoescape=True))
    if chosen.agent_email is not None:
        conditions.append(row.agent_email.in_(spellings(connection, row.agent_email, chosen.agent_email)))
    return conditions
