"""A ledger of some weeks, on both databases, and its rows as they stand in the tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from include.ledger import Ledger, connect
from include.ledger.schema import interaction, survey_response
from scripts.benchmark.filled import fill

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Filled:
    ledger: Ledger
    interactions: list[Any]
    responses: list[Any]
    newest_response: dict[int, Any]


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'ledger.db'}"
    else:
        url = request.getfixturevalue("postgres_server").create_database()
    engine = connect(url)
    ledger = Ledger(engine, lambda: NOW)
    ledger.migrate()
    fill(engine, 2_100, until=NOW, days=6)
    with ledger.read() as connection:
        interactions = connection.execute(select(interaction)).all()
        responses = connection.execute(select(survey_response).order_by(survey_response.c.sequence_id)).all()
    yield Filled(ledger, list(interactions), list(responses), {row.interaction_id: row for row in responses})
    engine.dispose()
