"""A steady stream of interactions through the whole cluster, from Kustomer's search to the last POST."""

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from include.interactions.settings import Settings
from include.sandbox.model import DO_NOT_SEND
from scripts.benchmark.figure import Figure
from scripts.benchmark.release import POST_SECONDS, late_seconds
from scripts.benchmark.usage import cpu_seconds, family, mebibytes
from scripts.stack.cluster import Cluster, Vendors
from scripts.stack.connections import DAG_ID
from scripts.stack.ports import HOST, free_port
from scripts.stack.sandbox import RunningSandbox, running_sandbox
from scripts.stack.stack import SETTINGS_VARIABLE
from scripts.stack.waiting import wait_until

HOUR = timedelta(hours=1)
SENT_SHARE = 0.9
"""Of the invented conversations at least so many are to be sent; the others are skipped, each for its reason."""
SEARCHES_PER_MINUTE = 100
LATE_SECONDS = Settings().release_window_seconds + 30
MAX_SMALL_LATE_SECONDS = 10
SAMPLE_SECONDS = 30
GRACE = timedelta(minutes=15)
"""After the last due time, until a run that has not ended counts as failed."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What became of a stream. Times in seconds, memory in MiB."""

    seconds: float
    released: int
    wrong: dict[str, int]
    """Missing, unexpected, wrong in content, received twice."""
    late: list[float]
    """By the simulator's clock: when it accepted, minus the due time; in order."""
    instances: int
    state: str
    airflow_cpu: float
    postgres_cpu: float
    idle_cpu: float
    """Airflow's CPU-seconds a second with nothing to do, in the minute before."""
    most_memory: float
    load: float
    """Median of the one-minute load averages."""

    @property
    def p99(self) -> float:
        """The lateness that one in a hundred exceeds."""
        return self.late[int(len(self.late) * 0.99)]

    @property
    def cpu_each(self) -> float:
        """Airflow's CPU-seconds per released interaction, idle running included."""
        return self.airflow_cpu / self.released

    def __str__(self) -> str:
        return "; ".join(
            (
                f"{self.released:,} released in {self.seconds / 60:.0f} min from trigger to end",
                f"run {self.state}, {self.instances} task instances",
                f"lateness median {statistics.median(self.late):.1f} s, most {self.late[-1]:.1f} s",
                ", ".join(f"{what} {number}" for what, number in self.wrong.items()),
                f"Airflow {self.airflow_cpu:,.0f} CPU-s ({self.cpu_each * 1000:.1f} per 1,000)",
                f"idle before {self.idle_cpu:.2f} CPU-s/s",
                f"PostgreSQL {self.postgres_cpu:,.0f} CPU-s",
                f"memory of Airflow and Redis at most {self.most_memory:,.0f} MiB",
                f"load median {self.load:.1f}",
            )
        )


def measure_hour(*, quick: bool) -> Iterator[Figure]:
    """A whole hour with 100,000 interactions."""
    minutes, interactions = (5, 8_334) if quick else (60, 100_000)
    stream = run(interactions, timedelta(minutes=minutes))
    doubled = stream.wrong["duplicates"]
    yield Figure(
        "hour",
        f"{minutes} min of an hour of 100,000 interactions, the whole cluster: released, lateness p99",
        f"{stream.released:,}; p99 {stream.p99:.1f} s; earliest {stream.late[0]:+.2f} s; {doubled} duplicates",
        f"{interactions:,}; ≤ {LATE_SECONDS} s; never early; 0",
        stream.released >= interactions
        and stream.p99 <= LATE_SECONDS
        and stream.late[0] >= 0
        and not any(stream.wrong.values()),
        "none",
        f"{stream}. Two workers of four tasks, two schedulers, two triggerers, PostgreSQL with fsync; default "
        f"settings, vendors' default limits, 200 ms for each POST. One scheduled run, which extracts all of it "
        f"before the first is due.",
    )


def measure_small(*, quick: bool) -> Iterator[Figure]:
    """Windows of five seconds at 30 interactions a second."""
    minutes, window_seconds = 1 if quick else 3, 5
    stream = run(30 * 60 * minutes, timedelta(minutes=minutes), release_window_seconds=window_seconds)
    yield Figure(
        "small",
        f"30 interactions a second for {minutes} min, windows of {window_seconds} s, whole cluster: lateness p99",
        f"{stream.p99:.1f} s; earliest {stream.late[0]:+.2f} s; {stream.wrong['duplicates']} duplicates",
        f"≤ {MAX_SMALL_LATE_SECONDS} s; never early; 0",
        stream.p99 <= MAX_SMALL_LATE_SECONDS and stream.late[0] >= 0 and not any(stream.wrong.values()),
        f"{window_seconds} s, the window's own",
        f"{stream}. Cluster and simulators as in the row hour.",
    )


