"""The demo's verdict."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from include.ledger.reports.scores import Scores
from scripts.demo.result import Result
from scripts.demo.view import results_table

DUE = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
GOOD = Result(
    run_state="success",
    expected=2,
    expected_skips=Counter(merged=1),
    received={"a": DUE, "b": DUE + timedelta(seconds=9)},
    difference={"missing": [], "unexpected": [], "wrong_content": [], "duplicates": []},
    due_at={"a": DUE, "b": DUE, "c": DUE},
    skipped=Counter(merged=1),
    feedback_state="success",
    answers=Scores(answered=1, rated=1, stars=4),
    recovery_state="success",
    reopened=1,
    recoveries=1,
)


def test_nothing_is_wrong_when_exactly_the_expected_arrived_on_time() -> None:
    assert GOOD.faults() == []
    assert GOOD.lateness_seconds() == [0, 9]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "never arrived"),
        ("unexpected", "should not have arrived"),
        ("wrong_content", "wrong agent, customer or do-not-send mark"),
        ("duplicates", "more than once"),
    ],
)
def test_every_difference_the_sandbox_sees_is_a_fault_with_an_example(kind: str, words: str) -> None:
    (fault,) = replace(GOOD, difference={**GOOD.difference, kind: ["conversation-7"]}).faults()
    assert words in fault
    assert "conversation-7" in fault


def test_a_failed_run_is_a_fault_even_if_everything_arrived() -> None:
    assert replace(GOOD, run_state="failed").faults() == ["the run ended as failed"]


def test_a_failed_feedback_run_is_a_fault() -> None:
    assert replace(GOOD, feedback_state="failed").faults() == ["the feedback run ended as failed"]


def test_without_an_answer_the_demo_would_show_nothing() -> None:
    assert replace(GOOD, answers=Scores()).faults() == ["no answer was read"]


def test_the_summary_says_how_many_answered_and_their_average() -> None:
    console = Console(width=120, record=True)
    console.print(results_table(GOOD))
    assert "1, average 4.00 stars" in console.export_text()


def test_a_request_before_its_due_time_is_a_fault() -> None:
    early = replace(GOOD, received={**GOOD.received, "a": DUE - timedelta(milliseconds=1)})
    assert early.faults() == ["1 arrived early"]
