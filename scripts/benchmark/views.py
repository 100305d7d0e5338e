"""How long the server takes for each page of the interactions page, and what that costs in space.

Airflow's own API server, with our plugin, a real login and a real socket; the ledger in another process or file.
Every filter of the table beside every sort, the worst ones included: what is rare, what is not there, what ended
long ago, the last page. The baseline is the same pages while the ledger is empty: what login, socket and page take.
"""

import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import requests
from sqlalchemy import Engine, make_url, text

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.reports.listing import Sort
from scripts.benchmark.figure import Figure
from scripts.benchmark.filled import LEFT_EARLY, agent_id, fill
from scripts.stack import postgres
from scripts.stack.ports import HOST, loopback_session
from scripts.stack.stack import Stack

BAR_MILLISECONDS = 300
TIMES = 5
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

Pages = Mapping[str, str]
"""Addresses below the page's own, by what was chosen there."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """SQLite, then PostgreSQL, each filled anew."""
    with TemporaryDirectory(prefix="benchmark-") as directory:
        url = f"sqlite:///{Path(directory) / 'ledger.db'}"
        yield from _measured("SQLite", url, 5_000 if quick else 100_000)
    with postgres.running() as server:
        yield from _measured("PostgreSQL", server.create_database(), 20_000 if quick else 1_000_000)


def views(now: datetime) -> Mapping[str, Pages]:
    """Every view's pages."""
    day, busy, gone = (now - 5 * DAY).date(), agent_id(0), agent_id(LEFT_EARLY)
    few = (State.REJECTED, State.CANCELLED, State.UNKNOWN)
    filters: dict[str, dict[str, Any]] = {
        "everything": {},
        "a conversation": {"search_secret": "66aa0000000000029e3779b1"},
        "an address": {"search_secret": "julia.costa259@example.com"},
        "a common beginning of addresses": {"search_secret": "jul"},
        "an agent's name": {"search_secret": "Mila Kim"},
        "a text that is nowhere": {"search_secret": "zzz-nowhere"},
        "the most frequent state": {"state": State.SENT},
        "a state of few": {"state": State.REJECTED},
        "states of few": {"state": few},
        "a reason of long ago": {"reason": Reason.EXPIRED},
        "a reason of many": {"reason": Reason.REOPENED},
        "a busy agent": {"agent": busy},
        "an agent who left long ago": {"agent": gone},
        "a busy agent's refused": {"agent": busy, "state": State.REJECTED},
        "an agent on a day when he had left": {"agent": gone, "from": day, "to": day},
        "a day": {"from": day, "to": day},
        "a day's skipped": {"state": State.SKIPPED, "from": day, "to": day},
        "the channel of nearly all": {"channel": "email"},
        "a channel of few": {"channel": "sms"},
        "overdue": {"overdue": 1},
        "common addresses of a rare reason": {"search_secret": "jul", "reason": Reason.EXPIRED},
        "200 lines": {"size": 200},
        "the last page": {"page": 40},
    }
    spans, days, of_busy = ("today", "yesterday", "week"), (7, 30, 90), {"agent": busy}
    return {
        "overview": {
            f"{span}, {ahead}": _address("", span=span, ahead=ahead)
            for span, ahead in product(spans, ("hours", "day"))
        },
        "interactions": {
            f"{name}, by {sort} {order}": _address("list", **chosen, sort=sort, order=order)
            for (name, chosen), sort, order in product(filters.items(), Sort, ("asc", "desc"))
        },
        "one interaction": {f"number {number}": f"one/{number}" for number in (1, 40, 4_000)},
        "agents": {
            **{f"{span} days": _address("agents", days=span) for span in days},
            **{f"a busy agent's stream, {span} days": _address(f"agents/{busy}", days=span) for span in days},
            "the stream of one who left": f"agents/{gone}",
        },
        "responses": {
            **{f"{span} days": _address("responses", days=span) for span in days},
            **{f"a busy agent's, {span} days": _address("responses", days=span, **of_busy) for span in days},
            "of an agent who left": _address("responses", agent=gone),
            "one star": _address("responses", stars=1),
            "the last page": _address("responses", page=80),
        },
        "action": {"an agent's": _address("action", action="send_agent_again", **of_busy)},
    }


