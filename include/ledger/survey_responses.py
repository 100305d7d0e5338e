"""What Stella Connect says became of our interactions."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from include.interactions.states import State
from include.interactions.survey_response import KnownClosing, SurveyResponse, interaction_of
from include.ledger.batches import batches
from include.ledger.maintenance.restoring import IS_DOUBTFUL, since_closing
from include.ledger.schema import interaction, interaction_event, state_is, survey_response

_READ = (
    "delivery_status",
    "request_created_at",
    "request_sent_at",
    "response_received_at",
    "rating",
    "comment",
    "reward",
    "channel",
    "brand",
)
"""What a record tells, by the same name in the record and in the table."""


@dataclass(slots=True)
class Learnt:
    """What a reading of Data Return brought."""

    changed: int = 0
    """Records that were new, or said something new."""
    answered: int = 0
    """Of those, how many hold an answer."""
    not_ours: int = 0
    """Records of interactions that this ledger has not sent: by hand, of other desks, of other closings."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How what was released lately compares with what Stella Connect shows."""

    twice: int
    """Interactions with more than one record."""
    missing: int
    """Interactions that were sent, and have no record."""


def record(connection: Connection, responses: Collection[SurveyResponse], now: datetime) -> Learnt:
    """Keep what the records say of our interactions.

    Of two versions of a record the higher `sequence_id` wins. The same number again still counts where it says
    something else: that an answer brings a new number is only inferred (fact sheet, section 4.1).
    """
    newest = {one.uuid: one for one in sorted(responses, key=lambda one: one.sequence_id)}
    closings = _known_closings(connection, {one.conversation_id for one in newest.values() if one.conversation_id})
    rows = []
    learnt = Learnt()
    for response in newest.values():
        ours = interaction_of(response, closings.get(response.conversation_id or "", ()))
        if ours is None:
            learnt.not_ours += 1
        else:
            rows.append(_row(response, ours, now))
    if rows:
        rows.sort(key=lambda row: str(row["uuid"]))  # two readers wait for one another rather than deadlock
        changed = connection.execute(_upsert(connection), rows).all()
        learnt.changed = len(changed)
        learnt.answered = sum(row.response_received_at is not None for row in changed)
    return learnt


def shown(connection: Connection, since: datetime, until: datetime) -> Shown:
    """What of the interactions sent in [since, until) is missing, and what was found twice since then."""
    other = survey_response.alias("other")
    twice = select(func.count(survey_response.c.interaction_id.distinct())).where(
        survey_response.c.read_at >= since,
        select(other.c.uuid)
        .where(other.c.interaction_id == survey_response.c.interaction_id, other.c.uuid != survey_response.c.uuid)
        .exists(),
    )
    missing = select(func.count()).where(
        interaction.c.sent_at >= since,
        interaction.c.sent_at < until,
        ~select(survey_response.c.uuid).where(survey_response.c.interaction_id == interaction.c.id).exists(),
    )
    return Shown(connection.execute(twice).scalar_one(), connection.execute(missing).scalar_one())


def refused_and_sent(connection: Connection, since: datetime) -> tuple[int, int]:
    """How many interactions Stella Connect refused, and how many it took, since then."""
    refused = select(func.count()).where(state_is(State.REJECTED), interaction.c.updated_at >= since)
    sent = select(func.count()).where(interaction.c.sent_at >= since)
    return connection.execute(refused).scalar_one(), connection.execute(sent).scalar_one()


def first_attempt(connection: Connection) -> datetime | None:
    """When this ledger's first request may have left; None while nothing has been sent."""
    known = connection.execute(
        select(interaction_event.c.at)
        .where(interaction_event.c.to_state == State.SENDING)
        .order_by(interaction_event.c.id)
        .limit(1)
    ).scalar()
    doubtful = connection.execute(select(func.min(interaction.c.closed_at)).where(IS_DOUBTFUL)).scalar()
    return min((moment for moment in (known, doubtful) if moment is not None), default=None)


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
        "comment": None if ours.erased else response.comment,
        "read_at": now,
    }


def _upsert(connection: Connection) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(survey_response)
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
