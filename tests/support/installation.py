"""A whole installation for tests: the real Airflow with the real DAG, a sandbox for both vendors, a ledger."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.interactions.settings import VARIABLE
from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET, Sandbox, generate, start
from include.sandbox.clock import to_ms
from include.sandbox.control import expectation
from include.sandbox.model import DO_NOT_SEND, Organisation
from scripts.stack.api import AirflowApi, Json
from scripts.stack.connections import DAG_ID, connections, set_up
from scripts.stack.ports import loopback_session
from scripts.stack.stack import SELDOM_PARSED, Stack
from scripts.stack.waiting import wait_until

HOUR = timedelta(hours=1)
BUSY_HOURS, EMPTY_HOURS = 3, 2
"""Whole intervals of the schedule with and then without closings, up to the last one."""
SPREAD = timedelta(seconds=30)
"""How far apart the closings of a moment ago lie, and so the due times in the run that releases them."""
FIRST_DUE = timedelta(seconds=20)
"""After that run's trigger: extraction and planning are over by then."""
SETTINGS = {
    "seconds_until_send": 60,
    "release_window_seconds": 10,
    "do_not_send_attribute": DO_NOT_SEND,
    "kustomer_requests_per_minute": 100_000,
}
WEB_URL = "https://larkspur.kustomerapp.com"
SEARCH_ROLE = "org.permission.search"


@dataclass
class Installation:
    """What the tests of the real Airflow share; connections and settings are stored in it, as people do.

    Attributes:
        stack: Airflow's parts.
        sandbox: both vendors, in this process.
        last_interval_end: of the schedule. The two hours before it had no closing, the three before that had some.
        moment_ago: [start, end) of further closings, after the last interval.
    """

    stack: Stack
    sandbox: Sandbox
    last_interval_end: datetime
    moment_ago: tuple[datetime, datetime]

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API."""
        return self.stack.api

    @property
    def busy_hours(self) -> list[datetime]:
        """The starts of the hours with closings, oldest first."""
        first = self.last_interval_end - (BUSY_HOURS + EMPTY_HOURS) * HOUR
        return [first + n * HOUR for n in range(BUSY_HOURS)]

    def expected(self, start: datetime, end: datetime) -> Json:
        """What ought to be received of the closings in [start, end), beside what was."""
        return expectation(self.sandbox.state, to_ms(start), to_ms(end))

    def trigger(self, start: datetime, end: datetime, **settings: Any) -> str:
        """Start a run by hand without a logical date for the closings in [start, end)."""
        conf = {"start": start.isoformat(), "end": end.isoformat(), **settings}
        return self.api.trigger_run(DAG_ID, conf)

    def wait(self, run_id: str) -> str:
        """Wait for a run's end and return its state."""
        return self.api.wait_for_run(DAG_ID, run_id)

    def tasks(self, run_id: str) -> list[Json]:
        """The task instances of a run in the order in which they started; those that never did come last."""
        return sorted(self.api.task_instances(DAG_ID, run_id), key=lambda task: task["start_date"] or "never")

    def result(self, run_id: str, task_id: str) -> Any:
        """What an unmapped task returned."""
        return self._xcom(run_id, task_id, "return_value", -1)

    def xcoms(self, run_id: str) -> list[Any]:
        """Everything that a run's tasks left for others."""
        entries = self.api.call(
            "GET", f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/~/xcomEntries", params={"limit": 100}
        )["xcom_entries"]
        return [self._xcom(run_id, one["task_id"], one["key"], one["map_index"]) for one in entries]

    def _xcom(self, run_id: str, task_id: str, key: str, map_index: int) -> Any:
        path = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api.call("GET", path, params={"map_index": map_index})["value"]

    def log(self, run_id: str, task: Json) -> list[Json]:
        """The log of a task instance's latest try, one dict for each line, `event` being the text."""
        path = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        lines: list[Json] = self.api.call(
            "GET", path, params={"map_index": task["map_index"], "full_content": True}
        )["content"]
        return lines

    def offered_connection_types(self) -> dict[str, Json]:
        """What the UI draws its connection form from, by connection type; not part of Airflow's public API."""
        with loopback_session() as http:
            token = http.post(f"{self.stack.url}/auth/token", json={"username": "admin", "password": "admin"})
            bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}
            types = http.get(f"{self.stack.url}/ui/connections/hook_meta", headers=bearer).json()
        return {one["connection_type"]: one for one in types}

    @contextmanager
    def settings(self, **changes: Any) -> Iterator[None]:
        """Other settings in the Variable for a while."""
        self._write_settings(SETTINGS | changes)
        try:
            yield
        finally:
            self._write_settings(SETTINGS)

    def _write_settings(self, settings: Json) -> None:
        self.api.call("PATCH", f"variables/{VARIABLE}", {"key": VARIABLE, "value": json.dumps(settings)})

    @contextmanager
    def kustomer_key_without(self, role: str) -> Iterator[None]:
        """The key of Kustomer's connection lacks a role for a while."""
        tokens = self.sandbox.state.kustomer_tokens
        whole = tokens[KUSTOMER_KEY] or ()
        tokens[KUSTOMER_KEY] = tuple(one for one in whole if one != role)
        try:
            yield
        finally:
            tokens[KUSTOMER_KEY] = whole


