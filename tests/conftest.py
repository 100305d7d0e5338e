"""Fixtures for all tests; what they start lives in tests/support."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from scripts.postgres import PostgresServer, running
from tests.support import airflow_home

if TYPE_CHECKING:
    from tests.support.installation import Installation, Runs  # for few tests, and slow to import

airflow_home.prepare()
# No timing assertions: a busy machine must not turn a property red.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the session (for each worker of pytest-xdist)."""
    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a new, empty database."""
    return postgres_server.create_database()


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """The URL of a new SQLite ledger."""
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(scope="session")
def installation(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The real Airflow beside a sandbox, one for all tests of the xdist group "stack"."""
    from tests.support.installation import installed

    database = postgres_server.create_database().replace("psycopg", "psycopg2")  # Airflow's own driver
    with installed(tmp_path_factory.mktemp("airflow"), database) as everything:
        yield everything


@pytest.fixture(scope="session")
def runs(installation: Installation) -> Runs:
    """The runs that should end well, all of them ended."""
    from tests.support.installation import play

    return play(installation)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and throttles of the hooks happen at once."""
    monkeypatch.setattr("plugins.vendor_api.waiting.factor", 0)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """A file at a time to each process; all that shares the one running Airflow goes to the same process.

    (The mark `xdist_group` with `--dist loadgroup` did not keep them together with pytest 9.2 and xdist 3.8.)
    """

    class OneStack(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "stack" if file.startswith(("tests/stack/", "tests/browser/")) else file

    return OneStack(config, log)
