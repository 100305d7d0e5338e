"""What extraction writes: new closings, the span that they cover, and the early warning about agent profiles."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Text,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from include.interactions.actor import Actor
from include.interactions.addresses import same_address
from include.interactions.cap import customer_key
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.span import Watermark
from include.interactions.states import State
from include.ledger import deferred_readings, queries
from include.ledger.batches import batches
from include.ledger.columns import Instant, mapping_text, milliseconds, names_text, storable
from include.ledger.customer_keys import read_secret
from include.ledger.deferred_readings import DeferredReadingStore
from include.ledger.inserting import insert_into
from include.ledger.maintenance import restoring
from include.ledger.recovering import mark_recoveries
from include.ledger.schema import has_later_closing, interaction, interaction_event, state_is, watermark
from include.ledger.transition import BY, BY_COLUMNS, Transition, given_by


@dataclass(slots=True)
class Recorded:
    """What became of the closings that were handed in."""

    planned: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    known: int = 0
    """Were in the ledger already, and are left as they are."""
    superseded: int = 0
    """Planned interactions, old or just recorded, whose conversation has a later closing."""


class ExtractionStore(DeferredReadingStore):
    """Records closings, how far they have been read and what is deferred; marks agents without approved profile."""

    _secret: bytes | None = None

    def record_closings(self, interactions: Sequence[Interaction], by: Actor) -> Recorded:
        """Insert the closings that are not known yet, `planned` or `skipped`; one transaction for each batch.

        A planned earlier closing of a conversation is cancelled (`superseded`) when a later one is known.
        Repeating it after a crash half-way counts what was done as known.
        """
        counts = Recorded()
        for batch in _transactions(interactions):
            with self._engine.begin() as connection:
                self._secret = self._secret or read_secret(connection, self._now())
                insert_closings(connection, batch, self._now(), by, counts, self._secret)
                mark_recoveries(connection, {closing.conversation_id for closing in batch})
                restoring.doubt_new(connection, self._now(), by)
                deferred_readings.drop_recorded(connection, batch)
        return counts

    def read_watermark(self) -> Watermark | None:
        """Return the span whose closings have all been recorded; None before the first extraction."""
        with self._reader.begin() as connection:
            return queries.read_watermark(connection)

    def advance_watermark(self, covered_from: datetime, covered_until: datetime) -> None:
        """Add [covered_from, covered_until) to the span, in one statement.

        Its end never moves back, and never over a gap: what lies between would not be looked for again.
        Its beginning stays as first set.
        """
        with self._engine.begin() as connection:
            new = insert_into(connection, watermark).values(
                name=queries.EXTRACTION, covered_from=covered_from, covered_until=covered_until
            )
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=[watermark.c.name],
                    set_={"covered_until": new.excluded.covered_until},
                    where=(new.excluded.covered_until > watermark.c.covered_until)
                    & (new.excluded.covered_from <= watermark.c.covered_until),
                )
            )

    def count_planned_by_agent(self) -> dict[str, int]:
        """Count planned interactions by their agent's address (trimmed, case-folded)."""
        planned: Counter[str] = Counter()
        with self._reader.begin() as connection:
            for address, number in _spellings(connection):
                planned[same_address(address)] += number
        return dict(planned)

    def mark_profiles(self, approved: Collection[str], not_approved: Collection[str]) -> dict[str, int]:
        """Mark planned interactions; returns those of each not approved agent who has any.

        Agents in neither list keep the mark they have: a failed look-up says nothing about anybody.
        """
        verdict = dict.fromkeys(map(same_address, not_approved), "not_approved")
        verdict |= dict.fromkeys(map(same_address, approved), "approved")
        spellings: dict[str, list[str]] = {"approved": [], "not_approved": []}
        warned: Counter[str] = Counter()
        with self._engine.begin() as connection:
            for address, number in _spellings(connection):
                word = verdict.get(same_address(address))
                if word is None:
                    continue
                spellings[word].append(address)
                if word == "not_approved":
                    warned[same_address(address)] += number
            for word, addresses in spellings.items():
                for some in batches(addresses):
                    connection.execute(_MARK, {"word": word, "addresses": some})
        return dict(warned)


