"""Every test of the ledger runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from include.ledger import Ledger, connect
from tests.support.ledger import Clock


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    kind: str = request.param
    return kind


@pytest.fixture
def empty_url(database: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    url: str = request.getfixturevalue("empty_ledger_url" if database == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database."""
    url: str = request.getfixturevalue("ledger_url" if database == "sqlite" else "postgres_ledger_url")
    return url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on a migrated database."""
    engine = connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture
def ledger(engine: Engine, clock: Clock) -> Ledger:
    """An empty ledger."""
    return Ledger(engine, clock)
