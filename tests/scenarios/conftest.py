"""An installation of the pipeline beside a sandbox: what a scenario starts from."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer
from sqlalchemy import text

from include.sandbox import Sandbox, generate, start
from include.sandbox.faults import Fault
from tests.support.pipeline import Pipeline, environment, run_of
from tests.support.unhappy import WHEN, Recoveries

HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def hour() -> datetime:
    """The start of the hour in which the organisation closed its conversations: three hours ago."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR


@pytest.fixture
def size() -> int:
    """How many conversations the organisation closed; a test that wants more says so."""
    return 0


@pytest.fixture
def sandbox(hour: datetime, size: int) -> Iterator[Sandbox]:
    """Both vendors; without limits, which have tests of their own."""
    organisation = generate(seed=7, conversations=size, agents=12, closed_from=hour, closed_to=hour + HOUR)
    with start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as running:
        yield running


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch):
    """A function that sets the Airflow Variable."""

    def write(**values: object) -> None:
        monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", json.dumps(values))

    return write


@pytest.fixture
def pipeline(sandbox: Sandbox, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The pipeline, one minute of delay."""
    settings = {"seconds_until_send": 60, "kustomer_requests_per_minute": 100_000}
    for name, value in environment(sandbox.kustomer_url, sandbox.stella_url, ledger_url, settings).items():
        monkeypatch.setenv(name, value)
    return Pipeline(sandbox, ledger_url)


@pytest.fixture
def close(sandbox: Sandbox, hour: datetime):
    """A function that adds a closed conversation to Kustomer, or changes one; returns its id."""
    from include.sandbox.changes import change_conversation

    def add(minute: float = 10, **fields: object) -> str:
        closed_at = hour + timedelta(minutes=minute)
        if "id" not in fields:
            fields.setdefault("closed_at", closed_at)
            fields.setdefault("updated_at", closed_at)
        return change_conversation(sandbox.state, fields).id

    return add


@pytest.fixture
def unhappy(pipeline: Pipeline) -> Recoveries:
    """What happens after a bad answer; the key may write."""
    return Recoveries(pipeline)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """The webhook of the connection `recovery_chat`."""
    with HTTPServer() as server:
        server.expect_request("/hooks").respond_with_data("ok")
        monkeypatch.setenv("AIRFLOW_CONN_RECOVERY_CHAT", server.url_for("/hooks"))
        yield server


@pytest.fixture
def recover(settings):
    """A function that sets the setting `recovery`: one entry."""

    def write(then, when=WHEN, **others):
        settings(
            seconds_until_send=0,
            release_window_seconds=5,
            kustomer_requests_per_minute=100_000,
            recovery=[{"name": "unhappy", "when": when, "then": then}],
            **others,
        )

    return write


@pytest.fixture
def surveyed(pipeline: Pipeline, close, hour: datetime) -> str:
    """A conversation whose survey was sent."""
    conversation = close()
    pipeline.run(run_of(hour))
    assert pipeline.states() == {conversation: "sent"}
    return conversation


@pytest.fixture
def planned(pipeline: Pipeline, close, hour: datetime):
    """A function that plans so many interactions, all due; returns their conversations."""

    def plan(number: int) -> list[str]:
        conversations = [close(minute=place / 100) for place in range(number)]
        pipeline.extract(run_of(hour))
        return conversations

    return plan


@pytest.fixture
def broken(sandbox: Sandbox):
    """A function that replaces the active faults; none: everything works again."""

    def replace_faults(*faults: Fault) -> None:
        sandbox.state.faults.active = list(faults)

    return replace_faults


@pytest.fixture
def deferred(pipeline):
    """A function that lists the deferred readings: conversation id, detail, tries."""
    return lambda: [
        tuple(row)
        for row in pipeline.query("SELECT conversation_id, detail, tries FROM deferred_reading ORDER BY id")
    ]


@pytest.fixture
def has_been_tried_for(pipeline):
    """A function that lets the deferred readings be older, and tried more often, than they are."""

    def age(duration: timedelta, tries: int = 10) -> None:
        with pipeline.engine.begin() as connection:
            connection.execute(
                text("UPDATE deferred_reading SET first_seen = first_seen - :ms, last_tried = first_seen - :ms"),
                {"ms": duration // MILLISECOND},
            )
            connection.execute(text("UPDATE deferred_reading SET tries = :tries"), {"tries": tries})

    return age
