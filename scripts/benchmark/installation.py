"""An installation to measure: simulators of both vendors without limits, an empty ledger, Airflow's environment."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import make_url

from include.sandbox.options import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET
from scripts.stack.connections import Connections, connections
from scripts.stack.sandbox import RunningSandbox, running_sandbox
from scripts.stack.stack import environment

WEB_URL = "https://acme.kustomerapp.com"
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Installation:
    """The simulators' conversations were closed in [closed_from, closed_to)."""

    home: Path
    sandbox: RunningSandbox
    closed_from: datetime
    closed_to: datetime

    def connections(self, ledger: Mapping[str, Any] | None = None) -> Connections:
        """Return the three connections; the ledger is a new SQLite file unless given."""
        links = connections(
            kustomer=(self.sandbox.kustomer_url, KUSTOMER_KEY, WEB_URL),
            stella=(self.sandbox.stella_url, STELLA_KEY, STELLA_SECRET),
            ledger=self.home / "ledger.db",
        )
        return {**links, "interaction_ledger": ledger} if ledger else links

    def env(self, ledger: Mapping[str, Any] | None = None, **settings: object) -> dict[str, str]:
        """Return the environment for a child process that runs the pipeline's tasks."""
        return environment(self.home, 0, self.connections(ledger), settings)

    @property
    def span(self) -> dict[str, str]:
        """The closings' span as the children's arguments."""
        return {"closed_from": self.closed_from.isoformat(), "closed_to": self.closed_to.isoformat()}


def ledger_connection(url: str) -> dict[str, Any]:
    """Return the Airflow connection of a ledger's database."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        return {"conn_type": "sqlite", "host": parts.database}
    where = {"host": parts.host, "port": parts.port, "login": parts.username, "schema": parts.database}
    return {"conn_type": "postgres", **where}


@contextmanager
def installation(
    conversations: int,
    closed_from: datetime | None = None,
    closed_for: timedelta = HOUR,
    *,
    searches_per_minute: int = 0,
    **options: Any,
) -> Iterator[Installation]:
    """Run simulators with so many closings, by default all in an hour that is past since two hours; 0: no limit.

    `options` are further ones of the simulators, such as `post_seconds`.
    """
    closed_from = closed_from or datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    closed_to = closed_from + closed_for
    with TemporaryDirectory(prefix="benchmark-") as directory:
        home = Path(directory)
        with running_sandbox(
            home / "sandbox.log",
            conversations=conversations,
            closed_from=closed_from.isoformat(),
            closed_to=closed_to.isoformat(),
            search_per_minute=searches_per_minute,
            org_per_minute=0,
            data_per_minute=0,
            **options,
        ) as sandbox:
            yield Installation(home, sandbox, closed_from, closed_to)
