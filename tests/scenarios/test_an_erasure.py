"""*Erase a customer*: no survey leaves for a person who was erased, under whatever id or address it was planned."""

from types import SimpleNamespace

import pytest

from include.sandbox.changes import change_customer
from plugins.pipeline.admin import admin_params, carry_out, check_form
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


def erase(customer, *, dry_run):
    """Carry out the action, both tasks of its DAG."""
    params = {name: param.value for name, param in admin_params().items()}
    params |= {"action": "erase_customer", "customer": customer, "reason": "ticket 12", "dry_run": dry_run}
    run = SimpleNamespace(dag_id="interaction_ledger_admin", run_id="manual__1", triggering_user_name="ada")
    context = {"dag_run": run, "params": params}
    check_form(context)
    return carry_out(context, DEFAULT)


def test_a_survey_planned_under_a_merged_id_with_the_same_address_does_not_leave(
    pipeline, sandbox, close, hour, settings
):
    settings(seconds_until_send=60, kustomer_requests_per_minute=100_000)
    first, second, other = close(10), close(11), close(12)
    customers = sandbox.state.organisation.conversations
    named, merged = customers[first].customer_id, customers[second].customer_id
    assert named != merged
    for customer in (named, merged):
        change_customer(sandbox.state, {"id": customer, "emails": [["jane@example.com", True]]})
    pipeline.extract(run_of(hour))

    outcome = erase(named, dry_run=True)["outcome"]
    assert "2 cancelled" in outcome
    assert "2 customer ids found, 1 addresses found" in outcome
    erase(named, dry_run=False)
    pipeline.release_due(run_of(hour))

    assert pipeline.sent() == [other]
    assert pipeline.states()[second] == "cancelled erased"
