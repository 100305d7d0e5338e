"""Airflow's own API server in this process, with its logins, tokens and plugins, over a real ledger."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from include.interactions import answers
from include.interactions.actor import Actor
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import Ledger, connect
from tests.support.ledger import LEASE, REQUEST, closing

USERS = {"viewer": "viewer", "editor": "user", "stranger": ""}
"""Each with the role it has in Airflow's SimpleAuthManager; the stranger may log in and see nothing."""
WEB_URL = "https://larkspur.kustomerapp.com"
SCRIPT = "<script>alert('not escaped')</script>"
FORMULA = '=HYPERLINK("https://example.com")'


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The whole app that `airflow api-server` serves, our plugin in it."""
    passwords = tmp_path_factory.mktemp("api_server") / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    environment = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of tests, long enough for any algorithm " * 2,
        "AIRFLOW__API__SECRET_KEY": "another secret of tests",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ |= environment
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb

    initdb()
    with TestClient(create_app(apps="core"), raise_server_exceptions=False) as client:
        yield client
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def tokens(api_server: TestClient) -> dict[str, str]:
    """Each user's token, as Airflow gives it for name and password."""
    return {
        name: api_server.post("/auth/token", json={"username": name, "password": name}).json()["access_token"]
        for name in USERS
    }


Get = Callable[..., "Answer"]


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


@pytest.fixture
def get(api_server: TestClient, tokens: dict[str, str]) -> Get:
    """A function that asks for a path of the page as one of the users, or as nobody."""

    def ask(path: str, user: str | None = "editor", *, accept: str = "text/html", **query: object) -> Answer:
        headers = {"accept": accept}
        if user:
            headers["authorization"] = f"Bearer {tokens[user]}"
        api_server.cookies.clear()
        answer = api_server.get(
            f"/interactions/{path}", params=query or None, headers=headers, follow_redirects=False
        )  # type: ignore[arg-type]  # lists too
        return Answer(answer.status_code, answer.text, dict(answer.headers))

    return ask


@pytest.fixture(autouse=True)
def connections(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The ledger of the test, and a way into Kustomer."""
    from plugins.interactions_view import source

    kustomer = {
        "conn_type": "kustomer",
        "host": "http://127.0.0.1:1",
        "password": "k",
        "extra": {"web_url": WEB_URL},
    }
    monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", json.dumps(kustomer))
    use_ledger(monkeypatch, ledger_url)
    yield
    source._source.cache_clear()
    source._engine.cache_clear()


def use_ledger(monkeypatch: pytest.MonkeyPatch, url: str, name: str = "interaction_ledger") -> None:
    """Point the connection at this database."""
    from plugins.interactions_view import source

    if url.startswith("sqlite"):
        value = json.dumps({"conn_type": "sqlite", "host": url.removeprefix("sqlite:///")})
    else:
        value = url.replace("postgresql+psycopg", "postgres")
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", value)
    source._source.cache_clear()


@dataclass(frozen=True)
class Filled:
    """A ledger with one interaction of each kind; the row ids by what they are."""

    url: str
    ledger: Ledger
    ids: dict[str, int]


@pytest.fixture
def filled(ledger_url: str) -> Filled:
    return fill(ledger_url)


def fill(url: str) -> Filled:
    """Interactions of the last hours, with names, tags and comments as nasty as anybody could type them."""
    now = datetime.now(UTC).replace(microsecond=0)
    clock = [now]
    ledger = Ledger(connect(url), lambda: clock[0])
    ledger.migrate()
    closed = now - timedelta(hours=2)

    def one(number: int, **changes: object) -> Interaction:
        return replace(
            closing(number, closed_at=closed + timedelta(minutes=number), delay=timedelta(minutes=30)),
            **changes,  # type: ignore[arg-type]  # fields by name
        )

    names = ("sent", "skipped", "nasty", "unknown", "planned", "erased", "unapproved")
    by = Actor("kustomer_stella_connect", "scheduled__2026-03-02T12:00:00+00:00")
    ledger.extraction.record_closings(
        [
            one(1),
            one(2, skip=Reason.AGENT_PROFILE_NOT_APPROVED, agent_id="agent-2", agent_name="Zoe"),
            one(
                3,
                customer_name=SCRIPT,
                customer_email='"<img src=x>"@example.com',
                agent_name=FORMULA,
                agent_id="agent/3?&<b>",
                tags=(SCRIPT, FORMULA),
                due_at=now + timedelta(hours=1),
            ),
            one(4, due_at=closed + timedelta(minutes=40)),
            one(5, due_at=now + timedelta(hours=3)),
            one(6, skip=Reason.NO_CUSTOMER_EMAIL),
            one(7, agent_id="agent-7", agent_email="not.approved@example.com", due_at=now + timedelta(hours=2)),
        ],
        by,
    )
    ledger.extraction.mark_profiles(["agent@example.com"], ["not.approved@example.com"])
    for claimed in ledger.releasing.claim(closed, closed + timedelta(minutes=45), 10, LEASE, by):
        ledger.releasing.start_sending(claimed, LEASE, REQUEST)
        if claimed.interaction.conversation_id == f"{4:024x}":
            ledger.releasing.settle(claimed, State.UNKNOWN, 502, "POST /v1/requests: 502")
        else:
            ledger.releasing.settle(claimed, State.SENT, 200)
    ledger.admin.erase_customer(
        "customer-6", Actor("interaction_ledger_admin", "manual__x", "jane"), "ticket 1", dry_run=False
    )
    answer = SurveyResponse(
        uuid="u-1",
        sequence_id=1,
        conversation_id=f"{1:024x}",
        closed_at=closed + timedelta(minutes=1),
        requested_via="API",
        delivery_status="Sent",
        request_created_at=now,
        request_sent_at=now,
        response_received_at=now,
        rating=4,
        nps=9,
        resolved=True,
        comment=f"{SCRIPT} write to jane@example.com",
        answers=(
            answers.Answer(
                "agent_star_rating", "How did we do?", 4, ("4 stars",), f"{SCRIPT} write to jane@example.com"
            ),
            answers.Answer("areas_of_excellence", None, None, (SCRIPT, "Speed"), None),
            answers.Answer("own_question", "What else?", None, (), "Call jane@example.com"),
            answers.Answer("fcr", "Was it resolved?", None, (), None),
        ),
        disputed=True,
        language="en",
        survey_name="After contact",
        team_leader="Ines Halloran",
        channel="email",
        brand="larkspur",
    )
    ledger.feedback.record_responses([answer])
    with ledger.read() as connection:
        rows = connection.exec_driver_sql("SELECT conversation_id, id FROM interaction").all()
    ids = {names[int(conversation_id, 16) - 1]: row_id for conversation_id, row_id in rows}
    return Filled(url, ledger, ids)