@dataclass
class Runs:
    """Ids of runs that have ended, as people and the clock started them."""

    scheduled: str
    """By the schedule, for the hour without closings."""
    backfilled: list[str]
    """For the two oldest busy hours, oldest first; each ran twice, in two backfills."""
    missing_after_first_backfill: list[str]
    """Conversations of these hours that ought to have been received before the second backfill."""
    second_backfill: int
    """Airflow may not have noticed its end yet."""
    by_date: str
    """By hand with a logical date: the end of the last busy hour."""
    moment_ago: str
    """By hand with Params, for the closings of a moment ago; most were not due yet when it began."""


@contextmanager
def installed(home: Path, airflow_database: str) -> Iterator[Installation]:
    """Everything started and healthy, the DAG parsed and still paused.

    Args:
        home: for Airflow's files and the ledger (SQLite).
        airflow_database: URL of Airflow's own database. PostgreSQL: on SQLite, Airflow 3.3.2 answers 503 to the
            creation of a backfill while other runs are busy.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    # The schedule is such that no interval ends in the midst of the tests.
    last_interval_end = now.replace(second=0) - timedelta(minutes=5)
    organisation = generate(
        seed=7,
        conversations=240,
        agents=12,
        closed_from=last_interval_end - (BUSY_HOURS + EMPTY_HOURS) * HOUR,
        closed_to=last_interval_end - EMPTY_HOURS * HOUR,
    )
    add(organisation, generate(seed=8, conversations=120, agents=12, closed_from=now - SPREAD, closed_to=now))
    with (
        start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as sandbox,
        Stack(
            home,
            {},
            extra={
                "KUSTOMER_STELLA_SCHEDULE": f"{last_interval_end.minute} * * * *",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_database,
                **SELDOM_PARSED,
            },
        ) as stack,
    ):
        links = connections(
            kustomer=(sandbox.kustomer_url, KUSTOMER_KEY, WEB_URL),
            stella=(sandbox.stella_url, STELLA_KEY, STELLA_SECRET),
            ledger=home / "ledger.db",
        )
        set_up(stack, links, SETTINGS)
        stack.api.wait_for_dag(DAG_ID)
        yield Installation(stack, sandbox, last_interval_end, (now - SPREAD, now))


def play(here: Installation) -> Runs:
    """Start all that should end well, side by side where the runs cannot take each other's interactions."""
    api, hours = here.api, here.busy_hours
    api.set_paused(DAG_ID, paused=False)  # starts the scheduled run
    first_backfill = api.backfill(DAG_ID, hours[0], hours[1])
    by_date = api.trigger_run(DAG_ID, logical_date=hours[2] + HOUR)
    wait_until(lambda: len(api.runs(DAG_ID)) == 4, "the first four runs to begin", 120)
    runs = {run["dag_run_id"]: run["run_type"] for run in api.runs(DAG_ID)}
    for run_id in runs:
        here.wait(run_id)
    backfilled = [run_id for run_id, kind in runs.items() if kind == "backfill"]
    missing = here.expected(hours[0], hours[2])["difference"]["missing"]

    delay = datetime.now(UTC) + FIRST_DUE - here.moment_ago[0]
    moment_ago = here.trigger(*here.moment_ago, seconds_until_send=int(delay.total_seconds()))
    api.wait_for_backfill(first_backfill)
    second_backfill = api.backfill(DAG_ID, hours[0], hours[1], reprocess="completed")
    for run_id in [*backfilled, moment_ago]:
        here.wait(run_id)
    scheduled = next(run_id for run_id, kind in runs.items() if kind == "scheduled")
    return Runs(scheduled, backfilled, missing, second_backfill, by_date, moment_ago)


def add(organisation: Organisation, other: Organisation) -> None:
    """Let one organisation have the other's conversations too.

    With as many agents in both the generator makes the same employees, so Stella Connect's list stays as it is.
    """
    organisation.users |= other.users
    organisation.customers |= other.customers
    organisation.conversations |= other.conversations
    organisation.tags |= other.tags
