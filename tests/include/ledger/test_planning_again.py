from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from include.interactions.actor import Actor
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import Ledger
from include.ledger.planning_again import EndedFilter
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)
WHO = (Actor("interaction_ledger_admin", "manual__1", "ada"), "ticket 12")
ANY = EndedFilter(closed_from=NOON)


def end(ledger: Ledger, clock: Clock, number: int, state: State) -> None:
    """Bring the closing of this number to an end in this state."""
    if state is State.SKIPPED:
        ledger.extraction.record_closings(
            [closing(number, skip=Reason.AGENT_PROFILE_NOT_APPROVED)], by_run("extraction")
        )
        return
    ledger.extraction.record_closings([closing(number)], by_run("extraction"))
    clock.time = NOON + HOUR
    (held,) = ledger.releasing.claim(NOON, clock(), 1, LEASE, by_run("run"))
    if state is State.CANCELLED:
        ledger.releasing.veto(held, State.CANCELLED, Reason.DELETED, "no longer in Kustomer")
        return
    ledger.releasing.start_sending(held, LEASE, REQUEST)
    ledger.releasing.settle(held, state, None if state is State.UNKNOWN else 400, "channel not enabled")


def found(ledger: Ledger, chosen: EndedFilter = ANY) -> list[tuple[int, str]]:
    return [(int(one.conversation_id, 16), one.why) for one in ledger.admin.list_ended(chosen, 100)]


@pytest.mark.parametrize("state", [State.SKIPPED, State.CANCELLED, State.REJECTED])
def test_what_ended_without_being_taken_is_planned_again_as_judged_anew(
    ledger: Ledger, clock: Clock, state: State
) -> None:
    end(ledger, clock, 1, state)
    anew = replace(closing(1), customer_email="new@example.com", tags=("new",))

    dry = ledger.admin.plan_again([anew], *WHO, dry_run=True)
    assert ledger.history(anew.conversation_id)[-1].to_state is state, "a dry run changes nothing"
    assert ledger.admin.plan_again([anew], *WHO, dry_run=False) == dry == {"planned": 1, "unknown": 0, "left": 0}

    event = ledger.history(anew.conversation_id)[-1]
    assert (event.from_state, event.to_state, event.by, event.detail) == (state, State.PLANNED, *WHO)
    clock.time = NOON + HOUR
    (held,) = ledger.releasing.claim(NOON, NOON + HOUR, 9, LEASE, by_run("next run"))
    assert (held.interaction.customer_email, held.interaction.tags) == ("new@example.com", ("new",))


def test_what_was_sent_or_may_have_been_is_never_planned_again(ledger: Ledger, clock: Clock) -> None:
    for number, state in ((1, State.SENT), (2, State.UNKNOWN), (3, State.REJECTED)):
        end(ledger, clock, number, state)
    shown = {"uuid": "u", "sequence_id": 1, "conversation_id": closing(3).conversation_id, "closed_at": NOON}
    ledger.feedback.record_responses([SurveyResponse(**shown, requested_via="API")])

    assert found(ledger) == []
    assert ledger.admin.plan_again([closing(1), closing(2), closing(3)], *WHO, dry_run=False)["left"] == 3


def test_erased_replaced_and_followed_ones_stay(ledger: Ledger, clock: Clock) -> None:
    end(ledger, clock, 1, State.SKIPPED)
    ledger.admin.erase_customer("customer-1", *WHO, dry_run=False)
    ledger.extraction.record_closings([closing(2)], by_run("extraction"))
    ledger.extraction.record_closings([closing(2, closed_at=NOON + HOUR)], by_run("extraction"))  # superseded
    end(ledger, clock, 3, State.SKIPPED)
    ledger.extraction.record_closings([closing(3, closed_at=NOON + HOUR)], by_run("extraction"))

    assert found(ledger) == []
    assert ledger.admin.plan_again([closing(1), closing(2), closing(3)], *WHO, dry_run=False)["left"] == 3


def test_what_is_judged_as_skipped_again_is_left(ledger: Ledger, clock: Clock) -> None:
    end(ledger, clock, 1, State.SKIPPED)
    again = closing(1, skip=Reason.AGENT_PROFILE_NOT_APPROVED)
    assert ledger.admin.plan_again([again], *WHO, dry_run=False) == {"planned": 0, "unknown": 0, "left": 1}


def test_what_a_person_cancelled_returns_only_if_asked_for(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    ledger.admin.cancel(closing(1).conversation_id, None, *WHO, dry_run=False)
    assert found(ledger) == []
    assert found(ledger, replace(ANY, reason=Reason.BY_HAND)) == [(1, "by_hand")]


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ({}, [1, 2, 3]),
        ({"state": State.REJECTED}, [3]),
        ({"reason": Reason.DELETED}, [2]),
        ({"detail": "not enabled"}, [3]),
        ({"detail": "100%_"}, []),
        ({"agent_email": "AGENT@example.com"}, [1, 2, 3]),
        ({"agent_email": "other@example.com"}, []),
        ({"closed_from": NOON + HOUR}, []),
        ({"closed_until": NOON}, []),
    ],
)
def test_filters_choose(ledger: Ledger, clock: Clock, chosen: dict[str, Any], numbers: list[int]) -> None:
    for number, state in ((1, State.SKIPPED), (2, State.CANCELLED), (3, State.REJECTED)):
        end(ledger, clock, number, state)
    assert [number for number, _ in found(ledger, replace(ANY, **chosen))] == numbers
