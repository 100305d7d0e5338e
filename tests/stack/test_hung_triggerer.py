"""A triggerer that hangs: windows leave a little late, and nothing else stops."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from include.sandbox.changes import change_conversation
from scripts.stack import processes
from scripts.stack.connections import DAG_ID
from tests.support.installation import Installation

pytestmark = [pytest.mark.stack, pytest.mark.soak, pytest.mark.timeout(900)]

WAIT, EXTRACT = "release_window.wait_until_due", "extract_closed_conversations"
RUNS = 5
"""More than Airflow runs at a time by three, which it was before."""
DELAY = timedelta(seconds=240)
"""Long enough for a busy machine to extract all runs before the first window is due."""
BOUND = 600
"""Seconds: not an expectation, but what a busy machine may need."""


@pytest.fixture
def hung_triggerer(installation: Installation) -> Iterator[None]:
    """The triggerer and its runner are stopped, as if they hung."""
    members = processes.session_members({installation.stack.pid("triggerer")})
    for process in members:
        process.send_signal(signal.SIGSTOP)
    yield
    for process in members:
        process.send_signal(signal.SIGCONT)


@pytest.mark.usefixtures("hung_triggerer")
def test_windows_are_released_without_a_triggerer_and_keep_no_other_run_from_extracting(
    installation: Installation,
) -> None:
    api, received = installation.api, installation.sandbox.state.received
    api.set_paused(DAG_ID, paused=False)
    before, due, run_ids = len(received), {}, []

    for _ in range(RUNS):
        now = datetime.now(UTC)
        closing = {"closed_at": now - timedelta(seconds=1), "updated_at": now - timedelta(seconds=1)}
        due[change_conversation(installation.sandbox.state, closing).id] = closing["closed_at"] + DELAY
        run_ids.append(installation.trigger(now - DELAY, now, seconds_until_send=int(DELAY.total_seconds())))
    for run_id in run_ids:
        assert api.wait_for_run(DAG_ID, run_id, BOUND) == "success"

    ends: dict[str, list[str]] = {EXTRACT: [], WAIT: []}
    for run_id in run_ids:
        for task in installation.tasks(run_id):
            if task["task_id"] in ends and task["end_date"]:  # a run whose window another one released has none
                ends[task["task_id"]].append(task["end_date"])
    assert len(ends[EXTRACT]) == RUNS
    assert max(ends[EXTRACT]) < min(ends[WAIT])
    arrived = [one for one in received[before:] if one.request["ext_interaction_id"] in due]
    assert len(arrived) == RUNS  # the schedule's own run has sent others
    at = {one.request["ext_interaction_id"]: datetime.fromtimestamp(one.received_at, UTC) for one in arrived}
    assert at.keys() == due.keys()
    assert all(due[one] <= at[one] for one in due)
    assert any(
        "The triggerer did not resume this task" in line["event"]
        for run_id in run_ids
        for task in installation.tasks(run_id)
        if task["task_id"] == WAIT
        for line in installation.log(run_id, task)
    )