def run(interactions: int, span: timedelta, **settings: object) -> Stream:
    """Let at least so many interactions fall due within `span`, and see what becomes of them."""
    vendors = Vendors(f"http://{HOST}:{free_port()}", f"http://{HOST}:{free_port()}")
    minute = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=3)
    with (
        TemporaryDirectory(prefix="benchmark-") as directory,
        Cluster(
            Path(directory) / "cluster",
            vendors,
            durable=True,
            # The first run's interval ends with the closings, while the cluster starts; the next one an hour later.
            extra={"KUSTOMER_STELLA_SCHEDULE": f"{minute.minute} * * * *"},
        ) as cluster,
    ):
        cluster.api.wait_for_dag(DAG_ID)
        idle = _idle(cluster)
        wait_until(lambda: datetime.now(UTC) > minute, "the end of the first interval", 300)
        with sandbox(vendors, Path(directory), int(interactions / SENT_SHARE), minute - span, minute) as both:
            return _stream(cluster, both, span, minute, idle, settings)


@contextmanager
def sandbox(
    vendors: Vendors, home: Path, conversations: int, closed_from: datetime, closed_to: datetime
) -> Iterator[RunningSandbox]:
    """Run the simulators where the cluster looks for them: with the vendors' own limits, 200 ms for each POST."""
    ports = [int(url.rpartition(":")[2]) for url in (vendors.kustomer_url, vendors.stella_url)]
    with running_sandbox(
        home / "sandbox.log",
        kustomer_port=ports[0],
        stella_port=ports[1],
        conversations=conversations,
        closed_from=closed_from.isoformat(),
        closed_to=closed_to.isoformat(),
        search_per_minute=SEARCHES_PER_MINUTE,
        post_seconds=POST_SECONDS,
    ) as both:
        yield both


def _stream(
    cluster: Cluster,
    both: RunningSandbox,
    span: timedelta,
    closed_to: datetime,
    idle_cpu: float,
    settings: Mapping[str, object],
) -> Stream:
    expected = len(both.ask("expected")["sent"])
    first_due = datetime.now(UTC) + _extraction_takes(both.ask("health")["conversations"])
    delay = int((first_due - (closed_to - span)).total_seconds())
    fixed = {"seconds_until_send": delay, "do_not_send_attribute": DO_NOT_SEND}
    cluster.api.set_variable(SETTINGS_VARIABLE, {**fixed, **settings})
    began = time.monotonic()
    airflow, database = cpu_seconds(cluster.pids()), cpu_seconds(family(cluster.postgres.pid))
    print(f"  {expected:,} to send, due from {first_due:%H:%M:%S} to {first_due + span:%H:%M:%S} UTC", flush=True)
    cluster.api.set_paused(DAG_ID, paused=False)
    run_id = wait_until(lambda: _run_of(cluster, closed_to), "the scheduled run", 300)
    memory, load = _watch(cluster, both, run_id, first_due + span + GRACE)
    seconds = time.monotonic() - began
    airflow = cpu_seconds(cluster.pids()) - airflow
    database = cpu_seconds(family(cluster.postgres.pid)) - database
    state = cluster.api.run_state(DAG_ID, run_id)
    return Stream(
        seconds=seconds,
        released=both.counts()["accepted"],
        wrong=both.difference(),
        late=sorted(_lateness(both, timedelta(seconds=delay))),
        instances=len(cluster.api.task_instances(DAG_ID, run_id)),
        state=state,
        airflow_cpu=airflow,
        postgres_cpu=database,
        idle_cpu=idle_cpu,
        most_memory=max(memory),
        load=statistics.median(load),
    )


def _run_of(cluster: Cluster, interval_end: datetime) -> str:
    """Return the run of an interval; Airflow may begin with the hour before, which has no closings."""
    runs = cluster.api.runs(DAG_ID)
    ids = [run["dag_run_id"] for run in runs if datetime.fromisoformat(run["data_interval_end"]) == interval_end]
    return ids[0] if ids else ""


def _extraction_takes(conversations: int) -> timedelta:
    """Time for two searches, of conversations and of customers, 500 rows a page; twice, for a busy machine."""
    searches = 2 * conversations / 500
    return timedelta(seconds=90 + 1.9 * searches / SEARCHES_PER_MINUTE * 60)


def _watch(cluster: Cluster, both: RunningSandbox, run_id: str, until: datetime) -> tuple[list[float], list[float]]:
    """Sample memory and load until the run has ended, or it is too late."""
    memory, load = [], []
    while cluster.api.run_state(DAG_ID, run_id) not in {"success", "failed"} and datetime.now(UTC) < until:
        memory.append(mebibytes(cluster.pids()))
        load.append(psutil.getloadavg()[0])
        counts = both.counts()
        print(f"  {datetime.now(UTC):%H:%M:%S} load {load[-1]:.1f}, {memory[-1]:,.0f} MiB, {counts}", flush=True)
        time.sleep(SAMPLE_SECONDS)
    return memory, load


def _lateness(both: RunningSandbox, delay: timedelta) -> Iterator[float]:
    start, page = 0, 5_000
    while accepted := both.ask(f"received?start={start}&limit={page}")["accepted"]:
        yield from (late_seconds(request, delay) for request in accepted)
        start += page


def _idle(cluster: Cluster) -> float:
    before = cpu_seconds(cluster.pids())
    time.sleep(60)
    return (cpu_seconds(cluster.pids()) - before) / 60
