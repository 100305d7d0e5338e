"""A cluster for tests: the whole stack of docker-compose.yaml beside a sandbox in this process."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.interactions.settings import MAX_SENDERS
from include.ledger import Ledger, connect
from include.sandbox import Sandbox, generate, start
from include.sandbox.control import expectation
from include.sandbox.model import DO_NOT_SEND
from scripts.stack.api import AirflowApi
from scripts.stack.cluster import Cluster, Vendors
from scripts.stack.connections import DAG_ID
from scripts.stack.stack import ROOT, SETTINGS_VARIABLE
from scripts.stack.waiting import wait_until
from tests.support.ledger import by_run

SETTINGS = {
    "release_window_seconds": 10,
    "do_not_send_attribute": DO_NOT_SEND,
    "kustomer_requests_per_minute": 100_000,
}
DEAD_TASKS_SOON = {
    # What is dead is missed within seconds instead of minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # So is what a dead worker had taken from the queue.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
}
IMPATIENT = DEAD_TASKS_SOON | {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}
WAIT, RELEASE = "release_window.wait_until_due", "release_window.release_interactions"
AFTER_EVERY_LEASE = timedelta(minutes=16)


@dataclass
class Trial:
    """A cluster, both vendors, and the interactions of a moment ago."""

    cluster: Cluster
    sandbox: Sandbox
    dags: Path
    """The folder of the DAG files; a copy that may be changed."""
    closed_from: datetime
    closed_to: datetime
    delay: timedelta | None = None
    """From the closings to the due times, as the first run decided."""

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API."""
        return self.cluster.api

    @property
    def received(self) -> int:
        """How many interactions Stella Connect has accepted."""
        return len(self.sandbox.state.received)

    @property
    def difference(self) -> dict[str, list[str]]:
        """What ought to have been received against what was."""
        found: dict[str, list[str]] = expectation(self.sandbox.state)["difference"]
        return found

    def unpause(self, first_due_in: float) -> str:
        """Let the scheduled run begin, in which the first closing falls due after so many seconds; its id."""
        self.delay = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=first_due_in) - self.closed_from
        settings = SETTINGS | {"seconds_until_send": int(self.delay.total_seconds())}
        self.api.set_variable(SETTINGS_VARIABLE, settings)
        self.api.set_paused(DAG_ID, paused=False)
        wait_until(lambda: self.api.runs(DAG_ID), "the scheduled run", 120)
        run_id: str = self.api.runs(DAG_ID)[0]["dag_run_id"]
        return run_id

    def lateness(self) -> list[float]:
        """Seconds between due time and acceptance, of everything received."""
        assert self.delay is not None
        received = self.sandbox.state.received
        due = [
            datetime.fromisoformat(one.request["custom_properties"]["closed_at"]) + self.delay for one in received
        ]
        return [one.received_at - due_at.timestamp() for one, due_at in zip(received, due, strict=True)]

    def tasks(self, state: str, task_id: str) -> list[tuple[str, int]]:
        """The host and map index of each task instance in that state."""
        with self.cluster.database("airflow") as airflow:
            return [
                (host, index)
                for host, index in airflow.execute(
                    "SELECT hostname, map_index FROM task_instance WHERE state = %s AND task_id = %s",
                    (state, task_id),
                )
            ]

    def wait_for(self, state: str, task_id: str, seconds: float = 120) -> tuple[str, int]:
        """Wait until a task instance is in that state."""
        return wait_until(lambda: self.tasks(state, task_id), f"{task_id} to be {state}", seconds, every=0.1)[0]

    def wait_for_release(self) -> str:
        """Wait until a release has begun to send; returns the worker that runs it."""
        received = self.received

        def begun() -> list[tuple[str, int]]:
            return self.tasks("running", RELEASE) if self.received > received else []

        return wait_until(begun, "a release", 240, every=0.1)[0][0]

    def tries(self, run_id: str) -> dict[str, int]:
        """The most tries that any instance of a run's tasks took, by task id."""
        most: dict[str, int] = {}
        for task in self.api.task_instances(DAG_ID, run_id):
            most[task["task_id"]] = max(task["try_number"], most.get(task["task_id"], 0))
        return most

    def clean_up(self) -> str:
        """Do what the next hour's run would do, minutes later, when every lease is over; returns its state."""
        self.ledger(AFTER_EVERY_LEASE).releasing.recover(by=by_run("the next hour"))
        run_id = self.api.trigger_run(
            DAG_ID, {"start": self.closed_from.isoformat(), "end": self.closed_to.isoformat()}
        )
        return self.api.wait_for_run(DAG_ID, run_id, 300)

    def ledger(self, after: timedelta = timedelta(0)) -> Ledger:
        """The ledger, read by a clock that is ahead by so much."""
        return Ledger(connect(self.cluster.ledger_url()), lambda: datetime.now(UTC) + after)

    def states(self) -> dict[str, int]:
        """How many interactions stand in each state, those with a reason apart."""
        counts = self.ledger().counts()
        return {str(state): number for (state, reason), number in counts.items() if reason is None}

    def unknown(self) -> set[str]:
        """The conversations whose outcome the ledger does not know."""
        with self.cluster.database("ledger") as ledger:
            return {
                one for (one,) in ledger.execute("SELECT conversation_id FROM interaction WHERE state = 'unknown'")
            }


