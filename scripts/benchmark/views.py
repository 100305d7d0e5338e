"""How long the server takes for each page of the interactions page.

Airflow's own API server, with our plugin, a real login and a real socket; the ledger in another process or file.
The addresses are those that cost most: what is rare, what is not there, what ended long ago, the last page.
The baseline is the same pages while the ledger is empty: what login, socket and page take.
"""

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

from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.reports.listing import Sort
from scripts.benchmark.figure import Figure
from scripts.benchmark.filled import LEFT_EARLY, agent_id, fill
from scripts.benchmark.installation import ledger_connection
from scripts.stack import postgres
from scripts.stack.ports import loopback_session
from scripts.stack.stack import Stack

MAX_MILLISECONDS = 300
TIMES = 5
DAY = timedelta(days=1)
Times = Mapping[str, Mapping[str, list[float]]]
"""Milliseconds of each page, by view and address."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure SQLite, then PostgreSQL, each newly filled."""
    with TemporaryDirectory(prefix="benchmark-") as directory:
        url = f"sqlite:///{Path(directory) / 'ledger.db'}"
        yield _measured("SQLite", url, 5_000 if quick else 100_000)
    with postgres.running(durable=True) as server:
        yield _measured("PostgreSQL", server.create_database(), 20_000 if quick else 1_000_000)


def _measured(database: str, url: str, interactions: int) -> Figure:
    engine, now = connect(url), datetime.now(UTC).replace(microsecond=0)
    Ledger(engine).migrate()
    with _api_server(ledger_connection(url)) as visitor:
        empty = visitor.times(now, 1)
        fill(engine, interactions, until=now)
        filled = visitor.times(now, TIMES)
    engine.dispose()
    by_view = {view: _p95(pages) for view, pages in filled.items()}
    view = max(by_view, key=lambda name: by_view[name])
    medians = {name: statistics.median(times) for pages in filled.values() for name, times in pages.items()}
    slowest = max(medians, key=lambda name: medians[name])
    return Figure(
        "views",
        f"slowest view and slowest single page, {interactions:,} interactions, {database}",
        f"p95 {by_view[view]:.0f} ms ({view}); {medians[slowest]:.0f} ms",
        f"≤ {MAX_MILLISECONDS} ms",
        max(by_view[view], medians[slowest]) <= MAX_MILLISECONDS,
        f"p95 {max(map(_p95, empty.values())):.0f} ms with an empty ledger",
        f"p95 of each view: {', '.join(f'{name} {p95:.0f} ms' for name, p95 in by_view.items())}. "
        f"{len(medians)} addresses, each {TIMES} times; slowest page: {slowest}.",
    )


def addresses(now: datetime) -> Mapping[str, list[str]]:
    """Return every view's addresses below the page's own."""
    day, busy, gone = (now - 5 * DAY).date(), agent_id(0), agent_id(LEFT_EARLY)
    filters: list[dict[str, Any]] = [
        {},
        {"search_secret": "66aa0000000000029e3779b1"},
        {"search_secret": "jul"},
        {"search_secret": "zzz-nowhere"},
        {"search_secret": "jul", "reason": "expired"},
        {"state": State.SENT},
        {"state": (State.REJECTED, State.CANCELLED, State.UNKNOWN)},
        {"state": State.SKIPPED, "from": day, "to": day},
        {"agent": busy},
        {"agent": gone, "from": day, "to": day},
        {"channel": "sms"},
        {"overdue": 1},
        {"page": 40, "size": 200},
    ]
    of_days: list[dict[str, Any]] = [{"days": days} for days in (7, 90)]
    return {
        "overview": [_address("", span=span, ahead="day") for span in ("today", "week")],
        "interactions": [
            _address("list", **chosen, sort=sort, order=order)
            for chosen, sort, order in product(filters, Sort, ("asc", "desc"))
        ],
        "one interaction": ["one/1", "one/4000"],
        "agents": [_address(path, **days) for path in ("agents", f"agents/{busy}") for days in of_days],
        "responses": [
            _address("responses", **chosen)
            for chosen in (*of_days, {"agent": gone}, {"stars": 1}, {"page": 80}, {"by": "day"})
        ],
    }


def _address(path: str, **query: Any) -> str:
    return f"{path}?{urlencode(query, doseq=True)}"


class _Visitor:
    """Somebody logged in at an API server, who asks for pages one after the other."""

    def __init__(self, stack: Stack) -> None:
        self._page = f"{stack.url}/interactions"
        self._session = loopback_session()
        login = {"username": "admin", "password": "admin"}
        token = self._session.post(f"{stack.url}/auth/token", json=login, timeout=30)
        token.raise_for_status()
        bearer = f"Bearer {token.json()['access_token']}"
        self._session.headers.update({"Authorization": bearer, "Accept": "text/html"})

    def milliseconds(self, address: str) -> float:
        """Return how long it takes until the whole page is there."""
        began = time.perf_counter()
        answer = self._session.get(f"{self._page}/{address}", timeout=60)
        taken = time.perf_counter() - began
        if answer.status_code not in (requests.codes.ok, requests.codes.not_found):  # the empty ledger has no rows
            raise RuntimeError(f"{address}: {answer.status_code}")
        return taken * 1_000

    def times(self, now: datetime, times: int) -> Times:
        """Ask for every page so many times."""
        return {
            view: {address: [self.milliseconds(address) for _ in range(times)] for address in pages}
            for view, pages in addresses(now).items()
        }


@contextmanager
def _api_server(ledger: dict[str, Any]) -> Iterator[_Visitor]:
    """Airflow's API server alone, as `airflow api-server` starts it, with this ledger."""
    kustomer = {"conn_type": "kustomer", "password": "k", "extra": {"web_url": "https://acme.kustomerapp.com"}}
    with TemporaryDirectory(prefix="benchmark-") as home:
        stack = Stack(Path(home), {"interaction_ledger": ledger, "kustomer_default": kustomer})
        try:
            stack.migrate()
            stack.start("api-server")
            stack.wait_healthy()
            visitor = _Visitor(stack)
            visitor.milliseconds("")  # the first request imports the page
            yield visitor
        finally:
            stack.stop()


def _p95(pages: Mapping[str, list[float]]) -> float:
    ordered = sorted(time for times in pages.values() for time in times)
    return ordered[int(len(ordered) * 0.95)]
