"""Two organisations in one Airflow: nothing of one reaches the other, not even by mistake."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import generate, start
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.feedback import record_feedback
from plugins.pipeline.preflight import check_configuration
from plugins.runtime.organisations import Organisation
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import Pipeline, environment, run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

ACME = Organisation("acme")


@pytest.fixture
def size():
    return 30


@pytest.fixture
def acme(hour, tmp_path, monkeypatch):
    """The second organisation: other people, other conversations, half the delay."""
    organisation = generate(seed=8, conversations=20, agents=5, closed_from=hour, closed_to=hour + HOUR)
    with start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as sandbox:
        ledger_url = f"sqlite:///{tmp_path}/acme.db"
        settings = {"seconds_until_send": 30, "kustomer_requests_per_minute": 100_000}
        for name, value in environment(
            sandbox.kustomer_url, sandbox.stella_url, ledger_url, settings, ACME
        ).items():
            monkeypatch.setenv(name, value)
        yield Pipeline(sandbox, ledger_url, ACME)


def test_each_sends_its_own_and_hears_of_its_own(pipeline, acme, hour):
    for one in (pipeline, acme, pipeline):
        one.run(run_of(hour))
    context = run_of(hour) | {"outlet_events": defaultdict(SimpleNamespace)}
    facts = [record_feedback(context, one.organisation) for one in (pipeline, acme)]

    for one, told in zip((pipeline, acme), facts, strict=True):
        expected = one.sandbox.state.organisation.conversations
        should = {each.id for each in expected.values() if each.expected == "sent"}
        assert set(one.sent()) == should
        assert told["recorded"] == len(should)
        assert told["not_ours"] == 0
    assert not {row.conversation_id for row in pipeline.query("SELECT conversation_id FROM interaction")} & {
        row.conversation_id for row in acme.query("SELECT conversation_id FROM interaction")
    }
    (delay,) = {row.delay for row in acme.query("SELECT due_at - closed_at AS delay FROM interaction")}
    assert delay == 30_000, "its own Variable"
    assert [event.name for event in context["outlet_events"]] == [
        "survey_responses_read",
        "survey_responses_read_acme",
    ]


def test_two_that_are_pointed_at_one_ledger_by_mistake_do_not_mix(pipeline, acme, hour, monkeypatch):
    pipeline.extract(run_of(hour))
    before = pipeline.states()
    mistaken = environment(acme.sandbox.kustomer_url, acme.sandbox.stella_url, pipeline.ledger_url, {}, ACME)
    ledger = f"AIRFLOW_CONN_{ACME.ledger_connection.upper()}"
    monkeypatch.setenv(ledger, mistaken[ledger])
    window = {"due_from": hour.isoformat(), "due_until": (hour + 2 * HOUR).isoformat()}

    for task in (
        lambda: check_configuration(run_of(hour), ACME),
        lambda: acme.extract(run_of(hour)),
        lambda: acme.check(run_of(hour)),
        lambda: acme.release_due(run_of(hour)),
        lambda: acme.release(run_of(hour), window),
        lambda: raise_alarms(run_of(hour), ACME),
    ):
        with pytest.raises(
            AirflowFailException, match=r"'interaction_ledger_acme' leads to .* 'interaction_ledger'\."
        ):
            task()

    assert pipeline.states() == before
    assert acme.sent() == []
