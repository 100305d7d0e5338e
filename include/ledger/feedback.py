"""Stella Connect's reports: survey responses, the reading cursor, and unknown outcomes."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, null, or_, select, tuple_, update

from include.interactions.actor import Actor
from include.interactions.states import State
from include.interactions.survey_response import KnownClosing, SurveyResponse, interaction_of
from include.ledger import queries
from include.ledger.batches import batches
from include.ledger.inserting import insert_into
from include.ledger.maintenance.restoring import IS_DOUBTFUL, since_closing
from include.ledger.schema import PERSONAL_WORDS, interaction, interaction_event, state_is, survey_response
from include.ledger.schema import data_return_cursor as cursor_row
from include.ledger.store import Store
from include.ledger.transition import Transition

FOUND = "found in Data Return"
ABSENT = "absent from Data Return"
_CURSOR = "data_return"

_READ = (
    "delivery_status",
    "request_created_at",
    "request_sent_at",
    "response_received_at",
    "rating",
    "nps",
    "resolved",
    "comment",
    "answers",
    "disputed",
    "reward",
    "channel",
    "brand",
    "language",
    "survey_name",
    "team_leader",
    "is_recovery",
    "parent_uuid",
)
"""Columns that have the same name in a record and in the table."""


@dataclass(slots=True)
class Learnt:
    """The result of reading Data Return."""

    changed: int = 0
    """Records that were new, or said something new."""
    answered: int = 0
    """How many of those hold an answer."""
    not_ours: int = 0
    """Records of interactions that this ledger did not send: manual requests, other systems, other closings."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Recent sends compared with what Stella Connect shows."""

    twice: int
    """Interactions with more than one record."""
    missing: int
    """Sent interactions without a record."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to `sequence_id` has been recorded; None before the first record."""

    sequence_id: int | None = None
    reread_from: datetime | None = None
    """The last complete reading by time of creation showed every record created from here …"""
    reread_at: datetime | None = None
    """… until here, the instant at which it began."""


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """An interaction whose request may have been taken."""

    interaction_id: int
    token: str
    """The token of the attempt; a later attempt has another one."""
    attempted_at: datetime
    """When its latest request was sent."""
    earliest_at: datetime
    """Its request was sent then or later. Differs from `attempted_at` only after a restore."""
    shown_at: datetime | None
    """When Stella Connect took it, according to Data Return; None if it is not shown there."""
    conversation_id: str
    closed_at: datetime


class FeedbackStore(Store):
    """Records Stella Connect's reports on our interactions, and settles unknown outcomes with them."""

    def read_cursor(self) -> Cursor:
        """Return how far Data Return has been read."""
        columns = (cursor_row.c.sequence_id, cursor_row.c.reread_from, cursor_row.c.reread_at)
        with self._reader.begin() as connection:
            row = connection.execute(select(*columns).where(cursor_row.c.name == _CURSOR)).first()
        return Cursor() if row is None else Cursor(*row)

    def record_responses(self, responses: Collection[SurveyResponse], cursor: int | None = None) -> Learnt:
        """Keep what the records say of our interactions, and move the cursor forward to `cursor` if given.

        Of two versions of a record the higher `sequence_id` wins. The same number again still counts if it says
        something else: that an answer brings a new number is only inferred (fact sheet, section 4.1).
        A cursor that is lower than the present one changes nothing.
        """
        newest = {response.uuid: response for response in sorted(responses, key=lambda read: read.sequence_id)}
        with self._engine.begin() as connection:
            learnt = _record(connection, list(newest.values()), self._now())
            if cursor is not None:
                new = insert_into(connection, cursor_row).values(name=_CURSOR, sequence_id=cursor)
                connection.execute(
                    new.on_conflict_do_update(
                        index_elements=[cursor_row.c.name],
                        set_={"sequence_id": new.excluded.sequence_id},
                        where=or_(
                            cursor_row.c.sequence_id.is_(None), new.excluded.sequence_id > cursor_row.c.sequence_id
                        ),
                    )
                )
        return learnt

    def note_reread(self, created_from: datetime, began_at: datetime) -> None:
        """Remember that every record created in [created_from, began_at) has been read, whatever its number.

        An earlier reading changes nothing.
        """
        values = {"name": _CURSOR, "reread_from": created_from, "reread_at": began_at}
        with self._engine.begin() as connection:
            new = insert_into(connection, cursor_row).values(values)
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=[cursor_row.c.name],
                    set_={"reread_from": new.excluded.reread_from, "reread_at": new.excluded.reread_at},
                    where=or_(cursor_row.c.reread_at.is_(None), new.excluded.reread_at > cursor_row.c.reread_at),
                )
            )

    def find_first_attempt(self) -> datetime | None:
        """Return when this ledger's first request may have been sent; None while nothing has been sent."""
        first = (
            select(interaction_event.c.at)
            .where(interaction_event.c.to_state == State.SENDING)
            .order_by(interaction_event.c.id)
            .limit(1)
        )
        first_doubtful = select(func.min(interaction.c.closed_at)).where(IS_DOUBTFUL)
        with self._reader.begin() as connection:
            moments = [connection.execute(question).scalar() for question in (first, first_doubtful)]
        return min((moment for moment in moments if moment is not None), default=None)

    def list_unknown_outcomes(self) -> list[UnknownOutcome]:
        """List every interaction whose outcome is unknown; oldest attempt first."""
        with self._reader.begin() as connection:
            return [UnknownOutcome(*row) for row in connection.execute(_UNKNOWN)]

    def settle_found(self, interaction_id: int, sent_at: datetime, by: Actor) -> bool:
        """Unknown → sent; False if the interaction is no longer unknown."""
        values = {"row": interaction_id, "taken": sent_at}
        with self._engine.begin() as connection:
            return bool(_FOUND.apply(connection, self._now(), values, detail=FOUND, by=by))

    def resend_absent(self, absent: Collection[UnknownOutcome], by: Actor) -> int:
        """Unknown → planned for those that are still as they were seen; returns how many.

        Only once per interaction. If it gets lost again, or its customer was erased, a person must settle it.
        """
        resent = 0
        with self._engine.begin() as connection:
            for seen in batches([(outcome.interaction_id, outcome.token) for outcome in absent]):
                resent += len(_RESEND.apply(connection, self._now(), {"seen": seen}, detail=ABSENT, by=by))
        return resent

    def compare_with_data_return(self, since: datetime, until: datetime) -> Shown:
        """Count interactions sent in [since, until) that it does not show, and those it has shown twice."""
        other = survey_response.alias("other")
        twice = select(func.count(survey_response.c.interaction_id.distinct())).where(
            survey_response.c.read_at >= since,
            select(other.c.uuid)
            .where(
                other.c.interaction_id == survey_response.c.interaction_id, other.c.uuid != survey_response.c.uuid
            )
            .exists(),
        )
        missing = select(func.count()).where(
            interaction.c.sent_at >= since,
            interaction.c.sent_at < until,
            ~select(survey_response.c.uuid).where(survey_response.c.interaction_id == interaction.c.id).exists(),
        )
        with self._reader.begin() as connection:
            return Shown(connection.execute(twice).scalar_one(), connection.execute(missing).scalar_one())

    def count_refused_and_sent(self, since: datetime) -> tuple[int, int]:
        """Count the interactions that Stella Connect refused, and those that it took, since then."""
        with self._reader.begin() as connection:
            return queries.count_refused_and_sent(connection, since)


