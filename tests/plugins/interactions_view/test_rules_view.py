"""The page's view *Rules*, the filter by rule, and what one interaction shows of its rule."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.reports.rules import SIMULATION
from tests.support.ledger import LEASE, REQUEST, by_run, closing

NOW = datetime.now(UTC)


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    """Two closings of the rule "night", one of them sent, one skipped by "fraud", one of no rule."""
    ledger = Ledger(connect(ledger_url))
    ledger.enter("interaction_ledger")
    at = NOW - timedelta(days=1)
    filed: dict[str, Any] = {
        "channel": "chat",
        "brand": "kids",
        "language": "fr-CA",
        "custom_properties": {"plan": "free"},
    }
    night = [
        replace(closing(number, closed_at=at), rule="night", do_not_send=False, due_at=at + number * LEASE, **filed)
        for number in (1, 2)
    ]
    moved = replace(
        closing(4, closed_at=at, delay=timedelta(days=30)), first_due_at=at, survey="count", rule="<b>&quiet"
    )
    skipped = replace(closing(3, closed_at=at, skip=Reason.RULE), rule="fraud")
    ledger.extraction.record_closings(
        [*night, skipped, moved, closing(5, closed_at=at, delay=timedelta(days=9))], by_run("extraction")
    )
    (first,) = ledger.releasing.claim(at, NOW, 1, LEASE, by_run("release"))
    ledger.releasing.start_sending(first, LEASE, REQUEST)
    ledger.releasing.settle(first, State.SENT, 200)
    return ledger


def test_the_view_says_what_each_rule_did(ledger: Ledger, get: Any) -> None:
    page = " ".join(get("rules").text.split())

    assert ">night</a>" in page
    assert 'aria-label="night: 2 closings"' in page
    assert "&lt;b&gt;&amp;quiet" in page
    assert "No simulation yet" in page


def test_interactions_can_be_filtered_by_rule(ledger: Ledger, get: Any) -> None:
    page = get("list", rule="night").text

    assert closing(1).conversation_id in page
    assert closing(3).conversation_id not in page
    assert "<option selected>night</option>" in page
    assert [line.split(",")[-1] for line in get("list.csv", rule="fraud").text.splitlines()] == ["rule", "fraud"]


def test_an_interaction_shows_its_rule_its_filing_and_the_request_to_come(ledger: Ledger, get: Any) -> None:
    page = get(f"conversation/{closing(2).conversation_id}", accept="text/html")
    page = get(page.headers["location"].partition("/interactions/")[2]).text

    assert ">night</a>" in page
    for part in (
        "<dt>Brand</dt><dd>kids</dd>",
        "&#34;language&#34;: &#34;fr-CA&#34;",
        "&#34;plan&#34;: &#34;free&#34;",
    ):
        assert part in page


def test_a_moved_due_time_shows_the_first_one(ledger: Ledger, get: Any) -> None:
    page = get(f"conversation/{closing(4).conversation_id}")
    page = get(page.headers["location"].partition("/interactions/")[2]).text

    assert "moved from" in page
    assert "&#34;do_not_send&#34;: true" in page


def test_the_last_simulation_is_a_table_with_a_bar_for_each_rule(ledger: Ledger, get: Any) -> None:
    row = {"survey": 1, "counted": 7, "skipped": 0, "unmapped": 0, "changed": 7}
    result = {
        "rules": [{"rule": "sample", "closings": 8, **row}, {"rule": None, "closings": 2, **row}],
        "changes": [{"today": "survey", "then": "counted", "closings": 7}],
        "closings": [{"at": "2026-01-05T10:00:00+00:00", "days": 7, "judged": 10, "without_facts": 3}],
        "not_recorded": ["custom.planStr"],
    }
    ledger.set_fact(SIMULATION, json.dumps(result))

    page = " ".join(get("rules").text.split())

    assert 'aria-label="sample: 8 closings"' in page
    assert 'aria-label="no rule: 2 closings"' in page
    assert "7 closings: today survey, then counted." in page
    assert "10 closings of 7 days" in page
    assert "has not recorded custom.planStr" in page


def test_rules_are_written_in_a_field_of_several_lines(ledger: Ledger, get: Any) -> None:
    assert '<textarea id="rules" name="rules"' in get("action", action="simulate_rules").text
