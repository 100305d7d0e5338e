"""Faults while people are called for an unhappy customer: nothing twice, nothing forgotten."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from plugins.vendor_api.errors import VendorApiError
from tests.support.pipeline import Pipeline, run_of
from tests.support.unhappy import THEN, Recoveries

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def answered(pipeline: Pipeline, close: Any, hour: Any, recover: Any, unhappy: Recoveries, webhook: Any) -> Any:
    """A function that lets a customer answer badly, with one action in the settings; returns the conversation."""

    def answer(action: str) -> str:
        conversation: str = close()
        pipeline.run(run_of(hour))
        recover({action: THEN[action]})
        unhappy.answer(conversation)
        return conversation

    return answer


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
    assert unhappy.effects(conversation, webhook)[action] == int(taken)


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
