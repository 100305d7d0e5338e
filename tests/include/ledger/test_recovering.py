"""Steps after bad answers, and the marks of closings after a reopening; on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select

from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.recovery import AnswerToJudge, PlannedSteps, RecoveryAction, StepState, Thresholds
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import Ledger, RecoveryStep
from include.ledger.schema import interaction
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)
ONE = closing(1).conversation_id
WORST = Thresholds(stars=2, nps=-1, unresolved=False)


@pytest.fixture
def answered(ledger: Ledger, clock: Clock) -> AnswerToJudge:
    """A bad answer to the survey of closing 1."""
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    clock.time = NOON + HOUR
    send(ledger, clock)
    fields = {"uuid": "u", "sequence_id": 1, "conversation_id": ONE, "closed_at": NOON, "requested_via": "API"}
    fields |= {"rating": 1, "response_received_at": clock(), "comment": "no"}
    ledger.feedback.record_responses([SurveyResponse.model_validate(fields)])
    (answer,) = ledger.recovery.list_answers_to_judge(NOON, WORST)
    return answer


def send(ledger: Ledger, clock: Clock, outcome: State = State.SENT) -> ClaimedInteraction:
    (claimed,) = ledger.releasing.claim(NOON - HOUR, clock(), 10, LEASE, by_run("run"))
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, outcome, 200)
    return claimed


def plan(ledger: Ledger, answer: AnswerToJudge, *actions: RecoveryAction) -> int:
    return ledger.recovery.plan([PlannedSteps(answer, "unhappy", actions)])


def take(ledger: Ledger, state: StepState = StepState.DONE) -> RecoveryStep:
    """Claim the one open step and settle it."""
    (step,) = ledger.recovery.list_open(10)
    token = ledger.recovery.claim(step, LEASE)
    assert token is not None
    step = replace(step, token=token)
    assert ledger.recovery.settle(step, state)
    return step


def close_again(ledger: Ledger, clock: Clock, hours: float = 2) -> Any:
    """Record a later closing; returns its row."""
    later = closing(1, closed_at=clock() + timedelta(hours=hours))
    ledger.extraction.record_closings([later], by_run("extraction"))
    clock.time = later.due_at
    return later


def marks(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.connect() as connection:
        states = select(interaction.c.state, interaction.c.recovers_uuid).order_by(interaction.c.id)
        rows = connection.execute(states).all()
        return [(row.state, row.recovers_uuid) for row in rows]


def test_an_answer_is_judged_until_it_has_steps(ledger: Ledger, answered: AnswerToJudge) -> None:
    assert (answered.stars, answered.has_comment, answered.is_recovery) == (1, True, False)
    assert ledger.recovery.list_answers_to_judge(NOON, replace(WORST, stars=0)) == []

    assert plan(ledger, answered, RecoveryAction.NOTE, RecoveryAction.REOPEN) == 2
    assert plan(ledger, answered, RecoveryAction.NOTE, RecoveryAction.REOPEN) == 0

    assert ledger.recovery.list_answers_to_judge(NOON, WORST) == []


def test_only_one_process_takes_a_step(ledger: Ledger, answered: AnswerToJudge) -> None:
    plan(ledger, answered, RecoveryAction.NOTE)
    (step,) = ledger.recovery.list_open(10)

    token = ledger.recovery.claim(step, LEASE)

    assert token is not None
    assert ledger.recovery.claim(step, LEASE) is None
    assert ledger.recovery.list_open(10) == []
    assert not ledger.recovery.settle(replace(step, token="another"), StepState.DONE)
    assert ledger.recovery.settle(replace(step, token=token), StepState.DONE)
    assert ledger.recovery.list_open(10) == []


def test_what_a_dead_process_began_is_found_with_the_time_at_which_it_began(
    ledger: Ledger, clock: Clock, answered: AnswerToJudge
) -> None:
    plan(ledger, answered, RecoveryAction.NOTE)
    (step,) = ledger.recovery.list_open(10)
    assert step.acted_at is None
    ledger.recovery.claim(step, LEASE)
    began = clock()
    clock.time += LEASE + timedelta(seconds=1)

    (left,) = ledger.recovery.list_open(10)
    assert left.acted_at == began
    ledger.recovery.claim(left, LEASE)
    clock.time += LEASE + timedelta(seconds=1)

    assert ledger.recovery.list_open(10)[0].acted_at == began, "a second death changes nothing"


def test_what_was_certainly_not_done_counts_as_never_begun(ledger: Ledger, answered: AnswerToJudge) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)

    take(ledger, StepState.PENDING)

    assert ledger.recovery.list_open(10)[0].acted_at is None
    assert ledger.recovery.count_reopened(NOON) == 0


def test_nothing_is_done_with_what_was_read_before_the_customer_was_erased(
    ledger: Ledger, answered: AnswerToJudge
) -> None:
    plan(ledger, answered, RecoveryAction.NOTE)
    (read_before,) = ledger.recovery.list_open(9)
    ledger.admin.erase_customer("customer-1", by_run("person"), "asked", dry_run=False)
    assert ledger.recovery.claim(read_before, LEASE) is None
    (step,) = ledger.recovery.list_open(9)
    assert (step.erased, step.answer.values["comment"]) == (True, None)
    assert ledger.recovery.claim(step, LEASE)


def test_what_failed_waits_again_if_a_person_says_so(ledger: Ledger, answered: AnswerToJudge) -> None:
    plan(ledger, answered, RecoveryAction.TAG)
    take(ledger, StepState.FAILED)
    assert ledger.recovery.take_again("another", "looked", dry_run=False) == 0
    assert ledger.recovery.take_again(None, "looked", dry_run=True) == 1
    assert ledger.recovery.list_open(9) == []
    assert ledger.recovery.take_again(ONE, "looked", dry_run=False) == 1
    (step,) = ledger.recovery.list_open(9)
    assert (step.acted_at, step.tries) == (None, 1)
    take(ledger)
    assert ledger.recovery.take_again(ONE, "looked", dry_run=False) == 0


def test_the_counts_of_the_alarms(ledger: Ledger, clock: Clock, answered: AnswerToJudge) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)
    take(ledger)
    assert ledger.recovery.count(NOON, NOON).reopened == 1
    assert ledger.recovery.count(clock() + HOUR, clock() + HOUR).reopened == 0


@pytest.mark.parametrize("state", [StepState.DONE, StepState.ACTING])
def test_a_closing_after_a_reopening_is_marked_even_if_the_process_died(
    ledger: Ledger, engine: Engine, clock: Clock, answered: AnswerToJudge, state: StepState
) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)
    if state is StepState.DONE:
        take(ledger)
    else:
        ledger.recovery.claim(ledger.recovery.list_open(10)[0], LEASE)

    close_again(ledger, clock)

    assert marks(engine) == [("sent", None), ("planned", "u")]
    (claimed,) = ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))
    assert claimed.interaction.recovers_uuid == "u"


@pytest.mark.parametrize("state", [StepState.PENDING, StepState.FAILED, StepState.GONE])
def test_a_closing_without_a_reopening_is_not_marked(
    ledger: Ledger, engine: Engine, clock: Clock, answered: AnswerToJudge, state: StepState
) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)
    take(ledger, state)

    close_again(ledger, clock)

    assert marks(engine)[1] == ("planned", None)
    assert not ledger.recovery.has_recoveries()


def test_a_closing_before_the_reopening_is_not_marked(
    ledger: Ledger, engine: Engine, clock: Clock, answered: AnswerToJudge
) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)
    clock.time += 5 * HOUR
    take(ledger)

    close_again(ledger, clock, hours=-1)

    assert marks(engine)[1] == ("planned", None)


def test_a_later_closing_takes_over_the_recovery_that_was_not_sent(
    ledger: Ledger, engine: Engine, clock: Clock, answered: AnswerToJudge
) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)
    take(ledger)
    close_again(ledger, clock)

    close_again(ledger, clock)

    assert marks(engine) == [("sent", None), ("cancelled", "u"), ("planned", "u")]


@pytest.mark.parametrize("outcome", [State.SENT, State.UNKNOWN, State.REJECTED])
def test_after_the_recovery_left_a_later_closing_is_ordinary(
    ledger: Ledger, engine: Engine, clock: Clock, answered: AnswerToJudge, outcome: State
) -> None:
    plan(ledger, answered, RecoveryAction.REOPEN)
    take(ledger)
    close_again(ledger, clock)
    send(ledger, clock, outcome)

    close_again(ledger, clock)

    assert marks(engine)[1:] == [(outcome, "u"), ("planned", None)]


def test_of_two_marked_closings_only_one_is_ever_sent(
    ledger: Ledger, engine: Engine, clock: Clock, answered: AnswerToJudge
) -> None:
    """The later one was recorded while a release held the earlier one."""
    plan(ledger, answered, RecoveryAction.REOPEN)
    take(ledger)
    close_again(ledger, clock)
    (held,) = ledger.releasing.claim(NOON, clock(), 10, 9 * HOUR, by_run("run"))
    close_again(ledger, clock)
    assert marks(engine)[1:] == [("claimed", "u"), ("planned", "u")]
    ledger.releasing.start_sending(held, LEASE, REQUEST)
    ledger.releasing.settle(held, State.SENT, 200)

    assert ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run")) == []

    assert marks(engine)[1:] == [("sent", "u"), ("cancelled", "u")]
    assert ledger.counts()[State.CANCELLED, Reason.SUPERSEDED] == 1
