"""A whole installation for tests: the real Airflow with the real DAG, a sandbox for both vendors, a ledger."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET, Sandbox, generate, start
from include.sandbox.control import expectation
from include.sandbox.clock import to_ms
from include.sandbox.model import DO_NOT_SEND, Organisation
from scripts import demo
from scripts.airflow_api import AirflowApi, Json
from scripts.stack import Stack

DAG_ID = demo.DAG_ID
HOUR = timedelta(hours=1)
SINCE_THE_HOUR = timedelta(minutes=5)
"""How long ago the last interval ended: the schedule is set so, and starts no run in the midst of the tests."""
QUICK_SPREAD = timedelta(seconds=30)
WEB_URL = "https://larkspur.kustomerapp.com"


@dataclass
class Installation:
    """What the tests of the real Airflow share.

    Attributes:
        stack: Airflow's parts; connections and settings are stored in it, as a person would.
        sandbox: both vendors, in this process.
        hours: starts of the four past hours in which conversations were closed, oldest first. The intervals
            of the schedule begin at these instants. The hour after them is empty.
        quick: [start, end) of further closings a moment ago, close together.
    """

    stack: Stack
    sandbox: Sandbox
    hours: list[datetime]
    quick: tuple[datetime, datetime]

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API."""
        return self.stack.api

    def expected(self, start: datetime, end: datetime) -> Json:
        """What ought to be received of the closings in [start, end), beside what was."""
        return expectation(self.sandbox.state, to_ms(start), to_ms(end))

    def received(self, start: datetime, end: datetime) -> list[Json]:
        """The feedback requests that Stella Connect accepted for closings in [start, end), in order."""
        state = self.sandbox.state
        bounds = range(to_ms(start), to_ms(end))
        closed_at = {one.id: one.closed_at for one in state.organisation.conversations.values()}
        return [one.request for one in state.received if closed_at[one.request["ext_interaction_id"]] in bounds]
