"""Unknown outcomes come to an end: found in Data Return, or absent from it for long enough."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, null, select, tuple_, update

from include.interactions.states import State
from include.ledger.batches import batches
from include.ledger.maintenance.restoring import since_closing
from include.ledger.schema import interaction, interaction_event, state_is, survey_response
from include.ledger.transition import Transition

FOUND = "found in Data Return"
ABSENT = "absent from Data Return"


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """An interaction whose request may have been taken."""

    interaction_id: int
    token: str
    """Of the attempt: a later attempt has another."""
    attempted_at: datetime
    """When its latest request left."""
    earliest_at: datetime
    """Its request left then or later: the same, unless an older copy of the ledger has been restored."""
    shown_at: datetime | None
    """When Stella Connect took it, as Data Return tells; None while it is not shown there."""


def unknown_outcomes(connection: Connection) -> list[UnknownOutcome]:
    """Every interaction whose outcome is unknown, oldest attempt first."""
    return [UnknownOutcome(*row) for row in connection.execute(_UNKNOWN)]


def settle_found(
    connection: Connection, now: datetime, interaction_id: int, sent_at: datetime, by: str | None
) -> bool:
    """Unknown → sent; False if the interaction is no longer unknown."""
    return bool(_FOUND.apply(connection, now, {"row": interaction_id, "taken": sent_at}, detail=FOUND, by=by))


def resend_absent(connection: Connection, now: datetime, absent: Collection[UnknownOutcome], by: str | None) -> int:
    """Unknown → planned for those that are still as they were seen; returns how many.

    Once for each interaction: one that gets lost again, or whose customer was erased, is left for a person.
    """
    resent = 0
    for seen in batches([(one.interaction_id, one.token) for one in absent]):
        resent += len(_RESEND.apply(connection, now, {"seen": seen}, detail=ABSENT, by=by))
    return resent


_ATTEMPT = (
    select(func.max(interaction_event.c.at))
    .where(interaction_event.c.interaction_id == interaction.c.id, interaction_event.c.to_state == State.SENDING)
    .scalar_subquery()
)
_SHOWN_AT = (
    select(func.min(func.coalesce(survey_response.c.request_created_at, survey_response.c.read_at)))
    .where(survey_response.c.interaction_id == interaction.c.id)
    .scalar_subquery()
)
_ATTEMPTED_AT = func.coalesce(_ATTEMPT, interaction.c.updated_at)
_UNKNOWN = (
    select(
        interaction.c.id,
        interaction.c.token,
        _ATTEMPTED_AT.label("attempted_at"),
        since_closing(_ATTEMPTED_AT),
        _SHOWN_AT,
    )
    .where(state_is(State.UNKNOWN))
    .order_by("attempted_at", interaction.c.id)
)
_FOUND = Transition(
    State.UNKNOWN,
    update(interaction)
    .where(interaction.c.id == bindparam("row"))
    .values(state=State.SENT, token=null(), sent_at=bindparam("taken"), detail=FOUND),
)
_RESEND = Transition(
    State.UNKNOWN,
    update(interaction)
    .where(
        tuple_(interaction.c.id, interaction.c.token).in_(bindparam("seen", expanding=True)),
        interaction.c.customer_email.is_not(None),
        interaction.c.agent_email.is_not(None),
        ~select(survey_response.c.uuid).where(survey_response.c.interaction_id == interaction.c.id).exists(),
        ~select(interaction_event.c.id)
        .where(
            interaction_event.c.interaction_id == interaction.c.id,
            interaction_event.c.from_state == State.UNKNOWN,
            interaction_event.c.to_state == State.PLANNED,
            interaction_event.c.actor.is_not(None),  # the holder of a claim is not named: he knew
        )
        .exists(),
    )
    .values(state=State.PLANNED, token=null(), detail=ABSENT),
)
