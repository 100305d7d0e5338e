"""An unhappy customer's answer calls people, once; the survey after a reopening is a service recovery."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.changes import change_conversation
from include.sandbox.options import KUSTOMER_KEY
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.feedback import GRACE, Feedback
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import VendorApiError
from tests.support.ledger import by_run
from tests.support.pipeline import run_of
from tests.support.unhappy import QUEUE, REOPEN, TEAM, WHEN

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def read(pipeline):
    """A function that reads Data Return as if it were so much later."""

    def run(later=timedelta()):
        with StellaConnectHook("stella_connect_default") as hook:
            return Feedback(pipeline.ledger, hook, "ask", by=by_run("feedback")).read(datetime.now(UTC) + later)

    return run


# --- actions


def test_without_the_setting_nothing_is_called_and_nothing_planned(pipeline, sandbox, surveyed, unhappy):
    unhappy.answer(surveyed)
    calls = sandbox.state.calls.total()

    assert unhappy.act() == {}

    assert sandbox.state.calls.total() == calls
    assert unhappy.steps() == {}


def test_each_action_is_taken_once_for_an_answer(sandbox, surveyed, unhappy, recover, webhook):
    recover(
        {
            "note": {"text": "Only {stars} stars: {comment}", "mention_team": "Second line"},
            "tag": "unhappy",
            "webhook": "recovery_chat",
            **REOPEN,
        }
    )
    change_conversation(sandbox.state, {"id": surveyed, "tags": ["t1"]})
    unhappy.answer(surveyed, comment="Too slow")

    first, second = unhappy.act(), unhappy.act()

    assert (first["planned"], first["done"], second["planned"], second["done"]) == (4, 4, 0, 0)
    assert unhappy.steps() == dict.fromkeys(("note", "tag", "webhook", "reopen"), "done")
    assert unhappy.notes(surveyed) == ["Only 1 stars: Too slow"]
    assert sandbox.state.written.notes[surveyed][0].mentions == [{"team": TEAM}]
    conversation = sandbox.state.organisation.conversations[surveyed]
    assert (conversation.status, conversation.attributes) == ("open", {"priority": 5, "assignedTeams": [TEAM]})
    kept, added = conversation.tags
    assert (kept, sandbox.state.organisation.tags[added].name) == ("t1", "unhappy")
    ((request, _),) = webhook.log
    assert request.get_json()["text"].startswith(
        "unhappy: a customer answered (stars 1). https://acme.kustomerapp.com"
    )
    assert "Too slow" not in request.get_json()["text"]


def test_a_queue_can_be_named_by_its_id(sandbox, surveyed, unhappy, recover):
    recover({"reopen": {"queue": QUEUE}})
    unhappy.answer(surveyed)

    unhappy.act()

    assert sandbox.state.organisation.conversations[surveyed].relationships["queue"]["data"]["id"] == QUEUE


@pytest.mark.parametrize(
    ("when", "stars", "fields"),
    [
        (WHEN, 3, {}),
        (WHEN, None, {"nps": 2}),
        (WHEN, 1, {"disputed": True}),
        (WHEN, 1, {"response_received_at": datetime.now(UTC) - timedelta(days=3, minutes=1)}),
        ({"nps_at_most": 6}, 1, {"nps": 7}),
        ({"resolved": False}, 1, {"resolved": True}),
        (WHEN | {"with_comment": True}, 1, {}),
        (WHEN | {"channel": ["chat"]}, 1, {"channel": "email"}),
        (WHEN | {"brand": "north"}, 1, {"brand": "south"}),
        (WHEN | {"rule": "vip"}, 1, {}),
    ],
)
def test_an_answer_that_does_not_fit_the_conditions_calls_for_nothing(
    surveyed, unhappy, recover, when, stars, fields
):
    recover({"tag": "unhappy"}, when)
    unhappy.answer(surveyed, stars, **fields)

    assert unhappy.act()["planned"] == 0


@pytest.mark.parametrize(
    ("when", "fields"),
    [
        ({"nps_at_most": 6}, {"nps": 0}),
        ({"resolved": False}, {"resolved": False}),
        (WHEN | {"with_comment": True, "channel": "Email"}, {"comment": "no", "channel": "email"}),
    ],
)
def test_an_answer_that_fits_all_conditions_calls_for_action(surveyed, unhappy, recover, when, fields):
    recover({"tag": "unhappy"}, when)
    unhappy.answer(surveyed, **fields)

    assert unhappy.act()["done"] == 1


@pytest.mark.parametrize("change", [{"deleted": True}, {"merged_into": "other"}, {"spam": True}])
def test_of_a_conversation_that_is_gone_only_the_message_tells(
    sandbox, surveyed, unhappy, recover, webhook, change
):
    recover({"note": {"text": "sorry"}, "tag": "unhappy", "webhook": "recovery_chat", **REOPEN})
    unhappy.answer(surveyed)
    change_conversation(sandbox.state, {"id": surveyed, **change})

    unhappy.act()

    assert unhappy.steps() == {"note": "gone", "tag": "gone", "webhook": "done", "reopen": "gone"}
    assert len(webhook.log) == 1


def test_with_the_key_of_another_organisation_nothing_is_done(pipeline, surveyed, unhappy, recover):
    recover({"tag": "unhappy"})
    unhappy.answer(surveyed)
    pipeline.ledger.set_fact("kustomer_organisation", "another")

    with pytest.raises(AirflowFailException, match="another Kustomer organisation"):
        unhappy.act()

    assert unhappy.steps() == {"tag": "pending"}


def test_a_long_comment_is_cut_to_the_length_of_a_note(sandbox, surveyed, unhappy, recover):
    recover({"note": {"text": "{comment}{comment}"}})
    unhappy.answer(surveyed, comment="😀" * 5_000)

    unhappy.act()

    assert unhappy.steps() == {"note": "done"}
    assert unhappy.notes(surveyed) == ["😀" * 5_120]


@pytest.fixture
def erase(pipeline):
    """A function that erases the customer of the one interaction."""

    def run():
        customer = pipeline.query("SELECT customer_id FROM interaction")[0].customer_id
        pipeline.ledger.admin.erase_customer(customer, by_run("by hand"), "asked", dry_run=False)

    return run


def test_the_answer_of_an_erased_customer_calls_for_nothing(surveyed, unhappy, recover, erase):
    recover({"note": {"text": "sorry"}})
    unhappy.answer(surveyed)
    erase()

    assert unhappy.act()["planned"] == 0


def test_an_action_that_waits_is_not_taken_for_an_erased_customer(sandbox, surveyed, unhappy, recover, erase):
    recover({"note": {"text": "{comment}"}})
    unhappy.answer(surveyed, comment="Too slow")
    sandbox.state.faults.replace([{"match": {"path_prefix": "/v1"}, "kind": "503"}])
    with pytest.raises(VendorApiError):
        unhappy.act()
    sandbox.state.faults.replace([])
    erase()

    unhappy.act()

    assert (unhappy.steps(), unhappy.notes(surveyed)) == ({"note": "gone"}, [])


@pytest.mark.parametrize(
    ("role", "waits"),
    [
        ("note.create", {"note"}),
        ("conversation.update", {"tag", "reopen"}),
        ("team.read", {"note", "reopen"}),
        ("queue.read", set()),
    ],
)
def test_without_a_role_the_run_says_so_and_does_everything_else(
    sandbox, surveyed, unhappy, recover, webhook, role, waits
):
    recover(
        {
            "note": {"text": "sorry", "mention_team": "Second line"},
            "tag": "unhappy",
            "webhook": "recovery_chat",
            **REOPEN,
        }
    )
    unhappy.answer(surveyed)
    held = sandbox.state.kustomer_tokens[KUSTOMER_KEY]
    sandbox.state.kustomer_tokens[KUSTOMER_KEY] = tuple(one for one in held if not one.endswith(role))

    with pytest.raises(AirflowFailException, match=rf"org\.permission\.{role}") if waits else nullcontext():
        unhappy.act()

    actions = ("note", "tag", "webhook", "reopen")
    assert unhappy.steps() == {action: "pending" if action in waits else "done" for action in actions}
    sandbox.state.kustomer_tokens[KUSTOMER_KEY] = held
    unhappy.act()
    assert unhappy.steps() == dict.fromkeys(actions, "done")
    assert (unhappy.notes(surveyed), len(webhook.log)) == (["sorry"], 1)


def test_a_team_that_kustomer_does_not_have_is_named(surveyed, unhappy, recover):
    recover({"tag": "unhappy", "reopen": {"team": "Third line"}})
    unhappy.answer(surveyed)

    with pytest.raises(AirflowFailException, match="0 teams named 'Third line'"):
        unhappy.act()

    assert unhappy.steps() == {"tag": "done", "reopen": "pending"}


def test_more_reopenings_than_the_hour_allows_stop_and_raise_an_alarm(pipeline, close, hour, unhappy, recover):
    recover(REOPEN, max_reopenings_per_hour=2)
    conversations = [close(minute=10 + n) for n in range(3)]
    pipeline.run(run_of(hour))
    for conversation in conversations:
        unhappy.answer(conversation)

    facts = unhappy.act()

    assert (facts["done"], facts["reopenings_stopped"]) == (2, 1)
    alarms = raise_alarms(run_of(hour), DEFAULT)["alarms"]
    assert "reopenings_stopped" in alarms
    assert unhappy.act(timedelta(hours=1, minutes=1))["done"] == 1


def test_an_action_that_kustomer_refuses_raises_an_alarm_without_a_name(
    sandbox, surveyed, unhappy, recover, hour, caplog
):
    recover({"tag": "unhappy"})
    unhappy.answer(surveyed)
    sandbox.state.faults.replace([{"match": {"path_contains": "/tags", "method": "POST"}, "kind": "400"}])

    assert unhappy.act()["failed"] == 1

    assert "recovery_failed" in raise_alarms(run_of(hour), DEFAULT)["alarms"]
    assert not [line for line in caplog.messages if "customer" in line.lower() and line.startswith("ALARM")]


# --- the survey after a reopening


@pytest.fixture
def reopened(surveyed, unhappy, recover):
    """A conversation that the pipeline reopened for a bad answer."""
    recover(REOPEN)
    unhappy.answer(surveyed)
    unhappy.act()
    return surveyed


def test_the_survey_after_a_reopening_is_a_service_recovery_and_no_second_survey(
    pipeline, sandbox, reopened, unhappy
):
    unhappy.close_again(reopened)

    assert unhappy.recovered() == [reopened]
    assert pipeline.sent() == [reopened], "the first survey, and no second one"
    (taken,) = sandbox.state.recoveries
    assert set(taken.request) == {"employee", "ext_interaction_id", "external_url"}
    states = pipeline.query("SELECT state, recovers_uuid FROM interaction ORDER BY closed_at")
    assert [(row.state, row.recovers_uuid is not None) for row in states] == [("sent", False), ("sent", True)]


def test_the_cap_is_not_about_a_service_recovery(surveyed, unhappy, recover):
    recover(REOPEN, cap={"surveys": 1, "days": 30})
    unhappy.answer(surveyed)
    unhappy.act()

    unhappy.close_again(surveyed)

    assert unhappy.recovered() == [surveyed]


def test_after_the_recovery_a_later_closing_is_ordinary_again(pipeline, reopened, unhappy):
    unhappy.close_again(reopened)

    unhappy.close_again(reopened)

    assert unhappy.recovered() == [reopened]
    assert pipeline.sent() == [reopened, reopened]


def test_without_a_reopening_of_ours_a_later_closing_is_ordinary(pipeline, surveyed, unhappy, recover):
    recover({"tag": "unhappy"})
    unhappy.answer(surveyed)
    unhappy.act()

    unhappy.close_again(surveyed)

    assert (unhappy.recovered(), pipeline.sent()) == ([], [surveyed, surveyed])


@pytest.mark.parametrize("kind", ["accept_then_500", "accept_then_reset"])
def test_an_unknown_recovery_is_looked_up_and_never_repeated(pipeline, sandbox, reopened, unhappy, read, kind):
    sandbox.state.faults.replace([{"match": {"path_prefix": "/v1/recoveries"}, "kind": kind, "times": 1}])
    unhappy.close_again(reopened)
    assert pipeline.states() == {reopened: "unknown"}

    facts = read()

    assert facts["settled"] == 1
    assert pipeline.states() == {reopened: "sent"}
    pipeline.release_due(run_of(datetime.now(UTC)))
    assert unhappy.recovered() == [reopened]


def test_a_recovery_that_was_never_taken_stays_unknown_and_is_left_for_a_person(
    pipeline, sandbox, reopened, unhappy, read
):
    sandbox.state.faults.replace([{"match": {"path_prefix": "/v1/recoveries"}, "kind": "500_before", "times": 1}])
    unhappy.close_again(reopened)

    assert read(GRACE + timedelta(minutes=1))["unknown_past_grace"] == 1
    assert pipeline.states() == {reopened: "unknown"}
    assert unhappy.recovered() == []


def test_a_bad_answer_to_a_recovery_only_tells(pipeline, sandbox, surveyed, unhappy, recover):
    recover({"note": {"text": "{stars} stars"}, **REOPEN})
    parent = unhappy.answer(surveyed)
    unhappy.act()
    unhappy.close_again(surveyed)

    unhappy.answer(surveyed, stars=2, closed_at=None, is_recovery=True, parent_uuid=parent)
    unhappy.act()

    assert unhappy.notes(surveyed) == ["1 stars", "2 stars"]
    assert sandbox.state.organisation.conversations[surveyed].status == "done"
    reopenings = pipeline.query("SELECT count(*) AS number FROM recovery_step WHERE action = 'reopen'")
    assert reopenings[0].number == 1


def test_recoveries_are_read_only_by_a_ledger_that_has_some(sandbox, surveyed, unhappy, read, recover):
    read()
    assert not [call for call in sandbox.state.calls if "recover" in str(call)]
    recover(REOPEN)
    unhappy.answer(surveyed)
    unhappy.act()
    unhappy.close_again(surveyed)

    facts = read()

    assert facts["recorded"] == 1, "the recovery's record"