def insert_closings(
    connection: Connection,
    batch: Collection[Interaction],
    now: datetime,
    by: Actor,
    counts: Recorded,
    secret: bytes,
) -> None:
    """Insert the closings that are new and add to the counts; `secret` keys the hash of the customer's address."""
    insert_new = _insert_sqlite if connection.dialect.name == "sqlite" else _insert_postgresql
    # One parameter for all rows: preparing one for each value takes both drivers longer than the inserting.
    rows = {"rows": _rows(batch, secret), "at": now, **given_by(by)}
    known = len(batch)
    for reason, number in insert_new(connection, rows):
        known -= number
        if reason is None:
            counts.planned += number
        else:
            counts.skipped[Reason(reason)] += number
    counts.known += known
    if known < len(batch):
        conversations = list({closing.conversation_id for closing in batch})
        counts.superseded += len(_SUPERSEDE.apply(connection, now, {"conversations": conversations}, by=by))


def _transactions(interactions: Sequence[Interaction]) -> Iterator[list[Interaction]]:
    """Cut into transactions.

    Inside each the order is that of the key: two processes that insert the same closings wait for one another
    rather than deadlock.
    """
    for some in batches(interactions):
        yield sorted(some, key=attrgetter("conversation_id", "closed_at"))


def _insert_sqlite(connection: Connection, rows: dict[str, Any]) -> Sequence[Row[str | None, int]]:
    """Insert what is new, each with its event; returns how many by reason."""
    last = connection.execute(_LAST).scalar_one()  # later rows are ours: nothing else writes meanwhile
    connection.execute(_INSERT, rows)
    connection.execute(_APPEND_EVENTS, {**rows, "last": last})
    return connection.execute(_COUNT, {"last": last}).all()


def _insert_postgresql(connection: Connection, rows: dict[str, Any]) -> Sequence[Row[str | None, int]]:
    """Do the same in one statement, since ids do not say who inserted them."""
    return connection.execute(_INSERT_APPEND_COUNT, rows).all()


def _rows(batch: Collection[Interaction], secret: bytes) -> str:
    """Return the values of `_FILLED` as the columns hold them: JSON, a list for each closing."""
    rows = [_row(closing, secret) for closing in batch]
    text = json.dumps(rows)
    if "\\u0000" in text or "\\ud" in text:  # perhaps a NUL or half a surrogate pair: what no database can hold
        text = json.dumps([[storable(value) if isinstance(value, str) else value for value in row] for row in rows])
    return text


def _row(closing: Interaction, secret: bytes) -> list[Any]:
    return [
        *_read_given(closing),
        State.SKIPPED if closing.skip else State.PLANNED,
        closing.skip,
        milliseconds(closing.closed_at),
        milliseconds(closing.due_at),
        closing.first_due_at and milliseconds(closing.first_due_at),
        names_text(closing.tags),
        mapping_text(closing.custom_properties),
        customer_key(secret, closing.customer_email) if closing.customer_email else None,
    ]


def _spellings(connection: Connection) -> list[tuple[str, int]]:
    # Folded in Python, not in SQL: SQLite's lower() knows ASCII only, PostgreSQL's depends on the server's locale.
    rows = connection.execute(
        select(interaction.c.agent_email, func.count())
        .where(state_is(State.PLANNED))
        .group_by(interaction.c.agent_email)
    )
    return [(address, number) for address, number in rows]


