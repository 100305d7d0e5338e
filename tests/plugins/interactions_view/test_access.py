"""Who sees what: without a login, without the right to the DAG, as a viewer, as an editor."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from include.interactions.actor import Actor
from include.interactions.answers import Answer
from include.interactions.survey_response import SurveyResponse
from plugins.interactions_view.app import app
from plugins.pipeline.actions import ACTIONS
from tests.plugins.interactions_view.conftest import Filled, Get
from tests.support.ledger import closing

VIEWS = (
    "",
    "list",
    "list.csv",
    "agents",
    "agents/agent-1",
    "responses",
    "action",
    "dag/kustomer_stella_connect",
    "dag/other",
)
CUSTOMER, MASKED = "customer1@example.com", "c•••@example.com"


def every_route(filled: Filled) -> list[str]:
    parts = {
        "{interaction_id}": str(filled.ids["sent"]),
        "{conversation_id}": f"{1:024x}",
        "{agent_id}": "agent-1",
        "{dag_id}": "other",
        "{organisation}": "default",
    }
    paths = []
    for route in app.routes:
        if isinstance(route, APIRoute):
            path = route.path.removeprefix("/")
            for name, value in parts.items():
                path = path.replace(name, value)
            paths.append(path)
    return paths


def test_no_route_answers_without_a_login(filled: Filled, get: Get) -> None:
    answers = {path: get(path, None) for path in every_route(filled)}
    assert {path: one.status for path, one in answers.items()} == dict.fromkeys(answers, 401)
    assert len(answers) >= 18
    assert all("Log in" in one.text and "customer" not in one.text.lower() for one in answers.values())


def test_no_route_answers_to_a_token_that_airflow_did_not_sign(filled: Filled, api_server: TestClient) -> None:
    for path in every_route(filled):
        answer = api_server.get(f"/interactions/{path}", headers={"authorization": "Bearer a.b.c"})
        assert answer.status_code in (401, 403)


def test_no_route_answers_to_who_may_not_read_the_dag(filled: Filled, get: Get) -> None:
    assert {get(path, "stranger").status for path in every_route(filled)} == {403}


def test_every_route_answers_to_a_viewer_and_to_an_editor(filled: Filled, get: Get) -> None:
    for user in ("viewer", "editor"):
        assert {get(path, user).status for path in every_route(filled)} <= {200, 307}


def test_the_cookie_of_the_ui_is_a_login_too(
    filled: Filled, api_server: TestClient, tokens: dict[str, str]
) -> None:
    api_server.cookies.set("_token", tokens["viewer"])
    assert api_server.get("/interactions/list").status_code == 200
    api_server.cookies.clear()


def test_nothing_but_the_page_is_served(get: Get) -> None:
    for path in ("docs", "openapi.json", "redoc", "static/../app.py", "static/%2e%2e/app.py"):
        assert get(path).status == 404


def test_a_viewer_sees_no_address_of_anybody(filled: Filled, get: Get) -> None:
    pages = [*VIEWS, *(f"one/{row_id}" for row_id in filled.ids.values())]
    for path in pages:
        text = get(path, "viewer").text
        for hidden in (
            CUSTOMER,
            "agent@example.com",
            "not.approved@example.com",
            "jane@example.com",
            "Customer 1",
        ):
            assert hidden not in text, path
    assert MASKED in get("list", "viewer").text
    assert MASKED in get("list.csv", "viewer").text
    assert MASKED in get(f"one/{filled.ids['sent']}", "viewer").text


def test_no_route_shows_a_viewer_an_address_that_the_ledger_holds(filled: Filled, get: Get) -> None:
    closed_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    nameless = replace(
        closing(8, closed_at=closed_at, delay=timedelta(minutes=30)),
        agent_id="agent-8",
        agent_email="nameless@example.com",
        agent_name=None,
        tags=("for tagged@example.com",),
    )
    named_by_address = replace(closing(9, closed_at=closed_at), agent_id="agent-9", agent_name="named@example.com")
    by = Actor("kustomer_stella_connect", "scheduled__1")
    filled.ledger.extraction.record_closings([nameless, named_by_address], by)
    answer = SurveyResponse(
        uuid="u-8",
        sequence_id=2,
        conversation_id=nameless.conversation_id,
        closed_at=closed_at,
        requested_via="API",
        response_received_at=datetime.now(UTC),
        reward="sent to rewarded@example.com",
        comment="I am (commented@example.com)",
        answers=(
            Answer(
                "areas_of_improvement", "Ask asked@example.com", None, ("chosen@example.com",), "second@example.com"
            ),
        ),
        survey_name="survey@example.com",
        team_leader="leader@example.com",
    )
    filled.ledger.feedback.record_responses([answer])
    person = Actor("interaction_ledger_admin", "manual__1", "operator@example.com")
    filled.ledger.admin.cancel(nameless.conversation_id, None, person, "see noted@example.com", dry_run=False)
    with filled.ledger.read() as connection:
        tables = ("interaction", "interaction_event", "survey_response")
        rows = [str(row) for name in tables for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]
        ids = list(connection.exec_driver_sql("SELECT id FROM interaction").scalars())
    addresses = set(re.findall(r"[\w.]+@example\.com", "".join(rows)))
    assert len(addresses) > 10

    paths = [
        *every_route(filled),
        *(f"one/{row_id}" for row_id in ids),
        *(f"agents/agent-{number}" for number in (1, 2, 7, 8, 9)),
        *(f"action?action={name}&agent=agent-{number}" for name in ACTIONS for number in (8, 9)),
        "responses?agent=agent-8",
        "responses?by=team_leader",
        "list?agent=agent-8",
    ]
    pages = {path: get(path, "viewer").text for path in paths}

    shown = {path: {address for address in addresses if address in page} for path, page in pages.items()}
    assert {path: found for path, found in shown.items() if found} == {}
    assert "n•••@example.com" in get("responses", "viewer").text


def test_an_editor_sees_addresses(filled: Filled, get: Get) -> None:
    for path in ("list", "list.csv", f"one/{filled.ids['sent']}", "responses"):
        assert CUSTOMER in get(path).text


def test_a_viewer_cannot_spell_out_an_address_by_searching(filled: Filled, get: Get) -> None:
    found = {
        user: f"{1:024x}" in get("list", user, search_secret="customer1@").text for user in ("viewer", "editor")
    }
    assert found == {"viewer": False, "editor": True}
    assert f"{1:024x}" in get("list", "viewer", search_secret=CUSTOMER).text
    assert f"{7:024x}" not in get("list", "viewer", search_secret="not.approved").text


def test_what_was_erased_shows_as_erased(filled: Filled, get: Get) -> None:
    assert "erased" in get(f"one/{filled.ids['erased']}").text
    assert "(erased)" in get("list.csv", search_secret=f"{6:024x}").text


def test_only_who_may_trigger_the_admin_dag_is_offered_its_actions(filled: Filled, get: Get) -> None:
    path = f"one/{filled.ids['planned']}"
    assert "action=cancel" in get(path).text
    assert "action=cancel" not in get(path, "viewer").text
    assert "<form" not in get("action", "viewer", action="cancel").text


@pytest.mark.parametrize("path", ["", "list", "one/0", "static/page.css", "list?page=x"])
def test_every_answer_forbids_inline_scripts_foreign_hosts_and_foreign_frames(path: str, get: Get) -> None:
    headers = get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_pages_are_not_kept_by_browsers(filled: Filled, get: Get) -> None:
    assert get("list").headers["cache-control"] == "no-store"


def test_every_link_stays_below_the_base_path(filled: Filled, tokens: dict[str, str]) -> None:
    outer = FastAPI(root_path="/some/base")
    outer.mount("/interactions", app)
    with TestClient(outer) as client:
        for path in ("", "list?state=sent", f"one/{filled.ids['planned']}", "agents", "responses", "action"):
            answer = client.get(
                f"/some/base/interactions/{path}",
                headers={"authorization": f"Bearer {tokens['editor']}", "accept": "text/html"},
            )
            assert answer.status_code == 200
            links = re.findall(r'(?:href|src|action|data-runs)="(/[^"]*)"', answer.text)
            assert len(links) > 8
            assert [link for link in links if not link.startswith("/some/base/")] == []
            assert [
                link for link in links if "/some/base/some" in link or "interactions/interactions" in link
            ] == []
