"""The action *Simulate rules*, on a ledger that extraction has filled from a sandbox."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.interactions.states import State
from include.ledger.reports.rules import last_simulation
from plugins.pipeline.admin import carry_out, check_form
from plugins.runtime.organisations import DEFAULT
from tests.plugins.pipeline.test_admin import form
from tests.scenarios.conftest import *  # noqa: F403 - the fixtures of an installation
from tests.support.pipeline import run_of


@pytest.fixture
def simulate(pipeline):
    """A function that carries out the action."""

    def act(**fields):
        context = form("simulate_rules", **fields)
        check_form(context)
        return carry_out(context, DEFAULT)

    return act


@pytest.fixture
def tags(sandbox):
    return list(sandbox.state.organisation.tags.values())[:2]


def test_counts_for_each_rule_what_would_become_of_the_closings(
    pipeline, sandbox, simulate, settings, close, hour, tags
):
    for number in range(3):
        close(minute=number, tags=[tags[0].id])
    close(minute=5, tags=[tags[1].id])
    close(minute=6, assigned_users=[])
    settings(seconds_until_send=7 * 86400)
    pipeline.extract(run_of(hour))
    before, calls = pipeline.query("SELECT * FROM interaction"), sandbox.state.calls.total()
    rules = [
        {"name": "quiet", "when": {"tag": tags[0].name}, "then": {"survey": "count"}},
        {"name": "never", "when": {"tag": "vip", "channel": "fax"}},
    ]

    result = simulate(rules=json.dumps(rules), days_back="2")

    row = {"survey": 0, "counted": 0, "skipped": 0, "unmapped": 0}
    assert result["rules"] == [
        {"rule": "quiet", "closings": 3, **row, "counted": 3, "changed": 3},
        {"rule": "never", "closings": 0, **row, "changed": 0},
        {"rule": None, "closings": 1, **row, "survey": 1, "changed": 0},
    ]
    assert result["changes"] == [{"today": "survey", "then": "counted", "closings": 3}]
    assert (result["closings"][0]["judged"], result["closings"][0]["without_facts"]) == (4, 1)
    assert pipeline.query("SELECT * FROM interaction") == before
    assert sandbox.state.calls.total() == calls + 2  # the tags, on two pages
    with pipeline.ledger.read() as connection:
        assert last_simulation(connection)["rules"] == result["rules"]


def test_without_rules_those_of_the_settings_are_simulated(pipeline, simulate, settings, close, hour):
    close()
    settings(seconds_until_send=7 * 86400, rules=[{"name": "all", "then": {"survey": "skip"}}])
    pipeline.extract(run_of(hour))

    result = simulate()

    assert [(rule["rule"], rule["skipped"], rule["changed"]) for rule in result["rules"]] == [
        ("all", 1, 0),
        (None, 0, 0),
    ]
    assert set(pipeline.states().values()) == {f"{State.SKIPPED} rule"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rules": "{"}, "'rules' is not JSON"),
        ({"days_back": "0"}, "'days_back' is not a whole number from 1 to 90"),
        ({"rules": '[{"name": "a", "when": {"tags": "x"}}]'}, "rule 'a', when = .*'tags' is no condition"),
        ({"rules": '[{"name": "a", "when": {"tag": "no such tag"}}]'}, "rule 'a', when.tag: Kustomer has no tag"),
    ],
)
def test_rules_that_cannot_be_used_are_named(pipeline, simulate, fields, told):
    pipeline.ledger.migrate()
    with pytest.raises(AirflowFailException, match=told):
        simulate(**fields)


class TestReleaseNow:
    @pytest.fixture
    def planned(self, pipeline, settings, close, hour):
        """A planned interaction, and the setting of a window that is closed now."""
        start = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0)
        window = {"from": f"{start:%H:%M}", "to": f"{start + timedelta(hours=1):%H:%M}"}
        quick = {"seconds_until_send": 60, "kustomer_requests_per_minute": 100_000}
        conversation = close()
        settings(**quick, send_window=window)
        pipeline.extract(run_of(hour))
        return conversation

    def release_now(self, conversation, **fields):
        context = form("release_now", conversation_id=conversation, reason="ticket 12", dry_run=False, **fields)
        check_form(context)
        return carry_out(context, DEFAULT)

    def test_asks_before_it_breaks_the_send_window(self, pipeline, planned, hour):
        with pytest.raises(AirflowFailException, match="The send window is closed now"):
            self.release_now(planned)

        assert pipeline.states() == {planned: "planned"}
        assert pipeline.release_due(run_of(hour)) == []

    def test_sends_outside_the_window_if_the_person_says_so(self, pipeline, planned, hour):
        assert self.release_now(planned, outside_window="yes")["due_now"] == 1

        pipeline.release_due(run_of(hour))
        assert pipeline.sent() == [planned]
