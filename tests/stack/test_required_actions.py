"""A person answers under Required Actions, in the real Airflow."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.interactions.states import State
from include.ledger import Ledger, connect
from plugins.pipeline.feedback import GRACE
from scripts.stack.api import Json
from scripts.stack.waiting import wait_until
from tests.support.installation import HOUR, Installation
from tests.support.ledger import LEASE, REQUEST, by_run, closing

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

DAG, TASK = "stella_connect_unknown_outcomes", "ask_a_person"


def lose(installation: Installation, number: int) -> str:
    """Return a conversation whose request left so long ago that a person must say what became of it."""
    url, sent_at = f"sqlite:///{installation.stack.home}/ledger.db", datetime.now(UTC) - GRACE - HOUR
    ledger = Ledger(connect(url), lambda: sent_at)
    ledger.migrate()
    ours = closing(number, closed_at=sent_at - timedelta(hours=2))
    ledger.extraction.record_closings([ours], by_run("test"))
    (claimed,) = ledger.releasing.claim(sent_at - timedelta(days=1), sent_at, 1, LEASE, by_run("test"))
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, State.UNKNOWN, None, "read timeout")
    return ours.conversation_id


@pytest.fixture(scope="module")
def lost(installation: Installation) -> str:
    return lose(installation, 1)


def find_asking_run(installation: Installation) -> str:
    """Return the clock's own run, or another one if that has ended: other tests share this Airflow."""
    api = installation.api
    runs = wait_until(lambda: api.runs(DAG), "the clock's own run", 60)
    open_runs = [run["dag_run_id"] for run in runs if run["state"] in ("queued", "running")]
    return str(open_runs[0] if open_runs else api.trigger_run(DAG))


@pytest.fixture(scope="module")
def run(installation: Installation, lost: str) -> Iterator[str]:
    installation.api.set_paused(DAG, paused=False)
    yield find_asking_run(installation)
    installation.api.set_paused(DAG, paused=True)


def test_the_question_stands_under_required_actions_and_the_answer_settles_it_in_the_persons_name(
    installation: Installation, lost: str, run: str
) -> None:
    api = installation.api
    question = wait_for_question(installation, run)
    assert lost in question["body"]
    assert question["options"] == ["Sent", "Plan again", "Cancel"]
    assert api.run_state(DAG, run) == "running", "the run waits for the person"

    answer = {"chosen_options": ["Cancel"], "params_input": {"reason": "ticket 12"}}
    api.call("PATCH", f"dags/{DAG}/dagRuns/{run}/taskInstances/{TASK}/-1/hitlDetails", answer)

    assert api.wait_for_run(DAG, run) == "success"
    ledger = Ledger(connect(f"sqlite:///{installation.stack.home}/ledger.db"))
    event = ledger.history(lost)[-1]
    assert (event.from_state, event.to_state, event.detail) == ("unknown", "cancelled", "ticket 12")
    assert event.by is not None
    assert (event.by.dag_id, event.by.run_id, event.by.person) == (DAG, run, "admin")
    (task,) = api.task_instances(DAG, run)
    xcom = f"dags/{DAG}/dagRuns/{run}/taskInstances/{TASK}/xcomEntries/return_value"
    assert api.call("GET", xcom)["value"] == {"asked": 1, "cancelled": 1, "left": 0}
    assert "Customer 1" not in f"{question}{task}"


def test_a_run_that_finds_nothing_ends_at_once_and_asks_nothing(installation: Installation, run: str) -> None:
    api, later = installation.api, installation.api.trigger_run(DAG)

    assert api.wait_for_run(DAG, later) == "success"

    (task,) = api.task_instances(DAG, later)
    assert task["state"] == "skipped"
    assert open_questions(installation, later) == []


def wait_for_question(installation: Installation, run: str) -> Json:
    """Return the run's question once Airflow has noticed that the process which asked it has ended.

    Airflow 3.3.2 fails a task that is answered before, within a second. No person is so fast.
    """
    (question,) = wait_until(lambda: open_questions(installation, run), "the question", 300)
    log, ended = installation.stack.home / "logs/parts/scheduler.log", "executor event with state success"

    def has_noticed() -> bool:
        lines = log.read_text().splitlines()
        return any(ended in line and f"'{TASK}'" in line and f"'{run}'" in line for line in lines)

    wait_until(has_noticed, "the scheduler to notice that the question was asked", 60)
    found: Json = question
    return found


def open_questions(installation: Installation, run: str) -> list[Json]:
    """What Airflow's page Required Actions shows of a run."""
    found: Any = installation.api.call(
        "GET", f"dags/{DAG}/dagRuns/{run}/hitlDetails", params={"response_received": False}
    )
    return list(found["hitl_details"])
