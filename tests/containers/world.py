"""A stack whose vendors outlive every part, and the closings of its cases."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import requests

from include.interactions.settings import MAX_SENDERS
from scripts.stack.api import FINAL_STATES
from scripts.stack.connections import DAG_ID
from scripts.stack.stack import SETTINGS_VARIABLE
from scripts.stack.waiting import wait_until
from tests.containers.stack import Stack, started

VENDORS = "tests/containers/compose.vendors.yaml"
"""Both vendors in a container of their own."""
SLICE = timedelta(minutes=1)
"""Each case has the closings of a minute of its own."""
CASES = 12
PER_SLICE = 60
SLOW_POST = {"kind": "slow", "match": {"method": "POST", "path_prefix": "/v1/requests"}, "seconds": 1.0}


@dataclass
class World:
    """The stack, and how many of its slices are used up."""

    stack: Stack
    closed_from: datetime
    numbers: Iterator[int] = field(default_factory=count)

    def case(self) -> "Case":
        """A slice that no other case uses."""
        begin = self.closed_from + next(self.numbers) * SLICE
        return Case(self.stack, begin, begin + SLICE)


@dataclass
class Case:
    """The closings of one minute, and a run over them."""

    stack: Stack
    begin: datetime
    end: datetime
    run_id: str = ""

    def trigger(self, first_due_in_seconds: float) -> None:
        """Start a run in which the first closing falls due after so many seconds."""
        delay = datetime.now(UTC) + timedelta(seconds=first_due_in_seconds) - self.begin
        self._run(seconds_until_send=int(delay.total_seconds()))

    def run_again(self) -> str:
        """Run over the same closings with the settings as they are; returns the run's state at its end."""
        self._run()
        wait_until(self.ended, "the next run's end", 600, every=2)
        return self.stack.api.run_state(DAG_ID, self.run_id)

    def _run(self, **settings: int) -> None:
        conf = {"start": self.begin.isoformat(), "end": self.end.isoformat()}
        self.run_id = self.stack.api.trigger_run(DAG_ID, conf | settings)

    def wait_for(self, task: str, state: str) -> None:
        """Wait until an instance of a task of the run is in that state."""

        def there() -> bool:
            instances = self.stack.api.task_instances(DAG_ID, self.run_id)
            return any(one["task_id"].endswith(task) and one["state"] == state for one in instances)

        wait_until(there, f"{task} to be {state}", 300, every=1)

    def wait_for_release(self) -> None:
        """Wait until Stella Connect has taken the first interactions of this case."""
        before = self.stack.accepted()
        wait_until(lambda: self.stack.accepted() > before, "a release", 300, every=0.5)

    def settle(self) -> None:
        """Wait for the run's end, then do what the next hour's run would do when every lease is over."""
        wait_until(self.ended, "the run's end", 600, every=2)
        self.stack.compose("exec", "--no-TTY", "airflow-worker", "python", "-c", RECOVER)
        assert self.run_again() == "success"

    def ended(self) -> bool:
        """Whether the run is over."""
        try:
            return self.stack.api.run_state(DAG_ID, self.run_id) in FINAL_STATES
        except requests.RequestException:
            return False  # the API server starts, or its database does

    def expected(self) -> Any:
        """What ought to have been received of these closings."""
        return self.stack.sandbox(f"expected?closed_from={stamp(self.begin)}&closed_to={stamp(self.end)}")

    def states(self) -> dict[str, str]:
        """The states of the interactions that ought to be sent, by conversation."""
        ids = {*self.expected()["sent"]}
        rows = self.stack.ledger("SELECT conversation_id, state FROM interaction")
        return {conversation_id: state for conversation_id, state in rows if conversation_id in ids}

    def assert_nothing_lost_doubled_or_early(self, killed_workers: int = 0) -> None:
        """Everything was taken once, or the ledger says that it does not know."""
        expected, states = self.expected(), self.states()
        unknown = {one for one, state in states.items() if state == "unknown"}
        assert set(expected["difference"]["missing"]) <= unknown
        assert len(unknown) <= MAX_SENDERS * killed_workers
        assert {*states.values()} <= {"sent", "unknown"}
        assert states.keys() == {*expected["sent"]}
        assert expected["difference"]["duplicates"] == []
        assert self.stack.ledger("SELECT id FROM interaction WHERE sent_at < due_at") == []


RECOVER = """
from datetime import UTC, datetime, timedelta
from include.interactions.actor import Actor
from include.ledger import Ledger, connect
from plugins.runtime.ledger_naming import find_ledger
late = lambda: datetime.now(UTC) + timedelta(minutes=16)
Ledger(connect(find_ledger("interaction_ledger")), late).releasing.recover(by=Actor(run_id="the next hour"))
"""


def stamp(moment: datetime) -> str:
    """As the sandbox reads a time in a URL."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def started_world(repository: Path) -> Iterator[World]:
    """Start the stack, with a release window of 20 seconds and no scheduled run."""
    closed_from = datetime.now(UTC).replace(second=0, microsecond=0) - (CASES + 1) * SLICE
    settings = {
        "CONVERSATIONS": str(CASES * PER_SLICE),
        "CLOSED_FROM": stamp(closed_from),
        "CLOSED_TO": stamp(closed_from + CASES * SLICE),
        # Once a year: no scheduled run comes between the cases.
        "KUSTOMER_STELLA_SCHEDULE": "0 0 1 1 *",
    }
    with started(repository, VENDORS, settings=settings) as stack:
        stack.api.wait_for_dag(DAG_ID, 600)
        variable = {
            "release_window_seconds": 20,
            "do_not_send_attribute": "doNotSendStellaConnectRequestBool",
            "kustomer_requests_per_minute": 100_000,
        }
        stack.api.set_variable(SETTINGS_VARIABLE, variable)
        stack.api.set_paused(DAG_ID, paused=False)
        stack.post_to_sandbox("faults", [SLOW_POST])
        yield World(stack, closed_from)