@contextmanager
def trial(
    home: Path,
    conversations: int = 700,
    *,
    spread: timedelta = timedelta(seconds=60),
    retry_seconds: int = 30,
    extra: Mapping[str, str] | None = None,
) -> Iterator[Trial]:
    """Everything started and healthy, the pipeline parsed and still paused.

    Args:
        home: for what is written.
        conversations: closed within `spread`, and so due within it.
        spread: ends with the last full minute.
        retry_seconds: before a task's second try.
        extra: environment of all parts.
    """
    # The first run's interval ends with the closings, the next one an hour later.
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    organisation = generate(seed=7, conversations=conversations, agents=12, closed_from=end - spread, closed_to=end)
    # A release is under way long enough to be hit.
    slow = {"kind": "slow", "match": {"method": "POST", "path_prefix": "/v1/requests"}, "seconds": 0.3}
    dags = home / "dags"
    shutil.copytree(ROOT / "dags", dags)
    file = dags / f"{DAG_ID}.py"
    file.write_text(file.read_text().replace("duration(seconds=30)", f"duration(seconds={retry_seconds})"))
    with (
        start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as sandbox,
        Cluster(
            home / "cluster",
            Vendors(sandbox.kustomer_url, sandbox.stella_url),
            dags=dags,
            extra={"KUSTOMER_STELLA_SCHEDULE": f"{end.minute} * * * *", **(extra or {})},
        ) as cluster,
    ):
        cluster.api.wait_for_dag(DAG_ID)
        sandbox.state.faults.replace([slow])
        yield Trial(cluster, sandbox, dags, end - spread, end)


def change(dags: Path) -> str:
    """Deploy a changed pipeline; returns the new name that Airflow will show."""
    file, name = dags / f"{DAG_ID}.py", "Kustomer to Stella Connect, the next release"
    file.write_text(file.read_text().replace("Kustomer → Stella Connect", name))
    return name


def display_name(api: AirflowApi) -> Any:
    """The pipeline's name as Airflow shows it."""
    return api.call("GET", f"dags/{DAG_ID}")["dag_display_name"]


def assert_nothing_lost_or_doubled(here: Trial, killed_workers: int) -> None:
    """Everything was received once, or the ledger says that it does not know."""
    difference, unknown, states = here.difference, here.unknown(), here.states()
    assert difference["duplicates"] == difference["unexpected"] == difference["wrong_content"] == []
    assert set(difference["missing"]) <= unknown
    assert len(unknown) <= MAX_SENDERS * killed_workers  # what a killed worker was just sending
    received = {one.request["ext_interaction_id"] for one in here.sandbox.state.received}
    assert states.keys() <= {"sent", "unknown"}
    assert states["sent"] == len(received - unknown) > 0
    assert min(here.lateness()) >= 0
