"""A person decides about unknown outcomes under Airflow's Required Actions."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

from include.interactions.states import State
from plugins.pipeline.feedback import GRACE, LOOKED_FOR, Feedback
from plugins.pipeline.unknown_outcomes import CHOICES, MAX_INTERACTIONS, AskAboutUnknownOutcomesOperator
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from tests.support.ledger import LEASE, REQUEST, by_run, closing
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

LATER = GRACE + LOOKED_FOR + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def questions(monkeypatch):
    """The questions that Airflow was given: outside a task it has nobody to give them to."""
    given = []

    def send(msg):
        if isinstance(msg, CreateHITLDetailPayload):
            given.append(msg)

    comms = "airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS"
    monkeypatch.setattr(comms, SimpleNamespace(send=send), raising=False)
    return given


@pytest.fixture
def lose(pipeline, sandbox, close, hour):
    """A function that releases new conversations whose outcome stays unknown; returns their ids."""

    def lost(number=1):
        sandbox.state.faults.replace([{"match": {"path_prefix": "/v1/requests"}, "kind": "500_before"}])
        ids = [close(minute=10 + n / 100) for n in range(number)]
        pipeline.run(run_of(hour))
        pipeline.release_due(run_of(hour))
        sandbox.state.faults.replace([])
        return ids

    return lost


@pytest.fixture
def asked():
    return AskAboutUnknownOutcomesOperator(task_id="ask_a_person", organisation=DEFAULT)


def ask(task, later=LATER, try_number=1):
    """What the task waits with; the exceptions of `execute` otherwise."""
    context = run_of(datetime.now(UTC), run_id="ask") | {"ti": SimpleNamespace(try_number=try_number)}
    context["task_instance"] = SimpleNamespace(id=uuid4())
    with time_machine.travel(datetime.now(UTC) + later, tick=False), pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context)
    return json.loads(json.dumps(waiting.value.kwargs))


def answer(task, waits_with, choice, person="ada", reason="ticket 12"):
    event = {
        "chosen_options": [choice],
        "params_input": {"reason": reason},
        "responded_at": datetime.now(UTC),
        "responded_by_user": person and {"id": person, "name": person},
        "timedout": False,
    }
    context = run_of(datetime.now(UTC), run_id="ask")
    return task.execute_complete(context, event=event, **waits_with)


def last(pipeline, conversation):
    event = pipeline.ledger.history(conversation)[-1]
    return event.from_state, event.to_state, event.detail, str(event.by)


def test_nothing_is_asked_while_no_outcome_is_unknown_past_its_grace(lose, asked, questions):
    lose()

    with pytest.raises(AirflowSkipException, match="No outcome needs a decision"):
        asked.execute({"ti": SimpleNamespace(try_number=1)})

    assert questions == []


def test_a_question_names_the_conversations_and_no_customer(pipeline, lose, asked, questions):
    lost = lose(3)

    ask(asked)

    (question,) = questions
    assert (question.options, question.defaults, question.multiple) == (list(CHOICES), None, False)
    assert "does not show: 3." in question.subject
    assert all(f"[{conversation}](/interactions/of/default/one/" in question.body for conversation in lost)
    people = pipeline.query("SELECT customer_name, customer_email, customer_id, agent_email FROM interaction")
    assert [part for row in people for part in row if part in f"{question!r}"] == []


@pytest.mark.parametrize(("choice", "state"), CHOICES.items())
def test_the_answer_settles_them_with_the_persons_name(pipeline, sandbox, lose, asked, hour, choice, state):
    (lost,) = lose()

    facts = answer(asked, ask(asked), choice)

    assert facts == {"asked": 1, str(state): 1, "left": 0}
    assert last(pipeline, lost) == ("unknown", state, "ticket 12", "ada (scheduled__ask)")
    pipeline.release_due(run_of(hour))
    assert pipeline.sent() == ([lost] if state is State.PLANNED else [])


def test_an_answer_without_a_reason_says_where_it_was_given(pipeline, lose, asked):
    (lost,) = lose()

    answer(asked, ask(asked), "Cancel", reason=" ")

    assert last(pipeline, lost)[2] == "answered under Required Actions"


def test_an_answer_settles_only_what_the_question_named(pipeline, lose, asked):
    first = lose()
    waits_with = ask(asked)
    second = lose()

    answer(asked, waits_with, "Cancel")

    assert pipeline.states() == {first[0]: "cancelled by_hand", second[0]: "unknown"}


def test_a_later_attempt_is_not_settled_by_an_answer_about_an_earlier_one(pipeline, sandbox, lose, asked, hour):
    (lost,) = lose()
    waits_with = ask(asked)
    pipeline.ledger.admin.settle(lost, None, State.PLANNED, by_run("by hand"), "try again", dry_run=False)
    sandbox.state.faults.replace([{"match": {"path_prefix": "/v1/requests"}, "kind": "500_before", "times": 1}])
    pipeline.release_due(run_of(hour))
    assert pipeline.states() == {lost: "unknown"}

    facts = answer(asked, waits_with, "Sent")

    assert facts == {"asked": 1, "sent": 0, "left": 1}
    assert pipeline.states() == {lost: "unknown"}


def test_what_was_settled_meanwhile_stays_as_it_is_and_the_rest_is_settled(pipeline, lose, asked):
    first, second = lose(2)
    waits_with = ask(asked)
    pipeline.ledger.admin.settle(first, None, State.CANCELLED, by_run("by hand"), "no", dry_run=False)

    facts = answer(asked, waits_with, "Plan again")

    assert facts == {"asked": 2, "planned": 1, "left": 1}
    assert pipeline.states() == {first: "cancelled by_hand", second: "planned"}


def test_what_stella_connect_shows_meanwhile_is_never_sent_again(pipeline, sandbox, asked, close, hour):
    sandbox.state.faults.replace([{"match": {"path_prefix": "/v1/requests"}, "kind": "accept_then_500"}])
    lost = close()
    pipeline.run(run_of(hour))
    sandbox.state.faults.replace([])
    waits_with = ask(asked)
    with StellaConnectHook("stella_connect_default") as hook:
        Feedback(pipeline.ledger, hook, "ask", by=by_run("feedback")).read(datetime.now(UTC))

    facts = answer(asked, waits_with, "Plan again")

    assert facts["left"] == 1
    assert pipeline.states() == {lost: "sent"}


def test_the_same_answer_twice_changes_nothing_more(pipeline, lose, asked):
    (lost,) = lose()
    waits_with = ask(asked)
    answer(asked, waits_with, "Sent")
    history = pipeline.ledger.history(lost)

    assert answer(asked, waits_with, "Plan again") == {"asked": 1, "planned": 0, "left": 1}
    assert pipeline.ledger.history(lost) == history


def test_without_an_answer_in_time_the_run_ends_softly_and_the_next_one_asks_again(pipeline, lose, asked):
    (lost,) = lose()
    waits_with = ask(asked)
    late = {"error": "The Human-in-the-loop response timeout has passed.", "error_type": "timeout"}

    with pytest.raises(AirflowSkipException, match="next run asks again"):
        asked.execute_complete(run_of(datetime.now(UTC)), event=late, **waits_with)

    assert pipeline.states() == {lost: "unknown"}
    assert ask(asked, 2 * LATER) == waits_with


def test_an_answer_that_nobody_gave_changes_nothing(pipeline, lose, asked):
    (lost,) = lose()

    with pytest.raises(AirflowFailException, match="no decision of a person"):
        answer(asked, ask(asked), "Sent", person=None)

    assert pipeline.states() == {lost: "unknown"}


def test_a_cleared_question_is_not_asked_again_since_airflow_would_show_the_old_one(lose, asked, questions):
    lose()

    with pytest.raises(AirflowSkipException, match="cleared question"):
        asked.execute({"ti": SimpleNamespace(try_number=2)})

    assert questions == []


def test_many_are_asked_about_in_batches(pipeline, asked, questions):
    ledger, now = pipeline.ledger, datetime.now(UTC)
    ledger.migrate()
    many = [closing(n, closed_at=now - timedelta(hours=2)) for n in range(MAX_INTERACTIONS + 1)]
    ledger.extraction.record_closings(many, by_run("extraction"))
    for one in ledger.releasing.claim(now - timedelta(days=1), now, len(many), LEASE, by_run("release")):
        ledger.releasing.start_sending(one, LEASE, REQUEST)
        ledger.releasing.settle(one, State.UNKNOWN, None, "read timeout")
    waits_with = ask(asked)
    assert "1 more follow after this answer" in questions[0].body

    facts = answer(asked, waits_with, "Cancel")
    rest = ask(asked)

    assert facts == {"asked": MAX_INTERACTIONS, "cancelled": MAX_INTERACTIONS, "left": 0}
    assert len(rest["seen"]) == 1
