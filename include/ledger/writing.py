"""The customers' answers that wait to be written to Kustomer or were written.

A row of `answer_write` is one answer at one target. It is planned when the answer is new or has changed; only the
writer that begins it may write. Customers whose data were erased have no rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, literal, null, or_, select, update

from include.interactions.write_back import Answer, Target, WriteState
from include.ledger import facts
from include.ledger.by_hand import ByHandStore
from include.ledger.inserting import insert_into
from include.ledger.schema import interaction, survey_response
from include.ledger.writing_schema import answer_write, is_failed, is_pending

PLANNED_UNTIL, SINCE = "answers_planned_until", "answers_written_since"
"""Facts for each target: up to which `read_at` answers were planned, and when it was first switched on."""
OVERLAP = timedelta(days=1)
"""Answers are looked at again for so long: one may be committed after others that were read later."""


@dataclass(frozen=True, slots=True)
class DueWrite:
    """An answer that is to be written to a target."""

    target: Target
    answer: Answer
    version: datetime
    """The `read_at` of the answer's record."""
    content_hash: str | None
    """Of what was last written; None if nothing was."""
    tries: int
    doubtful_since: datetime | None
    """When a note was sent of which it is not known yet whether Kustomer took it."""
    replaced: bool
    """Whether the conversation has a later answer."""


@dataclass(frozen=True, slots=True)
class Unwritten:
    """What needs a person."""

    failed: int
    waiting: int
    """Pending for longer than asked."""


class WritingStore(ByHandStore):
    """Plans writes to Kustomer and records what became of them."""

    def plan(self, target: Target) -> int:
        """Plan what is new or has changed since the target was first switched on; returns how many.

        A note that was written stays as it is, and so does what is `gone`.
        """
        now = self._now()
        with self._engine.begin() as connection:
            since = _remembered(connection, f"{SINCE}.{target}", now, now)
            until = _remembered(connection, f"{PLANNED_UNTIL}.{target}", since, now)
            planned = connection.execute(_plan(connection, target, since, until - OVERLAP)).all()
            newest = max((row.answer_read_at for row in planned), default=until)
            facts.write(connection, f"{PLANNED_UNTIL}.{target}", max(newest, until).isoformat(), now)
        return len(planned)

    def list_due(self, target: Target, limit: int, tried_before: datetime) -> list[DueWrite]:
        """List pending writes that were not tried since then, those with the fewest tries first."""
        row = answer_write.c
        due = (
            select(*_DUE)
            .join_from(answer_write, survey_response, survey_response.c.uuid == row.uuid)
            .join(interaction, interaction.c.id == survey_response.c.interaction_id)
            .where(
                _is_pending(target),
                or_(row.last_tried.is_(None), row.last_tried < tried_before),
                interaction.c.customer_email.is_not(None),
            )
            .order_by(row.tries, row.uuid)
            .limit(limit)
        )
        with self._reader.begin() as connection:
            return [_due_write(found, target) for found in connection.execute(due)]

    def begin(self, writes: Collection[DueWrite]) -> list[DueWrite]:
        """Commit that these are tried now; returns those that may be.

        The others have changed, are tried by another process, or their customer was erased meanwhile.
        """
        values = {"tries": answer_write.c.tries + 1, "last_tried": self._now()}
        with self._engine.begin() as connection:
            return [
                replace(write, tries=write.tries + 1)
                for write in writes
                if connection.execute(update(answer_write).where(*_is_held(write)).values(values)).rowcount
            ]

    def start_note(self, write: DueWrite) -> bool:
        """Commit, before the note is sent, that its outcome is unknown from now on.

        False: as in `begin`; then it must not leave.
        """
        unsent = (*_is_held(write), answer_write.c.doubtful_since.is_(None))
        with self._engine.begin() as connection:
            change = update(answer_write).where(*unsent).values(doubtful_since=self._now())
            return bool(connection.execute(change).rowcount)

    def settle(
        self,
        write: DueWrite,
        state: WriteState,
        *,
        content_hash: str | None = None,
        detail: str | None = None,
        object_id: str | None = None,
    ) -> bool:
        """Pending → written, failed, gone; or still pending, because it certainly was not written.

        False if the row has moved on: the answer changed meanwhile, or was erased.
        """
        with self._engine.begin() as connection:
            return _settle(connection, write, state, content_hash, detail, object_id)

    def settle_written(self, written: Collection[tuple[DueWrite, str]]) -> int:
        """Pending → written, with the hash of each content, in one commit; returns how many had not moved on."""
        with self._engine.begin() as connection:
            return sum(_settle(connection, write, WriteState.WRITTEN, digest) for write, digest in written)

    def write_again(self, conversation_id: str | None, why: str, *, dry_run: bool) -> int:
        """Failed → pending, because a person looked: of one conversation, or all; returns how many."""
        chosen = [answer_write.c.state == WriteState.FAILED]
        if conversation_id is not None:
            of_it = (
                select(survey_response.c.uuid)
                .join_from(survey_response, interaction, interaction.c.id == survey_response.c.interaction_id)
                .where(interaction.c.conversation_id == conversation_id)
            )
            chosen.append(answer_write.c.uuid.in_(of_it))
        values = {"state": WriteState.PENDING, "tries": 0, "last_tried": null(), "detail": f"written again: {why}"}
        with self._by_hand(dry_run) as connection:
            return connection.execute(update(answer_write).where(*chosen).values(values)).rowcount

    def count_unwritten(self, targets: Collection[Target], since: datetime) -> Unwritten:
        """Count what has failed since an instant, and what has waited since before it."""
        row = answer_write.c
        failed = select(func.count()).where(is_failed, row.last_tried >= since, row.target.in_(targets))
        waiting = select(func.count()).where(is_pending, row.answer_read_at < since, row.target.in_(targets))
        with self._reader.begin() as connection:
            return Unwritten(connection.execute(failed).scalar_one(), connection.execute(waiting).scalar_one())

    def count_pending(self, target: Target) -> int:
        """Count what waits."""
        with self._reader.begin() as connection:
            return connection.execute(
                select(func.count()).select_from(answer_write).where(_is_pending(target))
            ).scalar_one()


