"""The pipeline in the real Airflow: by the clock, by backfill, by hand; and when a person made a mistake."""

import json
import re
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.support.installation import HOUR, SEARCH_ROLE, Installation, Runs

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

EXTRACT, CHECK, PLAN, REPORT = (
    "extract_closed_conversations",
    "check_agent_profiles",
    "plan_release_windows",
    "report",
)
WAIT, RELEASE = "release_window.wait_until_due", "release_window.release_interactions"
LABEL = re.compile(r"due \d\d:\d\d:\d\d–\d\d:\d\d:\d\d · \d+ interactions")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
NOTHING_WRONG = {"missing": [], "unexpected": [], "wrong_content": [], "duplicates": []}


def all_of(runs: Runs) -> list[str]:
    return [runs.scheduled, *runs.backfilled, runs.by_date, runs.moment_ago]


def test_every_run_ends_well(installation: Installation, runs: Runs) -> None:
    assert {run_id: installation.wait(run_id) for run_id in all_of(runs)} == dict.fromkeys(all_of(runs), "success")


def test_stella_connect_received_exactly_what_it_should(installation: Installation, runs: Runs) -> None:
    first_hour = installation.busy_hours[0]
    expected = installation.expected(first_hour, installation.moment_ago[1])
    assert expected["difference"] == NOTHING_WRONG
    assert len(expected["sent"]) == len(installation.sandbox.state.received) > 200
    assert expected["do_not_send"]


def test_a_second_backfill_over_the_same_hours_sends_nothing_twice(installation: Installation, runs: Runs) -> None:
    assert runs.missing_after_first_backfill == []
    assert installation.sandbox.state.duplicates == 0
    for run_id, start in zip(runs.backfilled, installation.busy_hours, strict=False):
        tries = {task["task_id"]: task["try_number"] for task in installation.tasks(run_id)}
        assert tries[EXTRACT] == 2
        extracted = installation.result(run_id, EXTRACT)
        assert extracted["found"] == extracted["known"] == closings(installation, start, start + HOUR)


def test_a_run_by_hand_reads_the_hour_that_ends_at_its_logical_date(installation: Installation, runs: Runs) -> None:
    hour = installation.busy_hours[2]
    found = closings(installation, hour, hour + HOUR)
    assert installation.result(runs.by_date, EXTRACT)["found"] == found > 0


def test_a_run_by_hand_reads_what_its_params_say(installation: Installation, runs: Runs) -> None:
    found = closings(installation, *installation.moment_ago)
    assert installation.result(runs.moment_ago, EXTRACT)["found"] == found > 0


def test_a_backfill_gives_way_to_the_schedule(installation: Installation, runs: Runs) -> None:
    def weights(run_id: str) -> set[int]:
        return {task["priority_weight"] for task in installation.tasks(run_id)}

    assert weights(runs.scheduled) == weights(runs.moment_ago) == {2}
    assert [weights(run_id) for run_id in runs.backfilled] == [{1}] * 2


def test_an_hour_without_closings_succeeds_with_an_honest_zero(installation: Installation, runs: Runs) -> None:
    extracted = installation.result(runs.scheduled, EXTRACT)
    assert (extracted["found"], extracted["planned"], extracted["skipped"]) == (0, 0, {})


def test_the_tasks_run_in_their_order(installation: Installation, runs: Runs) -> None:
    tasks = installation.tasks(runs.moment_ago)
    assert list(dict.fromkeys(task["task_id"] for task in tasks)) == [EXTRACT, CHECK, PLAN, WAIT, RELEASE, REPORT]
    steps = [[task for task in tasks if task["task_id"] == name] for name in (EXTRACT, CHECK, PLAN, WAIT)]
    assert all(ended(before) <= began(after) for before, after in pairwise(steps))
    waits, releases = ([task for task in tasks if task["task_id"] == name] for name in (WAIT, RELEASE))
    assert len(waits) == len(releases) > 1
    for window in range(len(waits)):
        wait, release = ([one for one in each if one["map_index"] == window] for each in (waits, releases))
        assert ended(wait) <= began(release)


def test_each_window_says_what_it_is_and_is_released_when_due(installation: Installation, runs: Runs) -> None:
    windows = installation.result(runs.moment_ago, PLAN)
    mapped = [task for task in installation.tasks(runs.moment_ago) if task["map_index"] >= 0]
    assert sum(window["count"] for window in windows) == installation.result(runs.moment_ago, EXTRACT)["planned"]
    for task in mapped:
        window = windows[task["map_index"]]
        assert task["rendered_map_index"] == window["label"]
        assert LABEL.fullmatch(window["label"])
        assert f"· {window['count']} interactions" in window["label"]
        if task["task_id"] == RELEASE:
            assert began([task]) >= datetime.fromisoformat(window["due_until"])


