"""How fast one task releases, and how late an interaction is sent."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.benchmark import child, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation, ledger_connection
from scripts.stack import postgres

PER_SECOND = 150
POST_SECONDS = 0.2
"""How long Stella Connect takes for an answer, where a row says so."""
SENDERS_BEFORE, BATCH_BEFORE = 8, 100
"""The shape of a release before it read ahead."""
SLOW_EVERY, SLOW_SECONDS = 50, 90
WINDOW_SECONDS = 60
MAX_LATE_SECONDS = WINDOW_SECONDS + 30
DELAY = timedelta(seconds=100)
"""Between closing and due time where lateness is measured: long enough for extraction before the first is due."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Everything due at once on both databases, beside sequential POSTs; no latency."""
    number = 600 if quick else 5_750  # of which 5,000 and more are eligible
    with installation(200 if quick else 1_000) as here:
        bodies = _bodies(here)
        began = time.perf_counter()
        for body in bodies:
            assert plain.post(here.sandbox, body)  # noqa: S101  a refused POST would be a wrong baseline
        baseline = len(bodies) / (time.perf_counter() - began)
    for database, rate, notes in _rates(number):
        yield Figure(
            "release",
            f"interactions released a second, one task, {database}, no latency",
            f"{rate:.0f}/s = {rate / baseline:.2f} ×",
            "≥ 0.8 ×",
            rate >= 0.8 * baseline,
            f"{baseline:.0f}/s (requests.post one after the other, no ledger)",
            notes,
        )


def measure_latency(*, quick: bool) -> Iterator[Figure]:
    """The same with 200 ms for each answer, beside the shape that a release had before."""
    number = 600 if quick else 5_750
    with installation(100 if quick else 450, post_seconds=POST_SECONDS) as here:
        bodies = _bodies(here)
        began = time.perf_counter()
        assert plain.post_in_batches(here.sandbox, bodies, SENDERS_BEFORE, BATCH_BEFORE)  # noqa: S101  as above
        baseline = len(bodies) / (time.perf_counter() - began)
    for database, rate, notes in _rates(number, post_seconds=POST_SECONDS):
        yield Figure(
            "latency",
            f"interactions released a second, one task, {database}, each answer after 200 ms",
            f"{rate:.0f}/s = {rate / baseline:.1f} ×",
            f"≥ 5 ×; ≥ {PER_SECOND}/s",
            rate >= max(5 * baseline, PER_SECOND),
            f"{baseline:.0f}/s ({SENDERS_BEFORE} senders, batches of {BATCH_BEFORE}, no ledger)",
            notes,
        )


def measure_minute(*, quick: bool) -> Iterator[Figure]:
    """A busy minute in real time, each answer after 200 ms."""
    late, done = _lateness(600 if quick else 5_750, post_seconds=POST_SECONDS)
    yield _lateness_figure("minute", "each answer after 200 ms", late, done)


def measure_slow(*, quick: bool) -> Iterator[Figure]:
    """The same with 1 in 50 answers after 90 s."""
    late, done = _lateness(
        600 if quick else 2_300,
        post_seconds=POST_SECONDS,
        slow_post_every=SLOW_EVERY,
        slow_post_seconds=SLOW_SECONDS,
    )
    yield _lateness_figure("slow", "1 in 50 answers after 90 s, the others after 200 ms", late, done)


def _rates(number: int, **options: Any) -> Iterator[tuple[str, float, str]]:
    """Yield the database, the rate and notes about it.

    Kustomer's limit is lifted: at 300 calls a minute the second looks allow 500 interactions a second.
    """
    with postgres.running() as server:
        for database in ("SQLite", "PostgreSQL"):
            ledger = ledger_connection(server.create_database()) if database == "PostgreSQL" else None
            yield database, *_rate(number, ledger, **options)


def _rate(number: int, ledger: Mapping[str, Any] | None, **options: Any) -> tuple[float, str]:
    with installation(number, **options) as here:
        env = here.env(ledger, seconds_until_send=60, kustomer_requests_per_minute=100_000)
        child.run("scripts.benchmark.tasks:extract", env, **here.span)
        done = child.run("scripts.benchmark.tasks:release_planned", env, **here.span)
        counts = here.sandbox.counts()
    assert counts["duplicates"] == done["unknown"] == 0, counts  # noqa: S101  the figure would be worth nothing
    notes = (
        f"{counts['accepted']:,} in {done['seconds']:.1f} s and {done['cpu_seconds']:.1f} CPU-seconds of the task, "
        f"all due, second look and two commits for each. Without the limit of 300 calls to Kustomer a minute, "
        f"which allows 500 interactions a second."
    )
    return counts["accepted"] / done["seconds"], notes


def _bodies(here: Installation) -> list[dict[str, Any]]:
    """Return requests that Stella Connect takes."""
    employee = plain.an_employee(here.sandbox)
    sent = here.sandbox.ask("expected")["sent"]
    return [plain.feedback_request(one, "somebody@example.com", employee) for one in sent]


def _lateness(number: int, **options: Any) -> tuple[list[float], dict[str, Any]]:
    """Closings of one minute, which fall due within one minute; lateness in seconds by the simulator's clock."""
    closed_from = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=WINDOW_SECONDS)
    seconds = int(DELAY.total_seconds())
    with installation(number, closed_from, timedelta(seconds=WINDOW_SECONDS), **options) as here:
        env = here.env(seconds_until_send=seconds)
        child.run("scripts.benchmark.tasks:extract", env, **here.span, seconds_until_send=seconds)
        done = child.run("scripts.benchmark.tasks:release_planned", env, **here.span)
        accepted = here.sandbox.ask("received")["accepted"]
    return sorted(late_seconds(each, DELAY) for each in accepted), done


def _lateness_figure(row: str, vendor: str, late: list[float], done: dict[str, Any]) -> Figure:
    p99 = late[int(len(late) * 0.99)]
    return Figure(
        row,
        f"lateness p99 with {len(late):,} due within a minute, {vendor}",
        f"{p99:.1f} s; earliest {late[0]:+.2f} s; {done['unknown']} unknown",
        f"≤ {MAX_LATE_SECONDS} s, never early, none unknown",
        p99 <= MAX_LATE_SECONDS and late[0] >= 0 and not done["unknown"],
        f"{WINDOW_SECONDS} s, the window's own",
        f"Median {late[len(late) // 2]:.1f} s, most {late[-1]:.1f} s, {done['windows']} windows of "
        f"{WINDOW_SECONDS} s, one task after the other. SQLite. An answer's time comes on top.",
    )


def late_seconds(accepted: dict[str, Any], delay: timedelta) -> float:
    """Return how late a request came, by the simulator's clock."""
    closed_at = datetime.fromisoformat(accepted["request"]["custom_properties"]["closed_at"])
    return (datetime.fromisoformat(accepted["received_at"]) - closed_at - delay).total_seconds()
