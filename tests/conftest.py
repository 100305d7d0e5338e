"""Fixtures for all tests; what they start lives in tests/support."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import airflow_home
from tests.support.postgres import PostgresServer, running

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


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and throttles of the hooks happen at once."""
    monkeypatch.setattr("plugins.vendor_api.waiting.factor", 0)
