"""What the page inside the Airflow UI asks the ledger, and how long it waits for the answers.

Every filter beside every sort, the worst ones included: what is rare, what is not there, what ended long ago, the
last page. The baseline asks the same of the same ledger without the page's indexes.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine, text

from include.interactions.states import Reason, State
from include.ledger import Ledger, connect
from include.ledger.reports import agents, listing, overview, responses, story
from include.ledger.reports.listing import Filter, Sort
from include.ledger.reports.responses import CardFilter
from include.ledger.schema import metadata
from scripts import postgres
from scripts.benchmark.figure import Figure
from scripts.benchmark.filled import LEFT_EARLY, agent_id, fill

BAR_MILLISECONDS = 300
DAY = timedelta(days=1)
_PAGE_INDEXES = frozenset(
    {
        "ix_interaction_closed_at",
        "ix_interaction_due_at",
        "ix_interaction_state",
        "ix_interaction_reason",
        "ix_interaction_agent",
        "ix_interaction_customer_email",
        "ix_interaction_customer",
        "ix_survey_response_answered",
        "ix_survey_response_channel",
    }
)

Question = Callable[[Connection], Any]


def measure(*, quick: bool) -> Iterator[Figure]:
    """SQLite, then PostgreSQL, each filled anew."""
    with TemporaryDirectory(prefix="benchmark-") as directory:
        url = f"sqlite:///{Path(directory) / 'ledger.db'}"
        yield from _measured("SQLite", url, 5_000 if quick else 100_000, 2 if quick else 3)
    with postgres.running() as server:
        yield from _measured(
            "PostgreSQL", server.create_database(), 20_000 if quick else 1_000_000, 2 if quick else 5
        )


def questions(now: datetime) -> Mapping[str, Mapping[str, Question]]:
    """What each view asks, by view and by what was chosen there."""
    begin, end = now - 5 * DAY, now - 4 * DAY
    few, rare = frozenset({State.REJECTED, State.CANCELLED, State.UNKNOWN}), frozenset({Reason.EXPIRED})
    busy, gone = agent_id(0), agent_id(LEFT_EARLY)
    filters = {
        "everything": Filter(),
        "a conversation": Filter(text="66aa0000000000029e3779b1"),
        "an address": Filter(text="julia.costa259@example.com"),
        "a common beginning of addresses": Filter(text="jul"),
        "an agent's name": Filter(text="Mila Kim"),
        "a text that is nowhere": Filter(text="zzz-nowhere"),
        "the most frequent state": Filter(states=frozenset({State.SENT})),
        "a state of few": Filter(states=frozenset({State.REJECTED})),
        "states of few": Filter(states=few),
        "a reason of long ago": Filter(reasons=rare),
        "a reason of many": Filter(reasons=frozenset({Reason.REOPENED})),
        "a busy agent": Filter(agent_id=busy),
        "an agent who left long ago": Filter(agent_id=gone),
        "a busy agent's refused": Filter(agent_id=busy, states=frozenset({State.REJECTED})),
        "an agent on days when he had left": Filter(agent_id=gone, closed_from=begin, closed_until=end),
        "a day": Filter(closed_from=begin, closed_until=end),
        "a day's skipped": Filter(states=frozenset({State.SKIPPED}), closed_from=begin, closed_until=end),
        "the channel of nearly all": Filter(channel="email"),
        "a channel of few": Filter(channel="sms"),
        "overdue": Filter(overdue_at=now),
        "common addresses of a rare reason": Filter(text="jul", reasons=rare),
    }
    last = 40  # 2,000 rows are counted

    def table(chosen: Filter, sort: Sort, descending: bool, number: int = 1) -> Question:
        return lambda connection: listing.page(connection, chosen, sort, descending=descending, number=number)

    lists = {
        f"{name}, by {sort}{' down' if down else ''}": table(chosen, sort, down)
        for (name, chosen), sort, down in product(filters.items(), Sort, (False, True))
    }
    cards = {
        "all answers": CardFilter(),
        "answers of a busy agent": CardFilter(agent_id=busy),
        "answers of an agent who left": CardFilter(agent_id=gone),
        "one star": CardFilter(ratings=frozenset({1})),
        "a day's answers": CardFilter(answered_from=now - 3 * DAY, answered_until=now - 2 * DAY),
    }

    def deck(chosen: CardFilter) -> Question:
        return lambda connection: responses.page(connection, chosen)

    return {
        "overview": {
            "funnel of a day": lambda c: overview.funnel(c, now - 2 * DAY, now - DAY),
            "what falls due in 24 h": lambda c: overview.falling_due(c, now, now + DAY, timedelta(minutes=30)),
            "lateness of a day": lambda c: overview.lateness(c, now - DAY, now),
            "alarms": lambda c: overview.alarms(c, now),
            "activity": overview.activity,
        },
        "interactions": {**lists, "the last page": table(Filter(), Sort.CLOSED_AT, True, last)},
        "one interaction": {"its story": lambda c: story.story(c, 4_000)},
        "agents": {
            "all, last 7 days": lambda c: agents.report(c, now - 7 * DAY, now),
            "a busy agent's stream": lambda c: agents.stream(c, busy),
        },
        "responses": {
            **{name: deck(chosen) for name, chosen in cards.items()},
            "by day, last 30 days": lambda c: responses.averages_by_day(c, now - 30 * DAY, now),
            "by agent, last 7 days": lambda c: responses.averages_by_agent(c, now - 7 * DAY, now),
        },
    }


def _measured(database: str, url: str, interactions: int, times: int) -> Iterator[Figure]:
    engine, now = connect(url), datetime.now(UTC).replace(microsecond=0)
    ledger = Ledger(engine)
    ledger.migrate()
    began = time.perf_counter()
    fill(engine, interactions, until=now)
    filled = time.perf_counter() - began
    answers = {view: _times(ledger, asked, times) for view, asked in questions(now).items()}
    bytes_each, index_bytes = _bytes(engine, interactions)
    with engine.begin() as connection:
        for index in (index for table in metadata.sorted_tables for index in table.indexes):
            if index.name in _PAGE_INDEXES:
                index.drop(connection)
    plain = {view: _times(ledger, asked, 1) for view, asked in questions(now).items()}
    for view, times_of in answers.items():
        every = sorted(value for values in times_of.values() for value in values)
        worst = max(times_of, key=lambda name: statistics.median(times_of[name]))
        without = sorted(value for values in plain[view].values() for value in values)
        yield Figure(
            "views",
            f"page's questions, {view}, {interactions:,} interactions, {database}",
            f"p95 {_p95(every):.0f} ms",
            f"≤ {BAR_MILLISECONDS} ms",
            _p95(every) <= BAR_MILLISECONDS,
            f"p95 {_p95(without):.0f} ms (without the page's indexes)",
            f"Median {statistics.median(every):.0f} ms, most {every[-1]:.0f} ms; {len(times_of)} questions, each "
            f"{times} times; slowest on the median: {worst} ({statistics.median(times_of[worst]):.0f} ms). "
            f"Filled in {filled:.0f} s.",
        )
    if bytes_each:
        yield Figure(
            "views",
            f"bytes of an interaction, {interactions:,} interactions, {database}",
            f"{bytes_each:.0f}",
            "none set",
            True,
            f"{bytes_each - index_bytes:.0f} (without the page's indexes)",
            f"With events and responses, tables and indexes, freshly written; page's indexes: {index_bytes:.0f}.",
        )
    engine.dispose()


def _times(ledger: Ledger, asked: Mapping[str, Question], times: int) -> dict[str, list[float]]:
    """Milliseconds of each question, each time on a connection of its own."""
    measured: dict[str, list[float]] = {}
    for name, question in asked.items():
        measured[name] = []
        for _ in range(times):
            began = time.perf_counter()
            with ledger.read() as connection:
                question(connection)
            measured[name].append((time.perf_counter() - began) * 1_000)
        if os.environ.get("BENCHMARK_VERBOSE"):
            print(f"{statistics.median(measured[name]):8.0f} ms  {name}")
    return measured


def _bytes(engine: Engine, interactions: int) -> tuple[float, float]:
    """Bytes of an interaction with all that belongs to it, and of these the page's indexes'; 0 on SQLite."""
    if engine.dialect.name != "postgresql":
        return 0, 0
    with engine.connect() as connection:
        total = connection.execute(
            text(
                "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
                "WHERE relname IN ('interaction', 'interaction_event', 'survey_response')"
            )
        ).scalar_one()
        indexes = connection.execute(
            text("SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relname = ANY(:names)"),
            {"names": sorted(_PAGE_INDEXES)},
        ).scalar_one()
    return float(total) / interactions, float(indexes) / interactions


def _p95(ordered: list[float]) -> float:
    return ordered[int(len(ordered) * 0.95)]
