"""The ledger with ten million interactions on PostgreSQL: planning and claiming a window, and its size."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from include.interactions.actor import Actor
from include.interactions.release_windows import release_windows
from include.interactions.settings import Settings
from include.ledger import Ledger, connect
from scripts.benchmark.figure import Figure
from scripts.benchmark.filled import fill
from scripts.benchmark.usage import cpu_seconds, family
from scripts.stack import postgres

WINDOW = 1_000
BATCH = 100
"""As the release claims them."""
LEASE = timedelta(minutes=5)
MAX_MILLISECONDS = 150
TIMES = 15
MAX_BYTES = 2_000
"""Of one interaction, with its events, its response and every index: 10 million fit in 20 GB."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Fill ledgers of two sizes; claim windows in both; weigh the greater."""
    sizes = (100_000, 300_000) if quick else (100_000, 10_000_000)
    with postgres.running(durable=True) as server:
        milliseconds, processors = {}, {}
        for interactions in sizes:
            engine = connect(server.create_database())
            Ledger(engine).migrate()
            now = datetime.now(UTC)
            began = time.perf_counter()
            # What was closed in the last of so many days is planned: enough for the windows, however small.
            fill(engine, interactions, until=now, days=30 if interactions >= 1_000_000 else 3)
            filling = time.perf_counter() - began
            computed = _computed(server)
            milliseconds[interactions] = _windows(engine, now)
            processors[interactions] = (_computed(server) - computed) * 1000 / TIMES
        bytes_each, parts = _bytes(engine, sizes[-1])
    small, great = (statistics.median(milliseconds[size]) for size in sizes)
    yield Figure(
        "ledger",
        f"planning and claiming a window of {WINDOW:,} among {sizes[-1]:,} interactions, PostgreSQL, median",
        f"{great:.0f} ms",
        f"≤ {MAX_MILLISECONDS} ms",
        great <= MAX_MILLISECONDS,
        f"{small:.0f} ms among {sizes[0]:,}",
        f"{TIMES} windows, {min(milliseconds[sizes[-1]]):.0f} to {max(milliseconds[sizes[-1]]):.0f} ms: due times "
        f"and windows, then {WINDOW // BATCH} claims of {BATCH}, each committed with its events. "
        f"Of it {processors[sizes[-1]]:.0f} ms of CPU, Python's and PostgreSQL's together "
        f"({processors[sizes[0]]:.0f} among {sizes[0]:,}): the rest is the disk, and the others' turns. "
        f"Filled in {filling:.0f} s.",
    )
    yield Figure(
        "ledger",
        f"bytes of the ledger per interaction, among {sizes[-1]:,}",
        f"{bytes_each:,.0f}",
        f"≤ {MAX_BYTES:,}",
        bytes_each <= MAX_BYTES,
        "none",
        f"{parts}. A month; no personal data erased yet.",
    )


def _windows(engine: Engine, now: datetime) -> list[float]:
    """Milliseconds for each of several windows, one after the other, of what is planned."""
    clock = now + timedelta(hours=24)  # everything is due: what is claimed does not depend on the time of day
    ledger = Ledger(engine, lambda: clock)
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        due_times = ledger.releasing.list_due_times(clock, limit=WINDOW)
        (window,) = release_windows(due_times, clock, Settings().release_window_seconds)
        claimed = [
            len(
                ledger.releasing.claim(
                    window.due_from, window.due_until, limit=BATCH, lease=LEASE, by=Actor(run_id="benchmark")
                )
            )
            for _ in range(WINDOW // BATCH)
        ]
        taken.append((time.perf_counter() - began) * 1000)
        if not WINDOW * 0.9 < sum(claimed) <= WINDOW:  # a few have a later closing, and are cancelled instead
            raise RuntimeError(f"claimed {claimed}")
    return taken


def _computed(server: postgres.PostgresServer) -> float:
    """CPU-seconds of this process and of PostgreSQL."""
    return time.process_time() + cpu_seconds(family(server.pid))


def _bytes(engine: Engine, interactions: int) -> tuple[float, str]:
    with engine.connect() as connection:
        sizes = connection.execute(
            text(
                "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
                " WHERE relname IN ('interaction', 'interaction_event', 'survey_response')"
            )
        ).all()
    total = sum(table + indexes for _, table, indexes in sizes)
    parts = "; ".join(
        f"{name} {table / interactions:,.0f} and its indexes {indexes / interactions:,.0f}"
        for name, table, indexes in sorted(sizes)
    )
    return total / interactions, parts
