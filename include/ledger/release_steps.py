"""The statements of a release: only the holder of the claim's token moves a row, and once."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Text,
    Update,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from include.interactions.interaction import Interaction
from include.interactions.states import State
from include.ledger.schema import has_later_closing, interaction, state_is
from include.ledger.transition import Transition

LEASE_OVER = "lease over"


def _is_recovered() -> ColumnElement[bool]:
    """Return the condition that another closing has taken the one service recovery that an answer gets."""
    other = interaction.alias("recovering")
    return interaction.c.recovers_uuid.is_not(None) & exists(
        select(other.c.id).where(
            other.c.recovers_uuid == interaction.c.recovers_uuid,
            other.c.id != interaction.c.id,
            state_is(State.CLAIMED, State.SENDING, State.UNKNOWN, State.SENT, State.REJECTED, row=other),
        )
    )


def _claiming() -> Transition:
    # The locking CTE is worked out once; as a plain subquery PostgreSQL may repeat it and claim too many.
    candidate = (
        select(interaction.c.id, or_(has_later_closing(), _is_recovered()).label("superseded"))
        .where(
            state_is(State.PLANNED),
            interaction.c.due_at >= bindparam("due_from"),
            interaction.c.due_at <= bindparam("due_until"),
            interaction.c.id.not_in(bindparam("but_not", expanding=True)),
        )
        .order_by(interaction.c.due_at, interaction.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=interaction)
        .cte("candidate")
    )

    def unless_superseded(value: Any) -> Any:
        return case((candidate.c.superseded, null()), else_=value)

    change = (
        update(interaction)
        .where(interaction.c.id == candidate.c.id)
        .values(
            state=case((candidate.c.superseded, literal_column("'cancelled'")), else_=literal_column("'claimed'")),
            reason=case((candidate.c.superseded, literal_column("'superseded'"))),
            token=unless_superseded(bindparam("new_token", type_=interaction.c.token.type)),
            lease_until=unless_superseded(bindparam("new_lease", type_=interaction.c.lease_until.type)),
        )
    )
    return Transition(State.PLANNED, change, also=[interaction.c[name] for name in ("attempts", *OF_INTERACTION)])


def _recovering(before: State, after: State) -> Transition:
    over = (
        select(interaction.c.id)
        .where(state_is(before), interaction.c.lease_until <= bindparam("at"))
        .with_for_update(skip_locked=True)  # a process that locks such a row is moving it
        .cte("over")
    )
    change = (
        update(interaction)
        .where(interaction.c.id.in_(select(over.c.id)))
        .values(state=after, lease_until=null(), detail=LEASE_OVER)
    )
    if after is State.PLANNED:
        change = change.values(token=null())
    return Transition(before, change)


def _update() -> Update:
    return update(interaction).where(interaction.c.id == bindparam("row"), interaction.c.token == bindparam("held"))


def _is_held() -> ColumnElement[bool]:
    """Return the condition that a row is one of those (id, token) in the parameter `held`."""
    return tuple_(interaction.c.id, interaction.c.token).in_(bindparam("held", expanding=True))


def _starting(given: Callable[[str], ColumnElement[Any]]) -> Transition:
    """Return the step to `sending`; `given` returns what is different for each row."""
    change = (
        update(interaction)
        .where(interaction.c.id == given("row"), interaction.c.token == given("held"))
        .where(interaction.c.lease_until > bindparam("at"))
        .values(
            state=State.SENDING,
            lease_until=bindparam("until"),
            attempts=interaction.c.attempts + 1,
            # of an earlier attempt; its event keeps the words
            http_status=null(),
            detail=null(),
            sent_channel=given("by_channel"),
            sent_do_not_send=given("without_survey"),
            sent_request=given("body"),
        )
    )
    return Transition(State.CLAIMED, change, also=[interaction.c.token, interaction.c.lease_until])


def _settling(before: State, outcome: State) -> Transition:
    values: dict[str, Any] = {"http_status": bindparam("status"), "detail": bindparam("words")}
    values |= {"state": outcome, "lease_until": null()}
    if outcome is not State.UNKNOWN:
        values["token"] = null()
    if outcome is State.SENT:
        values["sent_at"] = bindparam("sent")
    return Transition(before, update(interaction).where(_is_held()).values(values))


OF_INTERACTION = [field.name for field in fields(Interaction) if field.name != "skip"]
CLAIM = _claiming()
RECOVER = (_recovering(State.CLAIMED, State.PLANNED), _recovering(State.SENDING, State.UNKNOWN))
GIVE_BACK = Transition(
    State.CLAIMED,
    update(interaction)
    .where(_is_held())
    .values(state=State.PLANNED, token=null(), lease_until=null(), detail=bindparam("words")),
)
PUT_OFF = Transition(
    State.CLAIMED,
    _update().values(
        state=State.PLANNED,
        token=null(),
        lease_until=null(),
        first_due_at=func.coalesce(interaction.c.first_due_at, interaction.c.due_at),
        due_at=bindparam("new_due", type_=interaction.c.due_at.type),
        detail=bindparam("words"),
    ),
)
START = _starting(bindparam)
START_TOGETHER = _starting(
    func.jsonb_to_recordset(cast(bindparam("steps"), JSONB))
    .table_valued(
        column("row", BigInteger),
        column("held", Text),
        column("by_channel", Text),
        column("without_survey", Boolean),
        column("body", Text),
        name="steps",
    )
    .render_derived(with_types=True)
    .c.__getitem__
)
"""For PostgreSQL, where each statement is a question over the network: all rows in one, given as JSON."""
SETTLE = {
    (before, outcome): _settling(before, outcome)
    for before in (State.SENDING, State.UNKNOWN)
    for outcome in (State.SENT, State.REJECTED, State.UNKNOWN, State.PLANNED)
    if before is not outcome
}
STILL_UNKNOWN = (
    update(interaction)
    .where(_is_held(), state_is(State.UNKNOWN))
    .values(http_status=bindparam("status"), detail=bindparam("words"), updated_at=bindparam("at"))
    .returning(interaction.c.id)
)
VETO = {
    state: Transition(
        State.CLAIMED,
        _update().values(
            state=state, reason=bindparam("why"), detail=bindparam("words"), token=null(), lease_until=null()
        ),
    )
    for state in (State.CANCELLED, State.SKIPPED)
}
PUT_ASIDE = Transition(
    State.PLANNED,
    update(interaction)
    .where(interaction.c.id == bindparam("row"))
    .values(state=State.SKIPPED, reason=bindparam("why"), detail=bindparam("words")),
)
