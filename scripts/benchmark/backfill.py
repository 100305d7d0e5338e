"""A backfill of many past hours with few closings through the cluster: what starting tasks costs."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from include.sandbox.model import DO_NOT_SEND
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import HOUR
from scripts.benchmark.stream import SEARCHES_PER_MINUTE, sandbox
from scripts.stack.api import FINAL_STATES, AirflowApi
from scripts.stack.cluster import Cluster, Vendors
from scripts.stack.connections import DAG_ID
from scripts.stack.ports import HOST, free_port
from scripts.stack.stack import SETTINGS_VARIABLE
from scripts.stack.waiting import wait_until

MAX_TIMES_THE_LIMIT = 1.2
AIRFLOWS_ACTIVE_RUNS = 10
"""What `airflow backfill create` and the form in the UI take by default."""
MAX_SECONDS = 4 * 3600


def measure(*, quick: bool) -> Iterator[Figure]:
    """Backfill three days of an organisation that closes 10 an hour, all of it past its due time."""
    hours, per_hour = 6 if quick else 72, 10
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    start = end - hours * HOUR
    vendors = Vendors(f"http://{HOST}:{free_port()}", f"http://{HOST}:{free_port()}")
    with (
        TemporaryDirectory(prefix="benchmark-") as directory,
        Cluster(Path(directory) / "cluster", vendors, durable=True) as cluster,
        sandbox(vendors, Path(directory), hours * per_hour, start, end) as both,
    ):
        _prepare(cluster.api, hours)
        before = both.ask("requests")["calls"]
        seconds, failed = _backfill(cluster.api, start, end, hours)
        calls = {call: number - before.get(call, 0) for call, number in both.ask("requests")["calls"].items()}
        counts, difference = both.counts(), both.difference()
    searches = calls["POST /v1/customers/search"]
    limit = searches / SEARCHES_PER_MINUTE * 60
    kustomer = sum(n for call, n in calls.items() if call.startswith("GET /v1/")) + searches
    yield Figure(
        "backfill",
        f"a backfill of {hours} hours of {per_hour:,} closings, time against the vendor's limit of searches",
        f"{seconds / 60:.1f} min = {seconds / limit:.2f} × the limit",
        f"≤ {MAX_TIMES_THE_LIMIT} ×",
        seconds <= MAX_TIMES_THE_LIMIT * limit and not failed and not any(difference.values()),
        f"{limit / 60:.1f} min ({searches} searches at {SEARCHES_PER_MINUTE} a minute)",
        f"{failed} runs failed; {counts['accepted']:,} released, {difference}; {kustomer:,} calls to Kustomer, "
        f"{kustomer / seconds * 60:.0f} a minute. It waits for tasks to start, as 720 hours would.",
    )


def _prepare(api: AirflowApi, hours: int) -> None:
    settings = {
        "seconds_until_send": 60,
        "expire_after_seconds": 2 * hours * 3600,  # all of it is a survey, however old
        "do_not_send_attribute": DO_NOT_SEND,
    }
    api.set_variable(SETTINGS_VARIABLE, settings)
    api.wait_for_dag(DAG_ID)
    api.set_paused(DAG_ID, paused=False)
    wait_until(lambda: api.runs(DAG_ID), "the scheduled run", 120)
    api.wait_for_run(DAG_ID, api.runs(DAG_ID)[0]["dag_run_id"], 300)  # of an hour without closings


def _backfill(api: AirflowApi, start: datetime, end: datetime, hours: int) -> tuple[float, int]:
    """Return how many seconds it took and how many runs failed."""

    def ended(state: str) -> int:
        return api.count_runs(DAG_ID, run_type="backfill", state=state)

    began = time.monotonic()
    api.backfill(DAG_ID, start, end - HOUR, max_active_runs=AIRFLOWS_ACTIVE_RUNS)
    wait_until(lambda: sum(map(ended, FINAL_STATES)) == hours, "all runs to end", MAX_SECONDS, every=2)
    return time.monotonic() - began, ended("failed")
