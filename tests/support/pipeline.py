"""Runs the pipeline's tasks in this process, in the DAG's order, against a sandbox and a ledger of its own.

The tasks' own code over real sockets, without Airflow's processes: tests/stack runs those.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

from include.ledger import Ledger, connect
from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET, Sandbox
from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.pipeline.planning import plan_windows
from plugins.runtime.organisations import DEFAULT, Organisation

WEB_URL = "https://acme.kustomerapp.com"
RETRIES = 3
LAST_TRY = RETRIES + 1


def environment(
    kustomer_url: str,
    stella_url: str,
    ledger_url: str,
    settings: dict[str, Any],
    organisation: Organisation = DEFAULT,
) -> dict[str, str]:
    """The variables that point a run at a sandbox and a ledger."""
    ledger = (
        {"conn_type": "sqlite", "host": ledger_url.removeprefix("sqlite:///")}
        if ledger_url.startswith("sqlite")
        else ledger_url.replace("postgresql+psycopg", "postgres")
    )
    kustomer = {
        "conn_type": "kustomer",
        "host": kustomer_url,
        "password": KUSTOMER_KEY,
        "extra": {"web_url": WEB_URL},
    }
    stella = {
        "conn_type": "stella_connect",
        "host": stella_url,
        "password": STELLA_KEY,
        "extra": {"api_secret": STELLA_SECRET},
    }
    return {
        f"AIRFLOW_CONN_{organisation.kustomer_connection.upper()}": json.dumps(kustomer),
        f"AIRFLOW_CONN_{organisation.stella_connect_connection.upper()}": json.dumps(stella),
        f"AIRFLOW_CONN_{organisation.ledger_connection.upper()}": ledger
        if isinstance(ledger, str)
        else json.dumps(ledger),
        f"AIRFLOW_VAR_{organisation.settings_variable.upper()}": json.dumps(settings),
    }


@dataclass
class Pipeline:
    """The tasks of one installation; `sandbox` and `ledger` are what they work on."""

    sandbox: Sandbox
    ledger_url: str
    organisation: Organisation = DEFAULT
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.engine = connect(self.ledger_url)
        self.ledger = Ledger(self.engine)

    def extract(self, context: Any) -> dict[str, Any]:
        return ExtractClosedConversationsOperator(task_id="extract", organisation=self.organisation).execute(
            context
        )

    def check(self, context: Any) -> dict[str, Any]:
        return CheckAgentProfilesOperator(task_id="check", organisation=self.organisation).execute(context)

    def release(self, context: Any, window: dict[str, Any]) -> dict[str, Any]:
        release = ReleaseInteractionsOperator(task_id="release", window=window, organisation=self.organisation)
        return release.execute(context)

    def release_due(self, context: Any) -> list[dict[str, Any]]:
        """Plan, and release the windows that are due already."""
        windows = plan_windows(context, self.organisation)
        due = [window for window in windows if instant(window["due_until"]) <= datetime.now(UTC)]
        return [self.release(context, window) for window in due]

    def run(self, context: Any) -> dict[str, Any]:
        """One whole run whose interactions are all due; returns the counts of each task."""
        return {
            "extracted": self.extract(context),
            "profiles": self.check(context),
            "released": self.release_due(context),
        }

    def states(self) -> dict[str, str]:
        """State of the latest interaction of each conversation, with its reason: "skipped merged"."""
        rows = self.query("SELECT conversation_id, state, reason FROM interaction ORDER BY closed_at")
        return {row.conversation_id: " ".join(filter(None, [row.state, row.reason])) for row in rows}

    def query(self, sql: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(sql), values))

    def sent(self) -> list[str]:
        """Conversation ids that Stella Connect accepted, in order."""
        return [one.request["ext_interaction_id"] for one in self.sandbox.state.received]


def run_of(
    start: datetime,
    end: datetime | None = None,
    *,
    origin: str = "scheduled",
    run_id: str = "run",
    try_number: int = 1,
    **params: Any,
) -> dict[str, Any]:
    """The context of a run for the hour from `start`, as far as our tasks look at it."""
    end = end or start + timedelta(hours=1)
    run = SimpleNamespace(
        run_id=f"{origin}__{run_id}",
        dag_id="kustomer_stella_connect",
        run_type=origin,
        run_after=end,
        data_interval_start=start,
        data_interval_end=end,
    )
    return {"dag_run": run, "params": params, "ti": SimpleNamespace(try_number=try_number, max_tries=RETRIES)}


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