def _record(connection: Connection, newest: Collection[SurveyResponse], now: datetime) -> Learnt:
    conversations = {response.conversation_id for response in newest if response.conversation_id}
    closings = _known_closings(connection, conversations)
    rows = []
    learnt = Learnt()
    for response in newest:
        ours = interaction_of(response, closings.get(response.conversation_id or "", ()))
        if ours is None:
            learnt.not_ours += 1
        else:
            rows.append(_row(response, ours, now))
    if rows:
        rows.sort(
            key=lambda row: str(row["uuid"])
        )  # in this order two readers wait for each other instead of a deadlock
        changed = connection.execute(_upsert(connection), rows).all()
        learnt.changed = len(changed)
        learnt.answered = sum(row.response_received_at is not None for row in changed)
    return learnt


def _known_closings(connection: Connection, conversation_ids: Collection[str]) -> dict[str, list[KnownClosing]]:
    attempt = (
        select(func.min(interaction_event.c.at))
        .where(
            interaction_event.c.interaction_id == interaction.c.id, interaction_event.c.to_state == State.SENDING
        )
        .scalar_subquery()
    )
    known: dict[str, list[KnownClosing]] = defaultdict(list)
    for some in batches(sorted(conversation_ids)):
        rows = connection.execute(
            select(
                interaction.c.id,
                interaction.c.conversation_id,
                interaction.c.closed_at,
                since_closing(attempt),
                interaction.c.customer_email.is_(None),
                interaction.c.recovers_uuid,
            ).where(interaction.c.conversation_id.in_(some))
        )
        for row in rows:
            known[row.conversation_id].append(KnownClosing(*row))
    return known


def _row(response: SurveyResponse, ours: KnownClosing, now: datetime) -> dict[str, Any]:
    return {
        "uuid": response.uuid,
        "sequence_id": response.sequence_id,
        "interaction_id": ours.interaction_id,
        **{name: getattr(response, name) for name in _READ},
        **(dict.fromkeys(PERSONAL_WORDS) if ours.erased else {}),
        "read_at": now,
    }


def _upsert(connection: Connection) -> Any:
    new = insert_into(connection, survey_response)
    old, given = survey_response.c, new.excluded
    says_else = or_(*(old[name].is_distinct_from(given[name]) for name in _READ))
    return new.on_conflict_do_update(
        index_elements=[old.uuid],
        set_={name: given[name] for name in ("sequence_id", "interaction_id", *_READ, "read_at")},
        where=or_(
            given.sequence_id > old.sequence_id,
            and_(given.sequence_id == old.sequence_id, says_else),
        ),
    ).returning(old.response_received_at)


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
        interaction.c.conversation_id,
        interaction.c.closed_at,
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
            # The holder of a claim is not named.
            or_(interaction_event.c.run_id.is_not(None), interaction_event.c.person.is_not(None)),
        )
        .exists(),
    )
    .values(state=State.PLANNED, token=null(), detail=ABSENT),
)
