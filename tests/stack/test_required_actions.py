"""A person answers under Required Actions, in the real Airflow."""

from collections.abc import Iterator
from contextlib import contextmanager
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


@pytest.fixture(scope="module")
def question(installation: Installation, lost: str) -> Iterator[Json]:
    with unpaused(installation):
        yield wait_for_question(installation)


@contextmanager
def unpaused(installation: Installation) -> Iterator[None]:
    """The DAG runs for a while: by the clock, and once by hand."""
    installation.api.set_paused(DAG, paused=False)
    try:
        installation.api.trigger_run(DAG)
        yield
    finally:
        installation.api.set_paused(DAG, paused=True)


def test_the_question_stands_under_required_actions_and_the_answer_settles_it_in_the_persons_name(
    installation: Installation, lost: str, question: Json
) -> None:
    api, run = installation.api, run_of(question)
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


def test_a_run_that_finds_nothing_ends_at_once_and_asks_nothing(installation: Installation, question: Json) -> None:
    api, later = installation.api, installation.api.trigger_run(DAG)

    assert api.wait_for_run(DAG, later) == "success"

    (task,) = api.task_instances(DAG, later)
    assert task["state"] == "skipped"
    assert open_questions(installation) == []


def wait_for_question(installation: Installation) -> Json:
    """Return the only question once Airflow has noticed that the process which asked it has ended.

    Which run asks is open: the clock starts one too, twenty minutes past each hour, and the others wait behind it.
    Airflow 3.3.2 fails a task that is answered before, within a second. No person is so fast.
    """
    (question,) = wait_until(lambda: open_questions(installation), "the question", 300)
    log, ended = installation.stack.home / "logs/parts/scheduler.log", "executor event with state success"

    def has_noticed() -> bool:
        lines = log.read_text().splitlines()
        return any(ended in line and f"'{TASK}'" in line and f"'{run_of(question)}'" in line for line in lines)

    wait_until(has_noticed, "the scheduler to notice that the question was asked", 60)
    found: Json = question
    return found


def open_questions(installation: Installation) -> list[Json]:
    """What Airflow's page Required Actions shows of the DAG."""
    path, unanswered = f"dags/{DAG}/dagRuns/~/hitlDetails", {"response_received": False}
    found: Any = installation.api.call("GET", path, params=unanswered)
    return list(found["hitl_details"])


def run_of(question: Json) -> str:
    """The run that asked."""
    return str(question["task_instance"]["dag_run_id"])