def _address(path: str, **query: Any) -> str:
    return f"{path}?{urlencode(query, doseq=True)}"


def _measured(database: str, url: str, interactions: int) -> Iterator[Figure]:
    engine, now = connect(url), datetime.now(UTC).replace(microsecond=0)
    Ledger(engine).migrate()
    with _api_server(url) as visitor:
        empty = {view: _times(visitor, pages, 1) for view, pages in views(now).items()}
        began = time.perf_counter()
        fill(engine, interactions, until=now)
        filled = time.perf_counter() - began
        answers = {view: _times(visitor, pages, TIMES) for view, pages in views(now).items()}
    for view, times_of in answers.items():
        every = sorted(value for values in times_of.values() for value in values)
        worst = max(times_of, key=lambda name: statistics.median(times_of[name]))
        slowest = statistics.median(times_of[worst])
        without = sorted(value for values in empty[view].values() for value in values)
        yield Figure(
            "views",
            f"page, {view}, {interactions:,} interactions, {database}",
            f"p95 {_p95(every):.0f} ms",
            f"≤ {BAR_MILLISECONDS} ms",
            max(_p95(every), slowest) <= BAR_MILLISECONDS,
            f"p95 {_p95(without):.0f} ms (the ledger still empty)",
            f"Median {statistics.median(every):.0f} ms, most {every[-1]:.0f} ms; {len(times_of)} addresses, each "
            f"{TIMES} times; the slowest on the median: {worst} ({slowest:.0f} ms; the bar is for it alone too). "
            f"Filled in {filled:.0f} s.",
        )
    bytes_each, index_bytes = _bytes(engine, interactions)
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


class _Visitor:
    """Somebody logged in at an API server, who asks for pages one after the other."""

    def __init__(self, stack: Stack) -> None:
        self._page = f"{stack.url}/interactions"
        self._session = loopback_session()
        login = {"username": "admin", "password": "admin"}
        token = self._session.post(f"{stack.url}/auth/token", json=login, timeout=30)
        token.raise_for_status()
        self._session.headers.update(
            {"Authorization": f"Bearer {token.json()['access_token']}", "Accept": "text/html"}
        )

    def milliseconds(self, address: str) -> float:
        """How long until the whole page was there."""
        began = time.perf_counter()
        answer = self._session.get(f"{self._page}/{address}", timeout=60)
        taken = time.perf_counter() - began
        if answer.status_code not in (
            requests.codes.ok,
            requests.codes.not_found,
        ):  # not found: in the empty ledger
            raise RuntimeError(f"{address}: {answer.status_code}")
        return taken * 1_000


@contextmanager
def _api_server(ledger: str) -> Iterator[_Visitor]:
    """Airflow's API server alone, as `airflow api-server` starts it, with this ledger."""
    url = make_url(ledger)
    if url.get_backend_name() == "sqlite":
        connection: dict[str, Any] = {"conn_type": "sqlite", "host": url.database}
    else:
        connection = {
            "conn_type": "postgres",
            "host": HOST,
            "port": url.port,
            "login": url.username,
            "schema": url.database,
        }
    kustomer = {
        "conn_type": "kustomer",
        "password": "k",
        "extra": {"web_url": "https://acme.kustomerapp.com"},
    }
    with TemporaryDirectory(prefix="benchmark-") as home:
        stack = Stack(Path(home), {"interaction_ledger": connection, "kustomer_default": kustomer})
        try:
            stack.migrate()
            stack.start("api-server")
            stack.wait_healthy()
            visitor = _Visitor(stack)
            visitor.milliseconds("")  # the first request imports the page
            yield visitor
        finally:
            stack.stop()


def _times(visitor: _Visitor, pages: Pages, times: int) -> dict[str, list[float]]:
    """Milliseconds of each page."""
    measured: dict[str, list[float]] = {}
    for name, address in pages.items():
        measured[name] = [visitor.milliseconds(address) for _ in range(times)]
        if os.environ.get("BENCHMARK_VERBOSE"):
            print(f"{statistics.median(measured[name]):8.0f} ms  {name}", flush=True)
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