def _settle(
    connection: Connection,
    write: DueWrite,
    state: WriteState,
    content_hash: str | None = None,
    detail: str | None = None,
    object_id: str | None = None,
) -> bool:
    values: dict[str, Any] = {"state": state, "detail": detail, "doubtful_since": null()}
    if content_hash is not None:
        values["content_hash"] = content_hash
    if object_id is not None:
        values["object_id"] = object_id
    return bool(connection.execute(update(answer_write).where(*_is_same(write)).values(values)).rowcount)


def drop_writes(connection: Connection, interaction_ids: Sequence[int]) -> None:
    """Remove the rows of these interactions, because their customer's data are erased."""
    of_them = select(survey_response.c.uuid).where(survey_response.c.interaction_id.in_(interaction_ids))
    connection.execute(delete(answer_write).where(answer_write.c.uuid.in_(of_them)))


_NOT_ERASED = exists(
    select(interaction.c.id)
    .join_from(survey_response, interaction, interaction.c.id == survey_response.c.interaction_id)
    .where(survey_response.c.uuid == answer_write.c.uuid, interaction.c.customer_email.is_not(None))
)
_later = survey_response.alias("later")
_its_interaction = interaction.alias("its_interaction")
_REPLACED = exists(
    select(_later.c.uuid)
    .join_from(_later, _its_interaction, _its_interaction.c.id == _later.c.interaction_id)
    .where(
        _its_interaction.c.conversation_id == interaction.c.conversation_id,
        or_(
            _later.c.response_received_at > survey_response.c.response_received_at,
            and_(
                _later.c.response_received_at == survey_response.c.response_received_at,
                _later.c.uuid > survey_response.c.uuid,
            ),
        ),
    )
)
_PARTS = {
    "stars": survey_response.c.rating,
    "nps": survey_response.c.nps,
    "resolved": survey_response.c.resolved,
    "comment": survey_response.c.comment,
    "answered_at": survey_response.c.response_received_at,
    "disputed": survey_response.c.disputed,
    "reward": survey_response.c.reward,
    "channel": survey_response.c.channel,
    "brand": survey_response.c.brand,
    "language": survey_response.c.language,
    "survey": survey_response.c.survey_name,
    "agent": func.coalesce(interaction.c.agent_name, interaction.c.agent_email),
    "team_leader": survey_response.c.team_leader,
}
"""Where the parts of an answer are; `url` and `uuid` follow from others."""
ANSWER = (
    interaction.c.conversation_id,
    interaction.c.customer_id,
    *(column.label(f"part_{name}") for name, column in _PARTS.items()),
)
"""The columns of an answer besides its `uuid`: `read_answer`."""
_DUE = (
    answer_write.c.uuid,
    answer_write.c.answer_read_at.label("version"),
    answer_write.c.content_hash,
    answer_write.c.tries,
    answer_write.c.doubtful_since,
    _REPLACED.label("replaced"),
    *ANSWER,
)


