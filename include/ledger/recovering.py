"""The actions after unhappy customers' answers, planned and taken: one step for each answer and action.

A step is claimed before it is taken: `acting` is committed first. A process that dies therefore leaves a trace, and
the next one looks what it did. A closing after a reopening by the pipeline is marked in
`interaction.recovers_uuid`: its survey is a recovery.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from include.interactions.recovery import AnswerToJudge, PlannedSteps, RecoveryAction, StepState, Thresholds
from include.interactions.states import State
from include.interactions.survey_response import CLOCK_SLACK
from include.interactions.utc import MILLISECOND
from include.interactions.write_back import Answer
from include.ledger.batches import batches
from include.ledger.by_hand import ByHandStore
from include.ledger.columns import Instant
from include.ledger.inserting import insert_into
from include.ledger.recovery_schema import is_open, is_reopening, recovery_step
from include.ledger.schema import interaction, state_is, survey_response
from include.ledger.writing import ANSWER, read_answer

MAX_ANSWERS = 1_000
"""Judged at once; the next run goes on."""


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One action for one answer that is not finished."""

    action: RecoveryAction
    entry: str
    answer: Answer = field(repr=False)
    closed_at: datetime
    """The closing that the answer is about."""
    acted_at: datetime | None
    """When a process began that never said what it did; None: nothing was tried, or nothing was taken."""
    tries: int
    erased: bool
    """The customer's data were erased."""
    token: str = ""
    """Of the claim."""


@dataclass(frozen=True, slots=True)
class RecoveryCounts:
    """What needs a person."""

    failed: int
    reopenings_waiting: int
    reopened: int


class RecoveryStore(ByHandStore):
    """Plans and records what is done about answers."""

    def list_answers_to_judge(self, since: datetime, worst: Thresholds) -> list[AnswerToJudge]:
        """List answers given since then that may call for action and have no step yet, oldest first."""
        row = survey_response.c
        scores = [row.rating <= worst.stars, row.nps <= worst.nps]
        if worst.unresolved:
            scores.append(row.resolved.is_(False))
        found = (
            select(*_TO_JUDGE)
            .join_from(survey_response, interaction, interaction.c.id == row.interaction_id)
            .where(
                row.response_received_at >= since,
                or_(*scores),
                row.disputed.is_not(True),
                interaction.c.customer_email.is_not(None),
                ~exists(select(recovery_step.c.uuid).where(recovery_step.c.uuid == row.uuid)),
            )
            .order_by(row.response_received_at, row.uuid)
            .limit(MAX_ANSWERS)
        )
        with self._reader.begin() as connection:
            return [AnswerToJudge(**found._mapping) for found in connection.execute(found)]

    def plan(self, planned: Collection[PlannedSteps]) -> int:
        """Record what is to be done; all steps of an answer together. Returns how many steps are new."""
        now = self._now()
        rows = [
            {
                "uuid": steps.answer.uuid,
                "action": action,
                "conversation_id": steps.answer.conversation_id,
                "entry": steps.entry,
                "state": StepState.PENDING,
                "tries": 0,
                "planned_at": now,
            }
            for steps in planned
            for action in steps.actions
        ]
        if not rows:
            return 0
        with self._engine.begin() as connection:
            new = insert_into(connection, recovery_step).on_conflict_do_nothing().returning(recovery_step.c.uuid)
            return len(connection.execute(new, rows).all())

    def list_open(self, limit: int) -> list[RecoveryStep]:
        """List the steps that this process may take now, oldest first."""
        found = (
            select(*_OPEN)
            .join_from(recovery_step, survey_response, survey_response.c.uuid == recovery_step.c.uuid)
            .join(interaction, interaction.c.id == survey_response.c.interaction_id)
            .where(_is_free(self._now()))
            .order_by(recovery_step.c.planned_at, recovery_step.c.uuid)
            .limit(limit)
        )
        with self._reader.begin() as connection:
            return [_step(row) for row in connection.execute(found)]

    def claim(self, step: RecoveryStep, lease: timedelta) -> str | None:
        """Commit that this process acts; returns the token.

        None: another process was faster, or the customer was erased since the step was read.
        The time at which a dead process began stays: what it may have done is compared with it.
        """
        now, token = self._now(), secrets.token_hex(16)
        values = {
            "state": StepState.ACTING,
            "token": token,
            "lease_until": now + lease,
            "tries": recovery_step.c.tries + 1,
            "acted_at": func.coalesce(recovery_step.c.acted_at, literal(now, Instant)),
        }
        with self._engine.begin() as connection:
            claimed = connection.execute(
                update(recovery_step)
                .where(*_is_same(step), _is_free(now), _IS_ERASED if step.erased else ~_IS_ERASED)
                .values(values)
                .returning(recovery_step.c.uuid)
            ).first()
        return token if claimed else None

    def settle(self, step: RecoveryStep, state: StepState, detail: str | None = None) -> bool:
        """Acting → done, failed, gone; or pending, because it certainly was not done. False: the claim was lost."""
        values: dict[str, Any] = {"state": state, "detail": detail, "token": null(), "lease_until": null()}
        if state is StepState.PENDING:
            values["acted_at"] = null()
        with self._engine.begin() as connection:
            settled = connection.execute(
                update(recovery_step)
                .where(*_is_same(step), recovery_step.c.token == step.token)
                .values(values)
                .returning(recovery_step.c.uuid)
            ).first()
        return settled is not None

    def take_again(self, conversation_id: str | None, why: str, *, dry_run: bool) -> int:
        """Failed → pending, because a person looked: of one conversation, or all; returns how many."""
        row = recovery_step.c
        chosen = [row.state == StepState.FAILED]
        if conversation_id is not None:
            chosen.append(row.conversation_id == conversation_id)
        values = {"state": StepState.PENDING, "tries": 1, "acted_at": null(), "detail": f"taken again: {why}"}
        with self._by_hand(dry_run) as connection:
            return connection.execute(update(recovery_step).where(*chosen).values(values)).rowcount

    def count_reopened(self, since: datetime) -> int:
        """Count the reopenings since then."""
        with self._reader.begin() as connection:
            number: int = connection.execute(_count_reopened(since)).scalar_one()
        return number

    def count(self, failed_since: datetime, reopened_since: datetime) -> RecoveryCounts:
        """Count what needs a person, and the latest reopenings."""
        row = recovery_step.c
        failed = select(func.count()).where(row.acted_at >= failed_since, row.state == StepState.FAILED)
        waiting = select(func.count()).where(is_open, is_reopening, row.state == StepState.PENDING)
        with self._reader.begin() as connection:
            numbers = [
                connection.execute(question).scalar_one()
                for question in (failed, waiting, _count_reopened(reopened_since))
            ]
        return RecoveryCounts(*numbers)

    def has_recoveries(self) -> bool:
        """Tell whether the survey of any interaction is a recovery."""
        known = select(interaction.c.id).where(interaction.c.recovers_uuid.is_not(None)).limit(1)
        with self._reader.begin() as connection:
            return connection.execute(known).first() is not None


