"""Actions after a bad answer that cannot be taken: what the task retries, and what a person has repeated."""

from datetime import UTC, datetime

import pytest

from plugins.pipeline.admin import admin_params, carry_out, check_form
from plugins.pipeline.recovering import MAX_TRIES
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of
from tests.support.unhappy import REOPEN

pytestmark = pytest.mark.usefixtures("no_waiting")


def test_a_conversation_that_cannot_be_read_is_not_given_up(sandbox, surveyed, unhappy, recover):
    recover(REOPEN)
    unhappy.answer(surveyed)
    sandbox.state.faults.replace([{"match": {"path_contains": surveyed, "method": "GET"}, "kind": "400"}])
    unhappy.act()
    assert unhappy.steps() == {"reopen": "pending"}
    sandbox.state.faults.replace([])

    unhappy.act()

    assert unhappy.steps() == {"reopen": "done"}


def test_a_conversation_that_stays_unreadable_is_left_to_a_person(sandbox, surveyed, unhappy, recover):
    recover(REOPEN)
    unhappy.answer(surveyed)
    sandbox.state.faults.replace([{"match": {"path_contains": surveyed, "method": "GET"}, "kind": "400"}])
    for _ in range(MAX_TRIES):
        assert unhappy.steps() in ({}, {"reopen": "pending"})
        unhappy.act()
    assert unhappy.steps() == {"reopen": "failed"}


@pytest.fixture
def again():
    """A function that runs the action `recover_again`, and says how many actions wait."""

    def run(**fields):
        params = {name: param.value for name, param in admin_params().items()}
        params |= {"action": "recover_again", "reason": "ticket 12", "dry_run": False, **fields}
        context = run_of(datetime.now(UTC), origin="manual", **params)
        context["dag_run"].triggering_user_name = "ada"
        check_form(context)
        return carry_out(context, DEFAULT)["actions"]

    return run


def test_a_person_has_a_refused_action_repeated(sandbox, surveyed, unhappy, recover, again):
    recover({"tag": "unhappy", **REOPEN})
    unhappy.answer(surveyed)
    sandbox.state.faults.replace(
        [{"match": {"path_contains": surveyed, "method": method}, "kind": "400"} for method in ("POST", "PATCH")]
    )
    unhappy.act()
    assert unhappy.steps() == {"tag": "failed", "reopen": "failed"}
    sandbox.state.faults.replace([])
    unhappy.act_after_lease()
    assert unhappy.steps() == {"tag": "failed", "reopen": "failed"}, "never on a timer"

    assert (again(conversation_id="another"), again(conversation_id=surveyed)) == (0, 2)
    unhappy.act()

    assert unhappy.steps() == {"tag": "done", "reopen": "done"}
    assert sandbox.state.organisation.conversations[surveyed].status == "open"


@pytest.mark.parametrize("kind", ["500_before", "accept_then_500"])
def test_a_note_that_a_person_has_repeated_is_looked_for_first(sandbox, surveyed, unhappy, recover, again, kind):
    recover({"note": {"text": "sorry"}})
    unhappy.answer(surveyed)
    notes = {"path_contains": "/notes"}
    sandbox.state.faults.replace(
        [
            {"kind": kind, "times": 1, "match": notes | {"method": "POST"}},
            {"kind": "empty_list", "times": 1, "match": notes | {"method": "GET"}},
        ]
    )
    unhappy.act()
    unhappy.act_after_lease()
    assert unhappy.steps() == {"note": "failed"}

    assert again() == 1
    unhappy.act()

    assert unhappy.steps() == {"note": "done"}
    assert unhappy.notes(surveyed) == ["sorry"]


def test_a_message_that_a_person_has_repeated_is_sent_again(surveyed, unhappy, recover, webhook, again):
    recover({"webhook": "recovery_chat"})
    unhappy.answer(surveyed)
    webhook.clear_all_handlers()
    webhook.expect_request("/hooks").respond_with_data("no", status=500)
    unhappy.act()
    webhook.clear_all_handlers()
    webhook.expect_request("/hooks").respond_with_data("ok")

    assert again() == 1
    unhappy.act()

    assert (unhappy.steps(), len(webhook.log)) == ({"webhook": "done"}, 2)
