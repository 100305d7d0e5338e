"""A valid key of another Kustomer organisation: everything of ours would be "not found" there."""

import json
import os

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import KUSTOMER_KEY, OTHER_KUSTOMER_KEY
from include.sandbox.faults import Fault
from plugins.pipeline.admin import admin_params, carry_out
from plugins.pipeline.served_organisation import ACCEPTED, SERVED
from plugins.runtime.organisations import DEFAULT
from plugins.vendor_api.errors import OutcomeUnknown
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

NAME = "AIRFLOW_CONN_KUSTOMER_DEFAULT"


@pytest.fixture
def use_key(pipeline, monkeypatch):
    """A function that puts a key into Kustomer's connection."""

    def use(key: str) -> None:
        monkeypatch.setenv(NAME, json.dumps({**json.loads(os.environ[NAME]), "password": key}))

    return use


def refusal(work, *arguments) -> str:
    with pytest.raises(AirflowFailException, match="another Kustomer organisation") as refused:
        work(*arguments)
    assert OTHER_KUSTOMER_KEY not in str(refused.value)
    return str(refused.value)


def asked(sandbox) -> dict[str, int]:
    """Calls to Kustomer so far; a snapshot."""
    return {
        call: number for call, number in sandbox.state.calls.items() if " /v1/" in call and "requests" not in call
    }


def test_ends_nothing_and_is_refused_before_anything_is_read(pipeline, sandbox, close, hour, use_key):
    conversations = [close() for _ in range(5)]
    pipeline.extract(run_of(hour))
    use_key(OTHER_KUSTOMER_KEY)
    before = asked(sandbox)

    message = refusal(pipeline.release_due, run_of(hour))
    refusal(pipeline.extract, run_of(hour))

    assert {call for call, number in asked(sandbox).items() if number != before.get(call)} == {
        "GET /v1/auth/tokens/current"
    }
    assert sandbox.state.organisation.id in message
    assert sandbox.state.other_organisation.id in message
    assert "“Accept another Kustomer organisation”" in message
    assert pipeline.states() == dict.fromkeys(conversations, "planned")
    use_key(KUSTOMER_KEY)
    pipeline.release_due(run_of(hour))
    assert pipeline.states() == dict.fromkeys(conversations, "sent")


def test_leaves_the_watermark_where_it_is(pipeline, close, hour, use_key):
    pipeline.extract(run_of(hour))
    before = pipeline.ledger.extraction.read_watermark()
    use_key(OTHER_KUSTOMER_KEY)

    refusal(pipeline.extract, run_of(hour + (before.covered_until - hour)))

    assert pipeline.ledger.extraction.read_watermark() == before


def test_costs_one_request_a_run(pipeline, sandbox, close, hour):
    for _ in range(3):
        close()
    pipeline.run(run_of(hour))

    assert sandbox.state.calls["GET /v1/auth/tokens/current"] == 1


def test_an_empty_ledger_serves_the_first_one_it_meets(pipeline, sandbox, close, hour):
    pipeline.extract(run_of(hour))

    assert pipeline.ledger.get_fact(SERVED).value == sandbox.state.organisation.id


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_person_can_accept_it(pipeline, sandbox, hour, use_key, dry_run):
    pipeline.extract(run_of(hour))
    use_key(OTHER_KUSTOMER_KEY)
    form = {name: param.value for name, param in admin_params().items()}
    run = run_of(hour, origin="manual", **form | {"action": "accept_organisation", "dry_run": dry_run})
    run["params"]["reason"] = "ticket 7: the company moved"

    result = carry_out(run, DEFAULT)

    ours, other = sandbox.state.organisation.id, sandbox.state.other_organisation.id
    assert (result["before"], result["now"], result["accepted"]) == (ours, other, 1)
    assert pipeline.ledger.get_fact(SERVED).value == (ours if dry_run else other)
    accepted = pipeline.ledger.get_fact(ACCEPTED)
    assert (accepted and accepted.value) == (None if dry_run else "manual__run: ticket 7: the company moved")
    if dry_run:
        refusal(pipeline.extract, run_of(hour))
    else:
        pipeline.extract(run_of(hour))


@pytest.mark.parametrize("dry_run", [True, False])
def test_plans_nothing_again(pipeline, sandbox, close, hour, use_key, dry_run):
    merged = close(attributes={"mergedTo": close()})
    pipeline.extract(run_of(hour))
    use_key(OTHER_KUSTOMER_KEY)
    before = asked(sandbox)
    form = {name: param.value for name, param in admin_params().items()}
    form |= {"action": "plan_again", "closed_from": hour.isoformat(), "reason": "cured", "dry_run": dry_run}

    refusal(carry_out, run_of(hour, origin="manual", **form), DEFAULT)

    assert {call for call, number in asked(sandbox).items() if number != before.get(call)} == {
        "GET /v1/auth/tokens/current"
    }
    assert pipeline.states()[merged] == "skipped merged"


def test_a_key_that_cannot_be_checked_reads_nothing(pipeline, sandbox, close, hour, use_key, settings):
    planned = close()
    pipeline.extract(run_of(hour))
    sandbox.state.kustomer_tokens["a-new-key"] = sandbox.state.kustomer_tokens[KUSTOMER_KEY]
    use_key("a-new-key")
    sandbox.state.faults.active = [Fault("500", "/v1/auth/tokens/current", "GET")]

    with pytest.raises(OutcomeUnknown):
        pipeline.release_due(run_of(hour))
    assert pipeline.states() == {planned: "planned"}

    settings(seconds_until_send=60, on_recheck_failure="send")
    pipeline.release_due(run_of(hour))
    assert pipeline.states() == {planned: "sent"}
