"""Kills and faults while people are called for an unhappy customer: nothing twice, nothing forgotten."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from include.ledger.recovering import RecoveryStore
from plugins.kustomer.hook import KustomerHook
from plugins.runtime.webhook import AlarmWebhookHook
from plugins.vendor_api.errors import VendorApiError
from tests.support.pipeline import Pipeline, run_of
from tests.support.unhappy import TEAM, Recoveries

pytestmark = pytest.mark.usefixtures("no_waiting")

THEN = {
    "note": {"note": {"text": "sorry"}},
    "tag": {"tag": "unhappy"},
    "webhook": {"webhook": "recovery_chat"},
    "reopen": {"reopen": {"team": TEAM}},
}
WRITES = {
    "note": (KustomerHook, "create_note"),
    "tag": (KustomerHook, "add_tags"),
    "webhook": (AlarmWebhookHook, "send"),
    "reopen": (KustomerHook, "update_conversation"),
}


class Killed(BaseException):
    """The process dies here: no handler of ours sees it."""


@pytest.fixture
def unhappy(pipeline: Pipeline) -> Recoveries:
    return Recoveries(pipeline)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    with HTTPServer() as server:
        server.expect_request("/hooks").respond_with_data("ok")
        monkeypatch.setenv("AIRFLOW_CONN_RECOVERY_CHAT", server.url_for("/hooks"))
        yield server


@pytest.fixture
def answered(pipeline: Pipeline, close: Any, hour: Any, settings: Any, unhappy: Recoveries, webhook: Any) -> Any:
    """A function that lets a customer answer badly, with one action in the settings; returns the conversation."""

    def answer(action: str) -> str:
        conversation: str = close()
        pipeline.run(run_of(hour))
        entry = {"name": "unhappy", "when": {"stars_at_most": 2}, "then": THEN[action]}
        settings(
            seconds_until_send=0,
            release_window_seconds=5,
            kustomer_requests_per_minute=100_000,
            recovery=[entry],
        )
        unhappy.answer(conversation)
        return conversation

    return answer


def effects(unhappy: Recoveries, webhook: HTTPServer, action: str, conversation: str) -> int:
    """How often the action was done."""
    state = unhappy.pipeline.sandbox.state
    tags = state.organisation.conversations[conversation].tags
    return {
        "note": len(unhappy.notes(conversation)),
        "tag": [state.organisation.tags[tag].name for tag in tags].count("unhappy"),
        "webhook": len(webhook.log),
        "reopen": state.written.updates.get(conversation, 0),
    }[action]


def kill(monkeypatch: pytest.MonkeyPatch, action: str, point: str) -> None:
    """Let the process die at a point, once."""
    place, name = {"claim": (RecoveryStore, "claim"), "write": WRITES[action]}[point.partition(" ")[2]]
    real, before = getattr(place, name), point.startswith("before")

    def dies(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(place, name, real)
        if not before:
            real(*given, **named)
        raise Killed

    monkeypatch.setattr(place, name, dies)


AFTERWARDS = {
    ("note", "before claim"): ("done", 1),
    ("note", "after claim"): ("failed", 0),
    ("note", "before write"): ("failed", 0),
    ("note", "after write"): ("done", 1),
    ("tag", "before claim"): ("done", 1),
    ("tag", "after claim"): ("done", 1),
    ("tag", "before write"): ("done", 1),
    ("tag", "after write"): ("done", 1),
    ("webhook", "before claim"): ("done", 1),
    ("webhook", "after claim"): ("failed", 0),
    ("webhook", "before write"): ("failed", 0),
    ("webhook", "after write"): ("failed", 1),
    ("reopen", "before claim"): ("done", 1),
    ("reopen", "after claim"): ("done", 1),
    ("reopen", "before write"): ("done", 1),
    ("reopen", "after write"): ("done", 1),
}
"""What a step is in the end, and how often it was done. `failed` asks a person, who reads that it may be done."""


@pytest.mark.parametrize(("action", "point"), AFTERWARDS)
def test_a_run_killed_anywhere_does_nothing_twice_and_forgets_nothing(
    unhappy: Recoveries,
    answered: Any,
    webhook: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    point: str,
) -> None:
    conversation = answered(action)
    kill(monkeypatch, action, point)
    with pytest.raises(Killed):
        unhappy.act()

    unhappy.act()
    unhappy.act_after_lease()
    unhappy.act_after_lease()

    assert (unhappy.steps()[action], effects(unhappy, webhook, action, conversation)) == AFTERWARDS[action, point]


@pytest.mark.parametrize("kind", ["500_before", "accept_then_500", "accept_then_reset", "reset", "429", "503"])
@pytest.mark.parametrize("action", ["note", "tag", "reopen"])
def test_a_fault_of_kustomer_does_nothing_twice_and_forgets_nothing(
    pipeline: Pipeline, unhappy: Recoveries, answered: Any, webhook: HTTPServer, action: str, kind: str
) -> None:
    conversation = answered(action)
    method = "PATCH" if action == "reopen" else "POST"
    match = {"path_prefix": f"/v1/conversations/{conversation}", "method": method}
    pipeline.sandbox.state.faults.replace([{"match": match, "kind": kind, "times": 1}])

    for act in (unhappy.act, unhappy.act_after_lease, unhappy.act_after_lease):
        with suppress(VendorApiError):
            act()

    taken = kind.startswith("accept") or kind == "429" or action != "note"
    assert unhappy.steps()[action] == ("done" if taken else "failed")
    assert effects(unhappy, webhook, action, conversation) == int(taken)


def test_a_conversation_closed_again_before_the_look_is_not_reopened_twice(
    unhappy: Recoveries, answered: Any, webhook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = answered("reopen")
    kill(monkeypatch, "reopen", "after write")
    with pytest.raises(Killed):
        unhappy.act()
    unhappy.close_again(conversation)

    unhappy.act_after_lease()

    assert unhappy.steps() == {"reopen": "done"}
    assert effects(unhappy, webhook, "reopen", conversation) == 1
    assert unhappy.recovered() == [conversation]


def test_an_outage_of_kustomer_leaves_everything_to_the_next_run(
    pipeline: Pipeline, unhappy: Recoveries, answered: Any
) -> None:
    conversation = answered("reopen")
    pipeline.sandbox.state.faults.replace([{"match": {"path_prefix": "/v1"}, "kind": "503"}])
    with pytest.raises(VendorApiError):
        unhappy.act()
    assert unhappy.steps() == {"reopen": "pending"}
    pipeline.sandbox.state.faults.replace([])

    unhappy.act()

    assert unhappy.steps() == {"reopen": "done"}
    assert pipeline.sandbox.state.organisation.conversations[conversation].status == "open"


@pytest.mark.parametrize("code", [500, 404])
def test_a_message_that_the_webhook_refuses_is_left_to_a_person(
    unhappy: Recoveries, answered: Any, webhook: HTTPServer, code: int
) -> None:
    answered("webhook")
    webhook.clear_all_handlers()
    webhook.expect_request("/hooks").respond_with_data("no", status=code)

    unhappy.act()
    unhappy.act_after_lease()

    assert unhappy.steps() == {"webhook": "failed"}
    assert len(webhook.log) == 1


def test_a_message_that_never_left_is_sent_by_the_next_run(
    unhappy: Recoveries, answered: Any, webhook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered("webhook")
    reachable = webhook.url_for("/hooks")
    monkeypatch.setenv("AIRFLOW_CONN_RECOVERY_CHAT", "http://127.0.0.1:9/hooks")
    with pytest.raises(VendorApiError):
        unhappy.act()
    assert unhappy.steps() == {"webhook": "pending"}
    monkeypatch.setenv("AIRFLOW_CONN_RECOVERY_CHAT", reachable)

    unhappy.act()

    assert unhappy.steps() == {"webhook": "done"}


@pytest.mark.parametrize(
    "kind", ["500_before", "accept_then_500", "accept_then_reset", "reset", "cut_body", "429", "503"]
)
def test_a_fault_at_the_recovery_makes_at_most_one(
    pipeline: Pipeline, unhappy: Recoveries, answered: Any, kind: str
) -> None:
    conversation = answered("reopen")
    unhappy.act()
    fault = {"match": {"path_prefix": "/v1/recoveries"}, "kind": kind, "times": 1}
    pipeline.sandbox.state.faults.replace([fault])

    unhappy.close_again(conversation)
    pipeline.release_due(run_of(datetime.now(UTC)))

    taken = kind not in ("500_before", "reset", "503")
    assert unhappy.recovered() == [conversation] * taken
    assert pipeline.states() == {conversation: "sent" if kind == "429" else "unknown"}
    assert pipeline.sent() == [conversation], "never a second ordinary survey"