def read_answer(row: Row[Any]) -> Answer:
    """Return the answer of a row that has its `uuid` and the columns of `ANSWER`."""
    found = row._mapping
    values = {name: found[f"part_{name}"] for name in _PARTS} | {"uuid": row.uuid}
    return Answer(row.uuid, row.conversation_id, row.customer_id, values)


def _due_write(row: Row[Any], target: Target) -> DueWrite:
    return DueWrite(
        target=target,
        answer=read_answer(row),
        version=row.version,
        content_hash=row.content_hash,
        tries=row.tries,
        doubtful_since=row.doubtful_since,
        replaced=row.replaced,
    )


def _plan(connection: Connection, target: Target, since: datetime, read_from: datetime) -> Any:
    row, old = survey_response.c, answer_write.c
    found = (
        select(
            row.uuid,
            literal(target.value),
            literal(WriteState.PENDING.value),
            row.read_at,
            literal(0),
        )
        .join_from(survey_response, interaction, interaction.c.id == row.interaction_id)
        .where(
            row.read_at >= read_from,
            row.response_received_at >= since,
            interaction.c.customer_email.is_not(None),
            # PostgreSQL would lock each row that stays as it is.
            ~exists(
                select(old.uuid).where(
                    old.uuid == row.uuid, old.target == target, old.answer_read_at >= row.read_at
                )
            ),
        )
    )
    new = insert_into(connection, answer_write).from_select(
        ["uuid", "target", "state", "answer_read_at", "tries"], found
    )
    # A note is not written twice; one of unknown outcome waits for a person.
    finished = [] if target is Target.NOTE else [WriteState.WRITTEN, WriteState.FAILED]
    return new.on_conflict_do_update(
        index_elements=[old.uuid, old.target],
        set_={"state": WriteState.PENDING, "answer_read_at": new.excluded.answer_read_at, "tries": 0},
        where=and_(
            old.answer_read_at < new.excluded.answer_read_at, old.state.in_([WriteState.PENDING, *finished])
        ),
    ).returning(old.answer_read_at)


def _is_pending(target: Target) -> Any:
    return and_(answer_write.c.target == target, is_pending)


def _is_same(write: DueWrite) -> tuple[Any, ...]:
    row = answer_write.c
    return (
        row.uuid == write.answer.uuid,
        row.target == write.target,
        row.state == WriteState.PENDING,
        row.answer_read_at == write.version,
    )


def _is_held(write: DueWrite) -> tuple[Any, ...]:
    """Return the condition that no other process has tried it since, and that its customer was not erased."""
    return (*_is_same(write), answer_write.c.tries == write.tries, _NOT_ERASED)


def _remembered(connection: Connection, name: str, otherwise: datetime, now: datetime) -> datetime:
    """Return the instant in a fact; remember the given one if there is none yet."""
    known = facts.read(connection, name)
    if known is None:
        facts.write(connection, name, otherwise.isoformat(), now)
        return otherwise
    return datetime.fromisoformat(known.value)
