"""*Plan again*: a wrong answer that ended interactions costs time, not surveys."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.ledger.columns import milliseconds
from include.sandbox.changes import change_customer
from plugins.pipeline.admin import admin_params, carry_out, check_form
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

QUICK = {"seconds_until_send": 60, "kustomer_requests_per_minute": 100_000}


@pytest.fixture
def plan_again(hour):
    """A function that carries out the action with these fields."""

    def act(**fields):
        params = {name: param.value for name, param in admin_params().items()}
        params |= {"action": "plan_again", "closed_from": hour.isoformat(), "reason": "cured"} | fields
        run = SimpleNamespace(dag_id="interaction_ledger_admin", run_id="manual__1", triggering_user_name="ada")
        context = {"dag_run": run, "params": params}
        check_form(context)
        return carry_out(context, DEFAULT)

    return act


def test_addresses_that_were_corrected_are_planned_and_sent(pipeline, sandbox, close, hour, plan_again):
    wrong, other = close(), close()
    customer_id = sandbox.state.organisation.conversations[wrong].customer_id
    change_customer(sandbox.state, {"id": customer_id, "emails": [["nobody at example", True]]})
    merged = close(attributes={"mergedTo": other})
    pipeline.run(run_of(hour))
    assert pipeline.states()[wrong] == "skipped invalid_customer_email"
    change_customer(sandbox.state, {"id": customer_id, "emails": [["jane@example.com", True]]})

    dry = plan_again()
    assert pipeline.states()[wrong] == "skipped invalid_customer_email"
    assert (dry["planned"], dry["by_reason"]) == (1, {"invalid_customer_email": 1})
    assert "Dry run, nothing has changed" in dry["outcome"]
    assert "Planned again, by former reason: invalid_customer_email 1" in dry["outcome"]
    plan_again(dry_run=False)

    pipeline.release_due(run_of(hour))
    assert pipeline.sent() == [other, wrong]
    assert pipeline.sandbox.state.received[-1].request["customer"]["email"] == "jane@example.com"
    assert merged not in pipeline.sent()


def test_refused_ones_are_planned_again_and_sent_once(pipeline, sandbox, close, hour, plan_again):
    refused = close()
    pipeline.extract(run_of(hour))
    sandbox.state.faults.replace([{"match": {"method": "POST", "path_prefix": "/v1/requests"}, "kind": "422"}])
    pipeline.release_due(run_of(hour))
    assert pipeline.states() == {refused: "rejected"}
    sandbox.state.faults.replace([])

    assert plan_again(dry_run=False, ended_as="rejected")["planned"] == 1

    pipeline.release_due(run_of(hour))
    assert pipeline.sent() == [refused]
    with pytest.raises(AirflowFailException, match="No interaction fits these filters"):
        plan_again(dry_run=False)


def test_what_was_reopened_meanwhile_is_not_planned(pipeline, sandbox, close, hour, plan_again):
    skipped = close()
    customer_id = sandbox.state.organisation.conversations[skipped].customer_id
    change_customer(sandbox.state, {"id": customer_id, "emails": []})
    pipeline.extract(run_of(hour))
    close(id=skipped, status="open")

    facts = plan_again(dry_run=False)

    assert (facts["unread"], facts.get("planned", 0)) == (1, 0)


@pytest.fixture
def refuse_next(sandbox):
    """A function that lets Stella Connect refuse the next request."""

    def refuse():
        fault = {"match": {"method": "POST", "path_prefix": "/v1/requests"}, "kind": "422", "times": 1}
        sandbox.state.faults.replace([fault])

    return refuse


def test_it_obeys_the_send_window_although_a_person_had_released_it_outside(
    pipeline, close, hour, plan_again, settings, refuse_next
):
    refused = close()
    pipeline.extract(run_of(hour))
    by_person = {"conversation_id": refused, "closed_from": "", "reason": "asked", "dry_run": False}
    plan_again(action="release_now", outside_window="yes", **by_person)
    refuse_next()
    pipeline.release_due(run_of(hour))
    assert pipeline.states() == {refused: "rejected"}
    opening = (datetime.now(UTC) + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
    window = {"days": [f"{opening:%a}".lower()], "from": "09:00", "to": "18:00", "time_zone": "UTC"}
    settings(**QUICK, send_window=window)

    plan_again(dry_run=False)
    pipeline.release_due(run_of(hour))

    assert pipeline.sent() == []
    (row,) = pipeline.query("SELECT state, due_at, first_due_at, any_time FROM interaction")
    assert (row.state, row.any_time) == ("planned", None)
    assert row.first_due_at == milliseconds(hour + timedelta(minutes=11))
    assert milliseconds(opening) <= row.due_at < milliseconds(opening + timedelta(hours=1)), "spread after opening"


def test_a_cap_counts_what_is_planned_again(pipeline, sandbox, close, hour, plan_again, settings, refuse_next):
    settings(**QUICK, cap={"surveys": 1, "days": 30, "over": "skip"})

    def close_for_jane():
        conversation = close()
        customer_id = sandbox.state.organisation.conversations[conversation].customer_id
        change_customer(sandbox.state, {"id": customer_id, "emails": [["jane@example.com", True]]})
        return conversation

    refused = close_for_jane()
    refuse_next()
    pipeline.run(run_of(hour))
    sent = close_for_jane()
    pipeline.run(run_of(hour))
    assert pipeline.states() == {refused: "rejected", sent: "sent"}

    for former in ("rejected", "capped"):
        assert plan_again(dry_run=False)["by_reason"] == {former: 1}
        pipeline.release_due(run_of(hour))
        assert pipeline.states() == {refused: "skipped capped", sent: "sent"}

    assert pipeline.sent() == [sent]
