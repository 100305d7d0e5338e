from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, Recovered
from include.ledger.releasing import SendingStep
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)


def claim(ledger: Ledger, limit: int = 10) -> list[ClaimedInteraction]:
    return ledger.releasing.claim(NOON, NOON + timedelta(days=1), limit, LEASE, by_run("run"))


@pytest.fixture
def claimed(ledger: Ledger, clock: Clock) -> ClaimedInteraction:
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    clock.forward(hours=1)
    (one,) = claim(ledger)
    return one


def states(ledger: Ledger, number: int = 1) -> list[State]:
    return [event.to_state for event in ledger.history(closing(number).conversation_id)]


Outcome = Callable[[Ledger, ClaimedInteraction], bool]
OUTCOMES: dict[State, Outcome] = {
    State.SENT: lambda ledger, one: ledger.releasing.settle(one, State.SENT, 201),
    State.REJECTED: lambda ledger, one: ledger.releasing.settle(one, State.REJECTED, 400, "INVALID"),
    State.UNKNOWN: lambda ledger, one: ledger.releasing.settle(one, State.UNKNOWN, None, "read timeout"),
    State.PLANNED: lambda ledger, one: ledger.releasing.settle(one, State.PLANNED, 429, "later"),
}


def test_a_claim_gives_back_what_was_recorded(claimed: ClaimedInteraction) -> None:
    assert claimed.interaction == closing(1)
    assert claimed.attempts == 0


def test_only_what_is_due_is_claimed_oldest_first(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings(
        [closing(number, closed_at=NOON + number * timedelta(minutes=1)) for number in range(9)], by_run("r")
    )
    clock.forward(hours=1, minutes=4)
    window = (NOON + HOUR + timedelta(minutes=2), NOON + HOUR + timedelta(minutes=8))
    found = ledger.releasing.claim(*window, 10, LEASE, by_run("run"))
    # 2 is the window's beginning; 5 to 8 lie in the window, and in the future
    assert [one.interaction for one in found] == [
        closing(number, closed_at=NOON + number * timedelta(minutes=1)) for number in (2, 3, 4)
    ]


def test_nothing_is_claimed_a_millisecond_early(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    clock.time = NOON + HOUR - timedelta(microseconds=1)
    assert claim(ledger) == []
    clock.time = NOON + HOUR
    assert len(claim(ledger)) == 1


def test_a_limited_claim_takes_the_oldest_and_leaves_the_rest(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings(
        [closing(number, closed_at=NOON - number * HOUR) for number in range(5)], by_run("run")
    )
    clock.forward(hours=1)
    batches = [ledger.releasing.claim(NOON - 5 * HOUR, clock(), 2, LEASE, by_run("run")) for _ in range(4)]
    taken = [[int(one.interaction.conversation_id, 16) for one in batch] for batch in batches]
    assert taken == [[4, 3], [2, 1], [0], []]


def test_what_is_claimed_is_not_claimed_again(ledger: Ledger, claimed: ClaimedInteraction) -> None:
    assert claim(ledger) == []
    assert ledger.releasing.recover(by_run("run")) == Recovered(0, 0)


def test_a_superseded_interaction_is_cancelled_by_the_claim_and_takes_no_place(
    ledger: Ledger, clock: Clock
) -> None:
    # The earlier closings wait because somebody's release held them when the later ones were recorded.
    for number in range(3):
        ledger.extraction.record_closings([closing(number)], by_run("run"))
    clock.forward(hours=1)
    held = claim(ledger)
    later = [closing(number, closed_at=NOON + timedelta(minutes=1)) for number in range(2)]
    assert ledger.extraction.record_closings(later, by_run("run")).superseded == 0
    ledger.releasing.give_back(held)
    clock.forward(minutes=1)
    found = claim(ledger, limit=3)
    assert sorted((one.interaction.conversation_id, one.interaction.closed_at) for one in found) == [
        (closing(0).conversation_id, later[0].closed_at),
        (closing(1).conversation_id, later[1].closed_at),
        (closing(2).conversation_id, NOON),
    ]
    events = ledger.history(closing(0).conversation_id)
    assert [(event.to_state, event.reason, str(event.by)) for event in events if event.closed_at == NOON][-1] == (
        State.CANCELLED,
        Reason.SUPERSEDED,
        "run",
    )


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_written_once_with_its_event(
    ledger: Ledger, clock: Clock, claimed: ClaimedInteraction, outcome: State
) -> None:
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST) == clock() + LEASE
    assert OUTCOMES[outcome](ledger, claimed)
    assert states(ledger) == [State.PLANNED, State.CLAIMED, State.SENDING, outcome]
    assert ledger.counts() == {(outcome, None): 1}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_of_a_request_that_was_never_committed_is_refused(
    ledger: Ledger, claimed: ClaimedInteraction, outcome: State
) -> None:
    assert not OUTCOMES[outcome](ledger, claimed)
    assert states(ledger) == [State.PLANNED, State.CLAIMED]


@pytest.mark.parametrize("outcome", [State.SENT, State.REJECTED, State.PLANNED])
@pytest.mark.parametrize("second", OUTCOMES)
def test_a_settled_interaction_is_not_settled_again(
    ledger: Ledger, claimed: ClaimedInteraction, outcome: State, second: State
) -> None:
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    OUTCOMES[outcome](ledger, claimed)
    before = states(ledger)
    assert not OUTCOMES[second](ledger, claimed)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST) is None
    assert states(ledger) == before


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_holder_who_comes_back_after_his_lease_still_writes_the_true_outcome(
    ledger: Ledger, clock: Clock, claimed: ClaimedInteraction, outcome: State
) -> None:
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    clock.forward(minutes=5)
    assert ledger.releasing.recover(by_run("next run")) == Recovered(planned=0, unknown=1)
    assert OUTCOMES[outcome](ledger, claimed)
    expected = [State.PLANNED, State.CLAIMED, State.SENDING, State.UNKNOWN]
    assert states(ledger) == expected + ([] if outcome is State.UNKNOWN else [outcome])


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_stranger_writes_no_outcome(ledger: Ledger, claimed: ClaimedInteraction, outcome: State) -> None:
    stranger = replace(claimed, token="guessed")
    assert ledger.releasing.start_sending(stranger, LEASE, REQUEST) is None
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    assert not OUTCOMES[outcome](ledger, stranger)
    assert states(ledger)[-1] is State.SENDING


def test_nothing_is_sent_after_the_lease(ledger: Ledger, clock: Clock, claimed: ClaimedInteraction) -> None:
    clock.forward(minutes=5)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST) is None
    assert ledger.releasing.recover(by_run("next run")) == Recovered(planned=1, unknown=0)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST) is None