def mark_recoveries(connection: Connection, conversation_ids: Collection[str]) -> None:
    """Mark new closings of conversations that we reopened: their survey is a recovery.

    One recovery for each answer: after its survey left, later closings are ordinary again.
    """
    step, other = recovery_step.c, interaction.alias("other")
    if connection.execute(select(step.uuid).where(is_reopening).limit(1)).first() is None:
        return  # in most organisations for ever
    reopened = (
        is_reopening,
        step.state.in_([StepState.ACTING, StepState.DONE]),
        step.conversation_id == interaction.c.conversation_id,
        step.acted_at <= _with_slack(interaction.c.closed_at),
    )
    used = exists(
        select(other.c.id).where(
            other.c.recovers_uuid == step.uuid,
            state_is(State.SENDING, State.UNKNOWN, State.SENT, State.REJECTED, row=other),
        )
    )
    answer = select(step.uuid).where(*reopened, ~used).order_by(step.acted_at.desc()).limit(1).scalar_subquery()
    for some in batches(sorted(conversation_ids)):
        known = select(step.conversation_id).where(is_reopening, step.conversation_id.in_(some)).distinct()
        if not (ours := connection.execute(known).scalars().all()):
            continue
        connection.execute(
            update(interaction)
            .where(
                interaction.c.conversation_id.in_(ours),
                state_is(State.PLANNED),
                interaction.c.attempts == 0,
                interaction.c.recovers_uuid.is_(None),
            )
            .values(recovers_uuid=answer)
        )


def _with_slack(instant: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the instant, later by what the two clocks may differ."""
    return type_coerce(type_coerce(instant, BigInteger) + CLOCK_SLACK // MILLISECOND, Instant)


def _count_reopened(since: datetime) -> Any:
    row = recovery_step.c
    return select(func.count()).where(
        is_reopening, row.acted_at >= since, row.state.in_([StepState.ACTING, StepState.DONE])
    )


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Return the condition that no living process is at the step."""
    row = recovery_step.c
    return and_(is_open, or_(row.lease_until.is_(None), row.lease_until <= now))


def _is_same(step: RecoveryStep) -> Sequence[ColumnElement[bool]]:
    return recovery_step.c.uuid == step.answer.uuid, recovery_step.c.action == step.action


_IS_ERASED = exists(
    select(interaction.c.id)
    .join_from(survey_response, interaction, interaction.c.id == survey_response.c.interaction_id)
    .where(survey_response.c.uuid == recovery_step.c.uuid, interaction.c.customer_email.is_(None))
)
_TO_JUDGE = (
    survey_response.c.uuid,
    interaction.c.conversation_id,
    survey_response.c.response_received_at.label("answered_at"),
    survey_response.c.rating.label("stars"),
    survey_response.c.nps,
    survey_response.c.resolved,
    survey_response.c.comment.is_not(None).label("has_comment"),
    survey_response.c.channel,
    survey_response.c.brand,
    interaction.c.rule,
    interaction.c.recovers_uuid.is_not(None).label("is_recovery"),
)
_OPEN = (
    recovery_step.c.uuid,
    recovery_step.c.action,
    recovery_step.c.entry,
    recovery_step.c.acted_at,
    recovery_step.c.tries,
    interaction.c.closed_at,
    interaction.c.customer_email.is_(None).label("erased"),
    *ANSWER,
)


def _step(row: Row[Any]) -> RecoveryStep:
    return RecoveryStep(
        action=RecoveryAction(row.action),
        entry=row.entry,
        answer=read_answer(row),
        closed_at=row.closed_at,
        acted_at=row.acted_at,
        tries=row.tries,
        erased=row.erased,
    )
