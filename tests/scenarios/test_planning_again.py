"""*Plan again*: a wrong answer that ended interactions costs time, not surveys."""

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.changes import change_customer
from plugins.pipeline.admin import admin_params, carry_out, check_form
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


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
