import json
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, connect
from plugins.pipeline.action_fields import FIELDS
from plugins.pipeline.actions import ACTIONS, Order
from plugins.pipeline.admin import admin_params, carry_out, check_form, describe_outcome, documentation, retain
from plugins.runtime.organisations import DEFAULT
from tests.support.ledger import LEASE, REQUEST, by_run, closing

ONE = closing(1).conversation_id
NOW = datetime.now(UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def ledger(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """An empty ledger behind the connection `interaction_ledger`."""
    connection = {"conn_type": "sqlite", "host": ledger_url.removeprefix("sqlite:///")}
    monkeypatch.setenv("AIRFLOW_CONN_INTERACTION_LEDGER", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", "{}")
    ledger = Ledger(connect(ledger_url))
    ledger.migrate()
    return ledger


def form(action: str, *, user: str | None = "ada", **fields: Any) -> Any:
    """The context of a run with this form; what it does not name is as the form has it."""
    params = {name: param.value for name, param in admin_params().items()} | {"action": action, **fields}
    run = SimpleNamespace(
        dag_id="interaction_ledger_admin", run_id="manual__1", run_type="manual", triggering_user_name=user
    )
    return {"dag_run": run, "params": params}


def done(action: str, **fields: Any) -> dict[str, Any]:
    """Both tasks, one after the other, not as a dry run."""
    context = form(action, dry_run=False, reason="ticket 12", **fields)
    check_form(context)
    return carry_out(context, DEFAULT)


def last(ledger: Ledger) -> tuple[Any, ...]:
    event = ledger.history(ONE)[-1]
    return event.from_state, event.to_state, event.reason, event.detail, str(event.by)


def recent(number: int = 1, **fields: Any) -> Any:
    return closing(number, closed_at=NOW - timedelta(hours=2), **fields)


def test_a_run_is_dry_unless_the_form_says_otherwise(ledger: Ledger) -> None:
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    context = form("cancel", conversation_id=ONE, reason="ticket 12")
    assert carry_out(context, DEFAULT) == {
        "action": "cancel",
        "dry_run": True,
        "cancelled": 1,
        "outcome": "Dry run, nothing has changed. With it switched off: 1 cancelled.",
    }
    assert ledger.history(ONE)[-1].to_state == State.PLANNED


def test_the_event_names_the_airflow_user_and_the_run(ledger: Ledger) -> None:
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    facts = done("cancel", conversation_id=f" {ONE} ")
    assert facts.pop("outcome") == "Done: 1 cancelled."
    assert facts == {"action": "cancel", "dry_run": False, "cancelled": 1}
    assert last(ledger) == (State.PLANNED, State.CANCELLED, Reason.BY_HAND, "ticket 12", "ada (manual__1)")


def test_without_a_user_the_event_names_the_run(ledger: Ledger) -> None:
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    carry_out(form("release_now", user=None, conversation_id=ONE, reason="ticket 12", dry_run=False), DEFAULT)
    assert last(ledger)[-1] == "manual__1"


def test_an_unknown_outcome_is_settled_as_the_form_says(ledger: Ledger) -> None:
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    (one,) = ledger.releasing.claim(NOW - timedelta(days=1), NOW, 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(one, LEASE, REQUEST)
    ledger.releasing.settle(one, State.UNKNOWN, None, "read timeout")
    assert done("settle_unknown", conversation_id=ONE, settle_as="cancelled")["cancelled"] == 1
    assert last(ledger)[:3] == (State.UNKNOWN, State.CANCELLED, Reason.BY_HAND)


def test_an_agents_interactions_are_sent_again_within_the_expiry_of_the_settings(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.extraction.record_closings([recent(1, skip=Reason.AGENT_PROFILE_NOT_APPROVED)], by_run("extraction"))
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", json.dumps({"expire_after_seconds": 120}))
    with pytest.raises(AirflowFailException, match=r"past their expiry.*Nothing has changed"):
        done("send_agent_again", agent_email="agent@example.com")
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", "{}")
    assert done("send_agent_again", agent_email="Agent@example.com")["planned"] == 1
    with pytest.raises(AirflowFailException, match="sent again already"):
        done("send_agent_again", agent_email="agent@example.com")


def test_a_customer_is_erased_and_no_address_is_printed(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    with caplog.at_level(logging.INFO):
        outcome = done("erase_customer", customer="customer1@example.com")["outcome"]
    assert outcome == "Done: 1 cancelled, 1 interactions erased, 1 customer ids found, 1 addresses found."
    assert "@" not in caplog.text
    assert "erased=1" in caplog.text
    with pytest.raises(AirflowFailException, match="holds nothing of this customer") as failure:
        done("erase_customer", customer="customer1@example.com")
    assert "@" not in str(failure.value)


def test_a_conversations_history_is_printed_and_returned_without_personal_data(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    done("cancel", conversation_id=ONE)
    with caplog.at_level(logging.INFO):
        shown = carry_out(form("show_history", conversation_id=ONE), DEFAULT)
    assert [(event["from"], event["to"], event["reason"]) for event in shown["events"]] == [
        (None, "planned", None),
        ("planned", "cancelled", "by_hand"),
    ]
    for text in (json.dumps(shown), caplog.text):
        assert "ticket 12" in text
        assert "customer" not in text.lower()
        assert "@" not in text


@pytest.mark.parametrize("action", ["show_history", "cancel", "release_now", "settle_unknown"])
def test_an_unknown_conversation_fails_the_task(ledger: Ledger, action: str) -> None:
    fields = {"settle_as": "sent"} if action == "settle_unknown" else {}
    with pytest.raises(AirflowFailException, match="knows no conversation 'nobody'"):
        carry_out(form(action, conversation_id="nobody", reason="ticket 12", dry_run=False, **fields), DEFAULT)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action": "cancel", "reason": "x"}, "'conversation_id' is needed"),
        ({"action": "cancel", "conversation_id": ONE, "reason": "  "}, "'reason' is needed"),
        ({"action": "settle_unknown", "conversation_id": ONE, "reason": "x"}, "'settle_as' is needed"),
        (
            {"action": "settle_unknown", "conversation_id": ONE, "reason": "x", "settle_as": "rejected"},
            "'settle_as' is not one of",
        ),
        (
            {"action": "cancel", "conversation_id": ONE, "reason": "x", "customer": "c"},
            "'customer' has no meaning here",
        ),
        (
            {"action": "cancel", "conversation_id": ONE, "reason": "asked by a@example.com"},
            "'reason' holds an e-mail",
        ),
        (
            {"action": "cancel", "conversation_id": ONE, "reason": "x", "closed_at": "yesterday"},
            "'closed_at' is not a time",
        ),
        ({"action": "send_agent_again", "agent_email": "ada", "reason": "x"}, "'agent_email' is not an e-mail"),
        ({"action": "cancel", "conversation_id": ONE, "reason": "x", "dry_run": "no"}, "'dry_run' is neither"),
        ({"action": "drop_everything"}, "'drop_everything' is not an action"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_before_the_ledger_is_opened(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_INTERACTION_LEDGER", raising=False)
    for step in (check_form, partial(carry_out, organisation=DEFAULT)):
        with pytest.raises(AirflowFailException, match=message) as failure:
            step(form(**fields))
        assert "example.com" not in str(failure.value)


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_never_runs_on_an_incomplete_order(ledger: Ledger, name: str) -> None:
    action = ACTIONS[name]
    ledger.extraction.record_closings([recent()], by_run("extraction"))
    for missing in action.needs:
        full = {
            "conversation_id": ONE,
            "settle_as": State.SENT,
            "agent_email": "a@b.example",
            "customer": "customer-1",
            "closed_from": NOW,
        }
        values = {name: value for name, value in (full | {"reason": "x"}).items() if name != missing}
        with pytest.raises(KeyError, match=missing):
            action.carry_out(Order(ledger, DEFAULT, by_run("ada"), dry_run=False, values=values))
    assert [event.to_state for event in ledger.history(ONE)] == [State.PLANNED]


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_names_its_own_fields_and_stands_in_the_documentation(name: str) -> None:
    action = ACTIONS[name]
    assert {field.name for field in action.fields} == {*action.needs, *action.allows} <= set(FIELDS)
    assert action.title in documentation()
    assert action.explanation in documentation()


def test_the_form_offers_every_action_and_explains_every_field() -> None:
    params = admin_params()
    assert params["dry_run"].value is True
    assert params["action"].schema["enum"] == list(ACTIONS)
    for param in params.values():
        assert param.schema["title"]
        assert param.schema["section"]
        assert param.description
        assert param.resolve() == param.value
    with pytest.raises(ParamValidationError):
        params["action"].resolve("drop_everything")


def test_retention_follows_the_setting_whoever_starts_it(
    ledger_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", json.dumps({"personal_data_retention_days": 10}))
    long_ago = Ledger(connect(ledger_url), lambda: NOW - timedelta(days=11))
    long_ago.extraction.record_closings([recent(1, skip=Reason.MERGED)], by_run("extraction"))
    ledger.extraction.record_closings([recent(2, skip=Reason.MERGED)], by_run("extraction"))
    facts = carry_out(form("apply_retention"), DEFAULT)
    assert "With it switched off: 1 erased." in facts.pop("outcome")
    assert facts == {"action": "apply_retention", "dry_run": True, "days": 10, "erased": 1}
    assert retain(form("show_history"), DEFAULT)["erased"] == 1
    assert last(ledger) == (State.SKIPPED, State.SKIPPED, Reason.ERASED, "retention of 10 days", "ada (manual__1)")
    assert retain(form("show_history"), DEFAULT)["erased"] == 0


@pytest.mark.parametrize(
    ("action", "facts", "words"),
    [
        (
            "send_agent_again",
            {"dry_run": True, "planned": 2, "left": 0},
            "Dry run, nothing has changed. With it switched off: 2 planned again.",
        ),
        (
            "send_agent_again",
            {"dry_run": False, "planned": 1, "left": 3},
            "Done: 1 planned again, 3 left skipped (past expiry, closed again, or erased). The next hourly run "
            "of kustomer_stella_connect sends it, or a manual run.",
        ),
        ("settle_unknown", {"dry_run": False, "sent": 1}, "Done: 1 settled as sent."),
        ("apply_retention", {"dry_run": False, "erased": 0}, "Done: there is nothing to do."),
    ],
)
def test_an_action_says_in_words_what_it_did(action: str, facts: dict[str, Any], words: str) -> None:
    assert describe_outcome(ACTIONS[action], facts, DEFAULT) == words


@pytest.mark.parametrize(
    ("hours", "kind", "erased"),
    [
        ([5], "scheduled", 1),  # no run at midnight: the first one of the day does it
        ([5, 5.25, 23.75], "scheduled", 1),
        ([5, 24], "scheduled", 2),
        ([23.75, 24, 24.25], "scheduled", 2),
        ([5, 5.25], "manual", 2),
    ],
)
def test_retention_runs_once_a_day_whichever_run_comes_first_and_when_a_person_asks(
    ledger: Ledger, hours: list[float], kind: str, erased: int
) -> None:
    done_at = []
    for hour in hours:
        with time_machine.travel(MIDNIGHT + timedelta(hours=hour), tick=False), suppress(AirflowSkipException):
            run = SimpleNamespace(
                dag_id="d", run_id="run", run_type=kind, run_after=MIDNIGHT, triggering_user_name=None
            )
            retain({"dag_run": run, "params": {}}, DEFAULT)
            done_at.append(hour)

    assert len(done_at) == erased
