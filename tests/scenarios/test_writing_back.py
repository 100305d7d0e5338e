"""Customers' answers get to Kustomer: once, whatever happens on the way."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowException

from include.interactions.write_back import Target
from include.sandbox import KUSTOMER_KEY
from include.sandbox.options import ROLES, WRITE_ROLES
from plugins.pipeline import writing_back
from plugins.pipeline.answer_writer import NOTE_GRACE
from plugins.pipeline.feedback import record_feedback
from plugins.runtime.organisations import DEFAULT
from plugins.vendor_api.errors import VendorApiError
from plugins.vendor_api.throttle import Throttle
from tests.support.answers import WRITE_BACK, Answers, write_once
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

ATTRIBUTES, KOBJECT, NOTE = Target


@pytest.fixture
def answers(pipeline, sandbox, settings) -> Answers:
    settings(write_back=WRITE_BACK)
    return Answers.of(pipeline, sandbox)


@pytest.fixture
def only(settings):
    """A function that switches on one target alone."""

    def switch(target: Target) -> None:
        settings(write_back={target: WRITE_BACK[target], "per_minute": 600})

    return switch


@pytest.fixture
def strike(sandbox):
    """A function that makes calls to Kustomer fail."""

    def strike(kind, times=None, **match):
        sandbox.state.faults.replace([{"kind": kind, "times": times, "match": match}] if kind else [])

    return strike


def test_an_answer_is_written_to_each_target_once(answers, close) -> None:
    conversation = close(tags=["t1"])
    uuid = answers.give(conversation, 4)
    facts = write_once()
    assert {target: facts[target]["written"] for target in (ATTRIBUTES, KOBJECT, NOTE)} == {
        ATTRIBUTES: 1,
        KOBJECT: 1,
        NOTE: 1,
    }
    assert answers.stars(conversation) == 4
    assert answers.objects() == [(uuid, 4)]
    assert answers.notes(conversation) == [f"4 stars: about {conversation}\n[survey answer {uuid}]"]
    assert answers.sandbox.state.organisation.conversations[conversation].tags == ("t1",)

    before = answers.calls()
    assert write_once()[NOTE] == {"pending": 0}
    assert answers.calls() == before


def test_an_answer_gets_from_stella_connect_to_kustomer(answers, close, pipeline, sandbox, hour, settings) -> None:
    settings(write_back=WRITE_BACK, seconds_until_send=60, kustomer_requests_per_minute=100_000)
    sandbox.state.options.answered_share, sandbox.state.options.answer_after_seconds = 1.0, 0.0
    conversation = close()
    pipeline.run(run_of(hour))
    record_feedback(run_of(hour) | {"outlet_events": defaultdict(SimpleNamespace)}, DEFAULT)
    write_once()
    (row,) = pipeline.query("SELECT uuid, rating FROM survey_response")
    assert answers.stars(conversation) == row.rating
    assert answers.objects() == [(row.uuid, row.rating)]
    assert f"{row.rating} stars" in answers.notes(conversation)[0]


def test_a_changed_answer_is_written_once_more_but_its_note_is_not(answers, close) -> None:
    conversation = close()
    uuid = answers.give(conversation, 4)
    write_once()
    answers.give(conversation, 1, sequence=2)
    write_once()
    assert answers.stars(conversation) == 1
    assert answers.objects() == [(uuid, 1)]
    assert len(answers.notes(conversation)) == 1
    assert answers.sandbox.state.written.updates[conversation] == 2


def test_a_change_that_is_not_written_makes_no_call(answers, close) -> None:
    conversation = close()
    answers.give(conversation, 4)
    write_once()
    answers.give(
        conversation, 4, sequence=2, reward="Coffee", response_received_at=answered_at(answers, conversation)
    )
    before = answers.calls()
    facts = write_once()
    assert (facts[ATTRIBUTES]["unchanged"], facts[KOBJECT]["unchanged"]) == (1, 1)
    assert answers.calls() == before | {k: before[k] + 1 for k in before if "tokens/current" in k}


def answered_at(answers: Answers, conversation: str) -> datetime:
    (row,) = answers.pipeline.query(
        "SELECT response_received_at AS at FROM survey_response WHERE uuid = :uuid", uuid=f"uuid-{conversation}"
    )
    return datetime.fromtimestamp(row.at / 1000, UTC)


def test_many_updates_are_one_bulk_job(answers, close, only) -> None:
    only(ATTRIBUTES)
    conversations = [close(tags=["t1"]) for _ in range(7)]
    for conversation in conversations:
        answers.give(conversation, 2)
    before = sum(answers.calls().values())
    assert write_once()[ATTRIBUTES]["written"] == 7
    assert {answers.stars(conversation) for conversation in conversations} == {2}
    assert len(answers.sandbox.state.written.bulks) == 1
    known = answers.sandbox.state.organisation.conversations
    assert {known[conversation].tags for conversation in conversations} == {("t1",)}
    # Key, roles, look, job, its end, look.
    assert sum(answers.calls().values()) - before <= 7


def test_each_call_of_the_task_keeps_to_its_own_limit(answers, close, settings, monkeypatch) -> None:
    settings(write_back=WRITE_BACK | {"per_minute": 7}, kustomer_requests_per_minute=100_000)
    answers.give(close())
    before, gaps = sum(answers.calls().values()), []
    monkeypatch.setattr(Throttle, "wait", lambda throttle: gaps.append(throttle._gap))
    write_once()
    assert gaps == [60 / 7] * (sum(answers.calls().values()) - before)


def test_without_the_role_for_bulk_jobs_each_is_updated_alone(answers, close, only, sandbox) -> None:
    only(ATTRIBUTES)
    roles = [role for role in (*ROLES, *WRITE_ROLES) if "bulk" not in role]
    sandbox.state.kustomer_tokens[KUSTOMER_KEY] = tuple(roles)
    for _ in range(7):
        answers.give(close())
    assert write_once()[ATTRIBUTES]["written"] == 7
    assert answers.sandbox.state.written.bulks == []


def test_a_refused_item_of_a_bulk_job_costs_only_itself(answers, close, only, strike) -> None:
    only(ATTRIBUTES)
    conversations = [close() for _ in range(7)]
    for conversation in conversations:
        answers.give(conversation)
    strike("400", path_prefix="/v1/conversations/bulk")
    assert write_once()[ATTRIBUTES]["written"] == 7


@pytest.mark.parametrize(
    "change", [{"deleted": True}, {"merged_into": "other"}, {"deleted": True, "lingers": True}]
)
def test_what_is_gone_or_merged_is_given_up(answers, close, change) -> None:
    conversation, other = close(), close()
    answers.give(conversation)
    answers.give(other)
    close(id=conversation, **change)
    write_once()
    assert {state for (one, _), state in answers.states().items() if one == conversation} == {"gone"}
    assert {state for (one, _), state in answers.states().items() if one == other} == {"written"}
    assert answers.notes(conversation) == []


def test_if_kustomer_finds_nothing_at_all_nothing_is_given_up(answers, close, strike) -> None:
    for _ in range(3):
        answers.give(close())
    strike("404", path_prefix="/v1/conversations/")
    facts = write_once()
    assert "finds none of 3 conversations" in facts[NOTE]["stopped"]
    assert set(answers.states().values()) == {"pending"}


def test_the_later_answer_of_a_conversation_counts(answers, close, only) -> None:
    only(ATTRIBUTES)
    conversation = close()
    answers.give(conversation, 5, response_received_at=datetime.now(UTC) + timedelta(minutes=1), uuid="late")
    answers.give(conversation, 1, uuid="early")
    write_once()
    assert answers.stars(conversation) == 5
    assert answers.sandbox.state.written.updates[conversation] == 1


@pytest.mark.parametrize(
    ("role", "target"),
    [("conversation.update", ATTRIBUTES), ("note.create", NOTE), ("note.read", NOTE), ("kobject.create", KOBJECT)],
)
def test_a_missing_role_stops_its_target_alone_and_is_named(answers, close, sandbox, role, target) -> None:
    roles = tuple(one for one in (*ROLES, *WRITE_ROLES) if not one.endswith(role))
    sandbox.state.kustomer_tokens[KUSTOMER_KEY] = roles
    answers.give(close())
    facts = write_once()
    assert role in facts[target]["stopped"]
    assert {one: facts[one].get("written") for one in (ATTRIBUTES, KOBJECT, NOTE) if one != target} == {
        one: 1 for one in (ATTRIBUTES, KOBJECT, NOTE) if one != target
    }
    sandbox.state.kustomer_tokens[KUSTOMER_KEY] = (*ROLES, *WRITE_ROLES)
    write_once()
    assert set(answers.states().values()) == {"written"}


def test_a_class_that_does_not_exist_stops_its_target_alone(answers, close, sandbox) -> None:
    sandbox.state.options.klasses = ()
    answers.give(close())
    facts = write_once()
    assert "write_back.kobject does not exist" in facts[KOBJECT]["stopped"]
    assert facts[NOTE]["written"] == 1


def test_if_kustomer_refuses_every_answer_the_setting_is_at_fault_and_none_fails(
    answers, close, strike, only
) -> None:
    only(NOTE)
    for _ in range(8):
        answers.give(close())
    strike("422", method="POST")
    assert "refuses every answer" in write_once()[NOTE]["stopped"]
    assert set(answers.states().values()) == {"pending"}
    strike(None)
    write_once()
    assert set(answers.states().values()) == {"written"}


@pytest.mark.parametrize("target", [ATTRIBUTES, KOBJECT, NOTE])
def test_a_broken_answer_costs_only_itself(answers, close, strike, only, target) -> None:
    only(target)
    broken, *others = [close() for _ in range(4)]
    for conversation in (broken, *others):
        answers.give(conversation)
    match = {"path_contains": f"{broken}/notes"} if target == NOTE else {"body_contains": f"about {broken}"}
    if target == KOBJECT:
        match = {"body_contains": f"uuid-{broken}"}
    elif target == ATTRIBUTES:
        match = {"method": "PATCH", "path_contains": broken}
    strike("422", **match)
    write_once()
    write_once()
    assert answers.states() == {(broken, target): "failed"} | {(one, target): "written" for one in others}


def test_an_outage_ends_the_try_and_nothing_is_forgotten(answers, close, strike) -> None:
    conversations = [close() for _ in range(6)]
    for conversation in conversations:
        answers.give(conversation)
    strike("503")
    with pytest.raises(VendorApiError):
        write_once()
    strike(None)
    write_once()
    assert set(answers.states().values()) == {"written"}
    assert {len(answers.notes(conversation)) for conversation in conversations} == {1}


def test_a_note_that_does_not_show_waits_for_a_person(answers, close, strike, only) -> None:
    only(NOTE)
    conversation = close()
    answers.give(conversation)
    strike("500_before", times=1, method="POST")
    write_once()
    write_once()
    assert answers.states() == {(conversation, NOTE): "pending"}
    with time_machine.travel(datetime.now(UTC) + NOTE_GRACE + timedelta(minutes=1)):
        assert write_once()[NOTE]["failed"] == 1
        write_once()
        assert answers.states() == {(conversation, NOTE): "failed"}
        assert answers.notes(conversation) == []
        assert answers.pipeline.ledger.writing.write_again(conversation, "looked", dry_run=False) == 1
        write_once()
    assert len(answers.notes(conversation)) == 1


def test_a_note_that_shows_late_is_not_written_twice(answers, close, sandbox, only) -> None:
    only(NOTE)
    conversation = close()
    answers.give(conversation)
    sandbox.state.faults.replace(
        [
            {"kind": "accept_then_reset", "times": 1, "match": {"method": "POST"}},
            {"kind": "empty_list", "times": 3, "match": {"method": "GET", "path_contains": "/notes"}},
        ]
    )
    for _ in range(4):
        write_once()
    assert answers.states() == {(conversation, NOTE): "written"}
    assert len(answers.notes(conversation)) == 1


def test_when_its_time_is_over_the_task_leaves_the_rest_to_the_next_run(answers, close, monkeypatch) -> None:
    for _ in range(6):
        answers.give(close())
    with monkeypatch.context() as patched:
        patched.setattr(writing_back, "WRITE_FOR", timedelta())
        write_once()
        assert set(answers.states().values()) == {"pending"}
    write_once()
    assert set(answers.states().values()) == {"written"}


def test_nothing_of_an_erased_customer_is_written(answers, close, sandbox) -> None:
    conversation, other = close(), close()
    answers.give(conversation)
    answers.give(other)
    answers.pipeline.ledger.writing.plan(NOTE)
    customer = sandbox.state.organisation.conversations[conversation].customer_id
    answers.pipeline.ledger.admin.erase_customer(customer, by_run("admin"), "asked", dry_run=False)
    write_once()
    assert answers.notes(conversation) == []
    assert answers.stars(conversation) is None
    assert {one for one, _ in answers.states()} == {other}
    assert conversation not in json.dumps(answers.sandbox.state.written.objects)


def test_another_organisations_key_writes_nothing(answers, close, pipeline) -> None:
    answers.give(close())
    pipeline.ledger.set_fact("kustomer_organisation", "another")
    with pytest.raises(AirflowException, match="another Kustomer organisation"):
        write_once()
    assert answers.sandbox.state.written.updates == {}


def test_the_result_holds_no_personal_data(answers, close) -> None:
    conversation = close()
    answers.give(conversation)
    facts = json.dumps(write_once())
    assert "about" not in facts
    assert "example.com" not in facts
