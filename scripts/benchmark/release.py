"""How fast one task releases, and how late an interaction is sent."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.benchmark import child, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import installation, ledger_connection
from scripts.stack import postgres

PER_SECOND = 150
WINDOW_SECONDS = 60
MAX_LATE_SECONDS = WINDOW_SECONDS + 30
DELAY = timedelta(seconds=150)
"""Between closing and due time where lateness is measured: long enough for extraction before the first is due."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Everything due at once on both databases, sequential POSTs, then a busy minute in real time."""
    conversations = 600 if quick else 5_750  # of which 5,000 and more are eligible
    baseline = _plain_posts(200 if quick else 1_000)
    yield _rate("SQLite", conversations, None, baseline)
    with postgres.running() as server:
        yield _rate("PostgreSQL", conversations, ledger_connection(server.create_database()), baseline)
    yield _lateness(conversations)


def _rate(database: str, conversations: int, ledger: Mapping[str, Any] | None, baseline: float) -> Figure:
    with installation(conversations) as here:
        env = here.env(ledger, seconds_until_send=60)
        child.run("scripts.benchmark.tasks:extract", env, **here.span)
        done = child.run("scripts.benchmark.tasks:release_planned", env, **here.span)
        counts = here.sandbox.ask("received?limit=0")["counts"]
    rate = counts["accepted"] / done["seconds"]
    return Figure(
        "release",
        f"interactions released a second, one task, {database}",
        f"{rate:.0f}/s",
        f"≥ {PER_SECOND}/s",
        rate >= PER_SECOND and counts["duplicates"] == 0,
        f"{baseline:.0f}/s (requests.post one after the other, no ledger)",
        f"{counts['accepted']:,} in {done['seconds']:.1f} s, all due, second look and two commits for each; "
        f"{counts['duplicates']} duplicates. Default settings, so at most 300 calls to Kustomer a minute.",
    )


def _plain_posts(conversations: int) -> float:
    with installation(conversations) as here:
        sent, employee = here.sandbox.ask("expected")["sent"], plain.an_employee(here.sandbox)
        began = time.perf_counter()
        for conversation_id in sent:
            body = plain.feedback_request(conversation_id, "somebody@example.com", employee)
            assert plain.post(here.sandbox, body)  # noqa: S101  a refused POST would be a wrong baseline
        return len(sent) / (time.perf_counter() - began)


def _lateness(conversations: int) -> Figure:
    """Closings of one minute, which fall due within one minute; lateness by the simulator's clock."""
    closed_from = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=WINDOW_SECONDS)
    seconds = int(DELAY.total_seconds())
    with installation(conversations, closed_from, timedelta(seconds=WINDOW_SECONDS)) as here:
        env = here.env(seconds_until_send=seconds)
        child.run("scripts.benchmark.tasks:extract", env, **here.span, seconds_until_send=seconds)
        done = child.run("scripts.benchmark.tasks:release_planned", env, **here.span)
        accepted = here.sandbox.ask("received")["accepted"]
    late = sorted(_late(request) for request in accepted)
    p99 = late[int(len(late) * 0.99)]
    return Figure(
        "release",
        f"lateness p99 with {len(late):,} interactions due within a minute",
        f"{p99:.1f} s; earliest {late[0]:+.2f} s",
        f"≤ {MAX_LATE_SECONDS} s, never early",
        p99 <= MAX_LATE_SECONDS and late[0] >= 0,
        "none",
        f"Median {late[len(late) // 2]:.1f} s, most {late[-1]:.1f} s, {done['windows']} windows of "
        f"{WINDOW_SECONDS} s, of which up to {WINDOW_SECONDS} s are the window's own. SQLite.",
    )


def _late(accepted: dict[str, Any]) -> float:
    closed_at = datetime.fromisoformat(accepted["request"]["custom_properties"]["closed_at"])
    return (datetime.fromisoformat(accepted["received_at"]) - closed_at - DELAY).total_seconds()
