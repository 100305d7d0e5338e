"""A whole installation for tests: the real Airflow with the real DAG, a sandbox for both vendors, a ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET, Sandbox, generate, start
from include.sandbox.clock import to_ms
from include.sandbox.control import expectation
from include.sandbox.model import DO_NOT_SEND, Organisation
from scripts.airflow_api import AirflowApi, Json
from scripts.demo import DAG_ID, connections, set_up
from scripts.stack import Stack

HOUR = timedelta(hours=1)
BUSY_HOURS = 4
SPREAD = timedelta(seconds=30)
"""How far apart the closings of a moment ago lie, and so the due times of the run that releases them."""
FIRST_DUE = timedelta(seconds=20)
"""After the trigger: extraction and planning are over by then."""
SETTINGS = {
    "seconds_until_send": 60,
    "release_window_seconds": 10,
    "do_not_send_attribute": DO_NOT_SEND,
    "kustomer_requests_per_minute": 100_000,
}
WEB_URL = "https://larkspur.kustomerapp.com"


@dataclass
class Installation:
    """What the tests of the real Airflow share; connections and settings are stored in it, as people do.

    Attributes:
        stack: Airflow's parts.
        sandbox: both vendors, in this process.
        last_interval_end: of the schedule; the hour before it had no closing, the four before that had some.
        moment_ago: [start, end) of further closings, after the last interval.
    """

    stack: Stack
    sandbox: Sandbox
    last_interval_end: datetime
    moment_ago: tuple[datetime, datetime]
    _runs: dict[str, Any] = field(default_factory=dict)

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API."""
        return self.stack.api

    @property
    def busy_hours(self) -> list[datetime]:
        """The starts of the hours with closings, oldest first."""
        return [self.last_interval_end - n * HOUR for n in range(BUSY_HOURS + 1, 1, -1)]

    def expected(self, start: datetime, end: datetime) -> Json:
        """What ought to be received of the closings in [start, end), beside what was."""
        return expectation(self.sandbox.state, to_ms(start), to_ms(end))

    def trigger_moment_ago(self) -> str:
        """Start a run by hand for the closings of a moment ago that releases them from `FIRST_DUE` on."""
        start, end = self.moment_ago
        delay = datetime.now(UTC) + FIRST_DUE - start
        conf = {
            "start": start.isoformat(),
            "end": end.isoformat(),
            "seconds_until_send": int(delay.total_seconds()),
        }
        return self.api.trigger_run(DAG_ID, conf)


@contextmanager
def installed(home: Path) -> Iterator[Installation]:
    """Everything started and healthy, the DAG parsed and still paused."""
    now = datetime.now(UTC).replace(microsecond=0)
    # The schedule is such that no interval ends in the midst of the tests.
    last_interval_end = now.replace(second=0) - timedelta(minutes=5)
    moment_ago = (now - SPREAD, now)
    organisation = generate(
        seed=7,
        conversations=240,
        agents=12,
        closed_from=last_interval_end - (BUSY_HOURS + 1) * HOUR,
        closed_to=last_interval_end - HOUR,
    )
    add(organisation, generate(seed=8, conversations=120, agents=12, closed_from=now - SPREAD, closed_to=now))
    with (
        start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as sandbox,
        Stack(home, {}, extra={"KUSTOMER_STELLA_SCHEDULE": f"{last_interval_end.minute} * * * *"}) as stack,
    ):
        links = connections(
            kustomer=(sandbox.kustomer_url, KUSTOMER_KEY, WEB_URL),
            stella=(sandbox.stella_url, STELLA_KEY, STELLA_SECRET),
            ledger=home / "ledger.db",
        )
        set_up(stack, links, SETTINGS)
        stack.api.wait_for_dag(DAG_ID)
        yield Installation(stack, sandbox, last_interval_end, moment_ago)


def add(organisation: Organisation, other: Organisation) -> None:
    """Let one organisation have the other's conversations too.

    Both have as many agents, whose addresses the generator makes alike: Stella Connect's employees stay as they are.
    """
    organisation.users |= other.users
    organisation.customers |= other.customers
    organisation.conversations |= other.conversations
    organisation.tags |= other.tags