def _superseding() -> Transition:
    # A row that another process holds at this moment is passed over, not waited for (no deadlock): a claim
    # looks for later closings again.
    earlier = (
        select(interaction.c.id)
        .where(interaction.c.conversation_id.in_(bindparam("conversations", expanding=True)), has_later_closing())
        .cte("earlier")
        .prefix_with("MATERIALIZED")  # or PostgreSQL may walk through everything planned
    )
    waiting = (
        select(interaction.c.id)
        .where(interaction.c.id.in_(select(earlier.c.id)), state_is(State.PLANNED))
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    change = (
        update(interaction)
        .where(interaction.c.id.in_(select(waiting.c.id)))
        .values(state=State.CANCELLED, reason=Reason.SUPERSEDED)
    )
    return Transition(State.PLANNED, change)


_GIVEN = (
    "conversation_id",
    "detail",
    "customer_id",
    "customer_name",
    "customer_email",
    "agent_id",
    "agent_email",
    "agent_name",
    "do_not_send",
    "rule",
    "survey",
    "channel",
    "brand",
    "language",
    "country",
    "time_zone",
    "facts",
)
"""The columns that hold an attribute of the closing as it is."""
_read_given = attrgetter(*_GIVEN)
_FILLED = [
    *(interaction.c[name] for name in _GIVEN),
    interaction.c.state,
    interaction.c.reason,
    interaction.c.closed_at,
    interaction.c.due_at,
    interaction.c.first_due_at,
    interaction.c.tags,
    interaction.c.custom_properties,
    interaction.c.customer_key,
]
"""The columns of a new row, in the order of `_row`."""
_RECORDED = [*_FILLED, interaction.c.attempts, interaction.c.created_at, interaction.c.updated_at]
_AT = bindparam("at", type_=Instant)
_NO_ATTEMPTS: ColumnElement[int] = literal_column("0")


def _append_events(new: Any, *where: ColumnElement[bool]) -> Insert:
    """Append the first event of each row of `new`."""
    row = select(new.c.id, _AT, new.c.state, new.c.reason, new.c.detail, *BY)
    names = ["interaction_id", "at", "to_state", "reason", "detail", *BY_COLUMNS]
    return insert(interaction_event).from_select(names, row.where(*where))


_LAST = select(func.coalesce(func.max(interaction.c.id), 0))
_INSERT = (
    sqlite.insert(interaction)
    .from_select(
        _RECORDED,
        select(
            *(literal_column(f"json_extract(value, '$[{place}]')") for place in range(len(_FILLED))),
            *(_NO_ATTEMPTS, _AT, _AT),
        )
        .select_from(func.json_each(bindparam("rows")))
        .where(true()),  # or SQLite would read the conflict clause as a join's
    )
    .on_conflict_do_nothing()
)
_ADDED = interaction.c.id > bindparam("last")
_APPEND_EVENTS = _append_events(interaction, _ADDED)
_COUNT = select(interaction.c.reason, func.count()).where(_ADDED).group_by(interaction.c.reason)

_NEW = (
    postgresql.insert(interaction)
    .from_select(
        _RECORDED,
        select(
            *(cast(literal_column(f"value ->> {place}"), column.type) for place, column in enumerate(_FILLED)),
            *(_NO_ATTEMPTS, _AT, _AT),
        ).select_from(func.json_array_elements(cast(bindparam("rows", type_=Text), postgresql.JSON))),
    )
    .on_conflict_do_nothing()
    .returning(interaction.c.id, interaction.c.state, interaction.c.reason, interaction.c.detail)
    .cte("new")
)
_INSERT_APPEND_COUNT = (
    select(_NEW.c.reason, func.count()).group_by(_NEW.c.reason).add_cte(_append_events(_NEW).cte("events"))
)
_SUPERSEDE = _superseding()
_UNMARKED = (
    select(interaction.c.id)
    .where(
        state_is(State.PLANNED),
        interaction.c.agent_email.in_(bindparam("addresses", expanding=True)),
        or_(interaction.c.agent_profile.is_(None), interaction.c.agent_profile != bindparam("word")),
    )
    .with_for_update(skip_locked=True)  # what is just being claimed needs no warning any more
    .cte("unmarked")
)
_MARK = (
    update(interaction).where(interaction.c.id.in_(select(_UNMARKED.c.id))).values(agent_profile=bindparam("word"))
)