def test_nothing_that_airflow_keeps_or_shows_holds_personal_data(installation: Installation, runs: Runs) -> None:
    requests = [one.request for one in installation.sandbox.state.received]
    people = {person.get("name") for one in requests for person in (one["customer"], one["employee"])} - {None}
    for run_id in all_of(runs):
        tasks = installation.tasks(run_id)
        kept: dict[str, Any] = {f"{run_id} XCom": installation.xcoms(run_id)}
        for task in tasks:
            name = f"{run_id} {task['task_id']} {task['map_index']}"
            kept[f"{name} fields"] = task["rendered_fields"]
            kept[f"{name} log"] = installation.log(run_id, task)
        for name, value in kept.items():
            text = json.dumps(value, ensure_ascii=False)
            assert ADDRESS.search(text) is None, name
            assert [person for person in people if person in text] == [], name


def test_each_task_logs_one_line_of_counts(installation: Installation, runs: Runs) -> None:
    lines: dict[str, list[str]] = defaultdict(list)
    for run_id in (runs.by_date, runs.moment_ago):  # what is overdue for one may be sent by the other
        for task in installation.tasks(run_id):
            lines[task["task_id"]] += [line["event"] for line in installation.log(run_id, task)]
    found = installation.result(runs.moment_ago, EXTRACT)["found"]
    for task_id, line in {
        EXTRACT: rf"extracted found={found} planned=\d+ known=0 .*",
        CHECK: r"profiles agents=\d+ not_approved=\d+ interactions_at_risk=\d+",
        PLAN: r"planned interactions=\d+ overdue=\d+ windows=\d+ .*",
        WAIT: r"waited due_until=\S+ late_seconds=\d+\.\d",
        RELEASE: r"released (?=.*sent=[1-9]).* late_seconds.most=\d+\.\d",
        REPORT: rf"run extracted.found={found} .* released\.late_seconds\.most=.* backlog\.planned=\d+ .*",
    }.items():
        assert [text for text in lines[task_id] if re.fullmatch(line, text)], (task_id, lines[task_id])


class TestAKeyWithoutARole:
    @pytest.fixture(scope="class")
    @classmethod
    def run_id(cls, installation: Installation, runs: Runs) -> str:
        with installation.kustomer_key_without(SEARCH_ROLE):
            return failed(installation)

    def test_fails_the_extraction_at_once_with_one_clear_message(
        self, installation: Installation, run_id: str
    ) -> None:
        extract = next(task for task in installation.tasks(run_id) if task["task_id"] == EXTRACT)
        assert (extract["state"], extract["try_number"]) == ("failed", 1)
        (message,) = complaints(installation, run_id, EXTRACT)
        assert "kustomer_default" in message
        assert "POST /v1/customers/search" in message
        assert SEARCH_ROLE in message
        assert "API Keys" in message

    def test_does_not_keep_the_run_from_planning_and_reporting(
        self, installation: Installation, run_id: str
    ) -> None:
        states = {task["task_id"]: task["state"] for task in installation.tasks(run_id)}
        assert (states[CHECK], states[PLAN], states[REPORT]) == ("upstream_failed", "success", "failed")


def test_an_unknown_setting_fails_the_run_at_its_start(installation: Installation, runs: Runs) -> None:
    with installation.settings(seconds_until_sent=60):
        run_id = failed(installation)
    extract = next(task for task in installation.tasks(run_id) if task["task_id"] == EXTRACT)
    assert (extract["state"], extract["try_number"]) == ("failed", 1)
    (message,) = complaints(installation, run_id, EXTRACT)
    assert "'seconds_until_sent' is not a setting" in message
    assert "seconds_until_send" in message


def failed(installation: Installation) -> str:
    """A run for the hour without closings that is expected to fail."""
    end = installation.last_interval_end
    run_id = installation.trigger(end - HOUR, end)
    assert installation.wait(run_id) == "failed"
    return run_id


def complaints(installation: Installation, run_id: str, task_id: str) -> list[str]:
    """What the exceptions in a task's log said."""
    task = next(task for task in installation.tasks(run_id) if task["task_id"] == task_id)
    return [
        error["exc_value"]
        for line in installation.log(run_id, task)
        for error in line.get("error_detail", [])
        if error["exc_value"]
    ]


def closings(installation: Installation, start: datetime, end: datetime) -> int:
    """How many conversations were closed in [start, end) by an agent, for all that is known then."""
    expected = installation.expected(start, end)
    return len(expected["sent"]) + sum(
        number for reason, number in expected["reasons"].items() if reason != "not_a_closing"
    )


def began(tasks: list[dict[str, Any]]) -> datetime:
    return min(datetime.fromisoformat(task["start_date"]) for task in tasks)


def ended(tasks: list[dict[str, Any]]) -> datetime:
    return max(datetime.fromisoformat(task["end_date"]) for task in tasks)