def test_a_lease_lasts_to_its_last_moment(ledger: Ledger, clock: Clock, claimed: ClaimedInteraction) -> None:
    clock.time += LEASE - timedelta(milliseconds=1)
    assert ledger.releasing.recover(by_run("next run")) == Recovered(0, 0)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST)


def test_the_holder_of_an_old_claim_cannot_touch_the_new_one(
    ledger: Ledger, clock: Clock, claimed: ClaimedInteraction
) -> None:
    clock.forward(minutes=5)
    ledger.releasing.recover(by_run("next run"))
    (new,) = claim(ledger)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST) is None
    assert not ledger.releasing.veto(claimed, State.CANCELLED, Reason.REOPENED)
    assert ledger.releasing.give_back([claimed]) == 0
    assert ledger.releasing.start_sending(new, LEASE, REQUEST)
    assert not ledger.releasing.settle(claimed, State.SENT, 201)
    assert ledger.releasing.settle(new, State.SENT, 201)


def test_of_two_claims_of_one_interaction_only_the_later_one_is_started(
    ledger: Ledger, clock: Clock, claimed: ClaimedInteraction
) -> None:
    """A release that stood still for longer than its lease may hold both."""
    clock.forward(minutes=5)
    ledger.releasing.recover(by_run("next run"))
    (new,) = claim(ledger)
    steps = [SendingStep(one, REQUEST) for one in (claimed, new, new)]
    assert ledger.releasing.start_all(steps, LEASE) == [(steps[1], clock() + LEASE)]


def test_what_was_not_taken_goes_out_again_later(ledger: Ledger, clock: Clock, claimed: ClaimedInteraction) -> None:
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, State.PLANNED, 429, "rate limited")
    (again,) = claim(ledger)
    assert again.attempts == 1
    assert again.token != claimed.token
    ledger.releasing.start_sending(again, LEASE, REQUEST)
    clock.forward(seconds=1)
    assert ledger.releasing.settle(again, State.SENT, 201)


def test_an_unknown_interaction_is_never_claimed(ledger: Ledger, clock: Clock, claimed: ClaimedInteraction) -> None:
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, State.UNKNOWN, 500, "broken")
    clock.forward(days=1)
    assert ledger.releasing.recover(by_run("run")) == Recovered(0, 0)
    assert claim(ledger) == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [(State.CANCELLED, Reason.REOPENED), (State.SKIPPED, Reason.AGENT_PROFILE_NOT_APPROVED)],
)
def test_a_veto_ends_a_claim(ledger: Ledger, claimed: ClaimedInteraction, state: State, reason: Reason) -> None:
    assert ledger.releasing.veto(claimed, state, reason, "seen at the release")
    assert ledger.counts() == {(state, reason): 1}
    assert not ledger.releasing.veto(claimed, state, reason)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST) is None
    last = ledger.history(claimed.interaction.conversation_id)[-1]
    assert (last.reason, last.detail) == (reason, "seen at the release")


def test_a_request_on_its_way_is_not_vetoed(ledger: Ledger, claimed: ClaimedInteraction) -> None:
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    assert not ledger.releasing.veto(claimed, State.CANCELLED, Reason.REOPENED)


def test_a_release_gives_back_what_it_has_not_sent(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(3)], by_run("run"))
    clock.forward(hours=1)
    held = claim(ledger)
    ledger.releasing.start_sending(held[0], LEASE, REQUEST)
    assert ledger.releasing.give_back(held, "key refused") == 2
    assert ledger.counts() == {(State.SENDING, None): 1, (State.PLANNED, None): 2}
    assert len(claim(ledger)) == 2
    assert ledger.releasing.give_back([]) == 0
