"""Fixtures for all tests; what they start lives in tests/support."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from include.ledger import Ledger, connect
from scripts.stack.postgres import PostgresServer, running
from tests.support import airflow_home, ended_in_order

if TYPE_CHECKING:
    from tests.support.installation import Installation, Runs  # for few tests, and slow to import

airflow_home.prepare()
ended_in_order.on_sigterm()
AIRFLOW = ExitStack()
"""What the fixture `installation` has started."""
# No timing assertions: a busy machine must not turn a property red.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _like_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for connections and Variables as a task does: Airflow's API server, once imported, looks elsewhere."""
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the session (for each worker of pytest-xdist)."""
    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a new, empty database."""
    return postgres_server.create_database()


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """The name of a database with the ledger's schema, to be copied: migrating takes longer than most tests."""
    url = postgres_server.create_database()
    migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_ledger_url(postgres_server: PostgresServer, migrated_database: str) -> str:
    """The URL of a new ledger in PostgreSQL."""
    return postgres_server.create_database(template=migrated_database)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the ledger's schema, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "ledger.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def empty_ledger_url(tmp_path: Path) -> str:
    """The URL of a SQLite ledger that does not exist yet."""
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger_url(empty_ledger_url: str, migrated_file: Path) -> str:
    """The URL of a new SQLite ledger."""
    shutil.copy(migrated_file, empty_ledger_url.removeprefix("sqlite:///"))
    return empty_ledger_url


def migrate(url: str) -> None:
    """Create the ledger's schema, and leave no connection open."""
    engine = connect(url)
    Ledger(engine).migrate()
    engine.dispose()


@pytest.fixture(scope="session")
def installation(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The real Airflow beside a sandbox, one for all tests of the xdist group "stack".

    The workers of a scheduler that is killed alone survive it, and with them its connections: without a limit a
    transaction that it had open would keep the run locked, and no other scheduler would ever touch the run.
    """
    from tests.support.installation import installed

    database = postgres_server.create_database(idle_in_transaction_seconds=20)
    with AIRFLOW:
        # psycopg2 is Airflow's own driver.
        home = tmp_path_factory.mktemp("airflow")
        yield AIRFLOW.enter_context(installed(home, database.replace("psycopg", "psycopg2")))


@pytest.fixture(scope="session")
def runs(installation: Installation) -> Runs:
    """The runs that should end well, all of them ended."""
    from tests.support.installation import play

    return play(installation)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries and throttles of the hooks happen at once."""
    monkeypatch.setattr("plugins.vendor_api.waiting.factor", 0)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the shared Airflow after its last test: idle, it would take its share of the cores from all others."""
    if shares_airflow(item.nodeid) and (nextitem is None or not shares_airflow(nextitem.nodeid)):
        AIRFLOW.close()


LONGEST = (
    "tests/browser/",
    "tests/stack/",
    "tests/cluster/",
    "tests/scripts/demo/test_demo.py",
    "tests/model/",
    "tests/faults/",
    "tests/scenarios/test_writing_back.py",
)
"""Begun first: the others run beside them, and no process ends alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, in the same order in every process."""
    items.sort(
        key=lambda item: next((n for n, file in enumerate(LONGEST) if item.nodeid.startswith(file)), len(LONGEST))
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """A file or class at a time to each process; all that shares the one running Airflow goes to the same process.

    (The mark `xdist_group` with `--dist loadgroup` did not keep them together with pytest 9.2 and xdist 3.8.)
    """

    class OneStack(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if file.startswith("tests/plugins/interactions_view/"):  # one API server in process for all of them
                return "page"
            if file in BROKEN_AIRFLOW:
                return "broken stack"
            if shares_airflow(file):
                return "stack"
            if file.startswith("tests/model/"):  # each takes as long as a file of others
                return nodeid
            scope: str = super()._split_scope(nodeid)
            return scope

    return OneStack(config, log)


BROKEN_AIRFLOW = tuple(
    f"tests/stack/test_{name}.py" for name in ("api_server_errors", "hung_triggerer", "sudden_deaths")
)
"""They break the Airflow that they share. Where there are several processes, they have one of their own."""


def shares_airflow(nodeid: str) -> bool:
    """Whether a test uses the fixture `installation`."""
    return nodeid.startswith(("tests/stack/", "tests/browser/"))
