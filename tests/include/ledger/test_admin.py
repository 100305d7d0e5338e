import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from include.interactions.actor import Actor
from include.interactions.answers import Answer
from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import ActionRefusedError, Ledger, erasure
from include.ledger.schema import interaction, survey_response
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
ONE = closing(1).conversation_id
WHO = (Actor("interaction_ledger_admin", "manual__1", "ada"), "ticket 12")


@pytest.fixture
def unknown(ledger: Ledger, clock: Clock) -> ClaimedInteraction:
    """Closing 1, whose request left at 13:00 and was never answered."""
    one = sending(ledger, clock)
    ledger.releasing.settle(one, State.UNKNOWN, None, "read timeout")
    return one


def sending(ledger: Ledger, clock: Clock) -> ClaimedInteraction:
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    clock.time = NOON + HOUR
    (one,) = ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))
    ledger.releasing.start_sending(one, LEASE, REQUEST)
    return one


def shown(ledger: Ledger, **fields: Any) -> None:
    """Data Return shows closing 1."""
    known = {"uuid": "u", "sequence_id": 1, "conversation_id": ONE, "closed_at": NOON, "requested_via": "API"}
    ledger.feedback.record_responses([SurveyResponse(**(known | fields))])


def row(engine: Engine, number: int = 1) -> Any:
    with engine.connect() as connection:
        return connection.execute(
            select(interaction).where(interaction.c.conversation_id == closing(number).conversation_id)
        ).one()


def last(ledger: Ledger, number: int = 1) -> tuple[Any, ...]:
    event = ledger.history(closing(number).conversation_id)[-1]
    return event.from_state, event.to_state, event.reason, event.detail, str(event.by)


def everything(engine: Engine) -> str:
    """All that the ledger's tables hold, as text."""
    with engine.connect() as connection:
        tables = ("interaction", "interaction_event", "survey_response")
        return "\n".join(
            str(tuple(line)) for name in tables for line in connection.exec_driver_sql(f"SELECT * FROM {name}")
        )


# --- cancelling and releasing


def test_a_planned_interaction_is_cancelled_by_hand_with_who_and_why(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1), closing(2)], by_run("extraction"))
    assert ledger.admin.cancel(ONE, None, *WHO, dry_run=False) == {"cancelled": 1}
    assert last(ledger) == (State.PLANNED, State.CANCELLED, Reason.BY_HAND, "ticket 12", "ada (manual__1)")
    assert ledger.counts() == {(State.CANCELLED, Reason.BY_HAND): 1, (State.PLANNED, None): 1}


def test_an_interaction_released_now_is_claimed_at_once_and_leaves_events(
    ledger: Ledger, engine: Engine, clock: Clock
) -> None:
    ledger.extraction.record_closings([closing(1, delay=DAY)], by_run("extraction"))
    clock.forward(minutes=5)
    assert ledger.admin.release_now(ONE, None, *WHO, dry_run=False) == {"due_now": 1}
    events = ledger.history(ONE)[1:]
    assert [(event.from_state, event.to_state) for event in events] == [
        (State.PLANNED, State.CLAIMED),
        (State.CLAIMED, State.PLANNED),
    ]
    assert {(event.by, event.detail) for event in events} == {WHO}
    assert row(engine).due_at == clock()
    assert len(ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))) == 1


def test_of_two_closings_the_person_says_which(ledger: Ledger, clock: Clock) -> None:
    later = closing(1, closed_at=NOON + 2 * HOUR)
    ledger.releasing.settle(sending(ledger, clock), State.UNKNOWN, None, "read timeout")
    ledger.extraction.record_closings([later], by_run("extraction"))
    clock.time = later.due_at
    (one,) = ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))
    ledger.releasing.start_sending(one, LEASE, REQUEST)
    ledger.releasing.settle(one, State.UNKNOWN, None, "read timeout")
    with pytest.raises(ActionRefusedError, match=r"has 2 unknown .*12:00:00\.000Z.*14:00:00\.000Z.*say which"):
        ledger.admin.settle(ONE, None, State.SENT, *WHO, dry_run=False)
    assert ledger.admin.settle(ONE, later.closed_at, State.SENT, *WHO, dry_run=False) == {"sent": 1}
    with pytest.raises(ActionRefusedError, match=r"no unknown interaction closed 2026-03-02T14:00:00\.000Z"):
        ledger.admin.settle(ONE, later.closed_at, State.SENT, *WHO, dry_run=False)
    assert ledger.admin.settle(ONE, None, State.PLANNED, *WHO, dry_run=False) == {"planned": 1}


def test_an_unknown_conversation_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ActionRefusedError, match="knows no conversation"):
        ledger.admin.cancel("nobody", None, *WHO, dry_run=False)


def test_what_is_sent_cannot_be_cancelled_or_released_or_settled(ledger: Ledger, clock: Clock) -> None:
    ledger.releasing.settle(sending(ledger, clock), State.SENT, 201)
    before = ledger.history(ONE)
    for act in (ledger.admin.cancel, ledger.admin.release_now):
        with pytest.raises(ActionRefusedError, match=r"no planned interaction \(closed .*: sent\)"):
            act(ONE, None, *WHO, dry_run=False)
    with pytest.raises(ActionRefusedError, match="no unknown interaction"):
        ledger.admin.settle(ONE, None, State.PLANNED, *WHO, dry_run=False)
    assert ledger.history(ONE) == before


# --- settling


@pytest.mark.parametrize("outcome", [State.SENT, State.PLANNED, State.CANCELLED])
def test_an_unknown_outcome_is_settled_by_hand(
    ledger: Ledger, engine: Engine, clock: Clock, unknown: ClaimedInteraction, outcome: State
) -> None:
    clock.forward(hours=3)
    assert ledger.admin.settle(ONE, None, outcome, *WHO, dry_run=False) == {outcome: 1}
    reason = Reason.BY_HAND if outcome is State.CANCELLED else None
    assert last(ledger) == (State.UNKNOWN, outcome, reason, "ticket 12", "ada (manual__1)")
    assert row(engine).sent_at == (NOON + HOUR if outcome is State.SENT else None), "when its request left"
    assert not ledger.releasing.settle(unknown, State.SENT, 201), "its holder comes too late"
    assert len(ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))) == (outcome is State.PLANNED)


def test_what_stella_connect_shows_is_not_sent_again(
    ledger: Ledger, engine: Engine, unknown: ClaimedInteraction
) -> None:
    shown(ledger, request_created_at=NOON + HOUR + timedelta(seconds=2))
    for outcome in (State.PLANNED, State.CANCELLED):
        with pytest.raises(ActionRefusedError, match="Settle it as sent"):
            ledger.admin.settle(ONE, None, outcome, *WHO, dry_run=False)
    assert row(engine).state == State.UNKNOWN
    ledger.admin.settle(ONE, None, State.SENT, *WHO, dry_run=False)
    assert row(engine).sent_at == NOON + HOUR + timedelta(seconds=2)


def test_an_erased_one_cannot_be_sent_again_and_its_holder_comes_too_late(
    ledger: Ledger, unknown: ClaimedInteraction
) -> None:
    assert ledger.admin.erase_customer("customer-1", *WHO, dry_run=False)["erased"] == 1
    assert not ledger.releasing.settle(unknown, State.PLANNED, None, "refused")
    with pytest.raises(ActionRefusedError, match="have been erased"):
        ledger.admin.settle(ONE, None, State.PLANNED, *WHO, dry_run=False)
    assert ledger.admin.settle(ONE, None, State.CANCELLED, *WHO, dry_run=False) == {"cancelled": 1}


# --- an agent's profile was approved


def skip(number: int, **fields: Any) -> Any:
    return closing(number, skip=Reason.AGENT_PROFILE_NOT_APPROVED, **fields)


def test_an_approved_agents_interactions_are_sent_again_within_their_expiry(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings(
        [
            skip(1, agent_email="Ágnes@Example.com "),
            skip(2, agent_email="ágnes@example.com", closed_at=NOON - WEEK - HOUR),
            skip(3, agent_email="other@example.com"),
            closing(4, skip=Reason.MERGED, agent_email="ágnes@example.com"),
        ],
        by_run("extraction"),
    )
    assert ledger.admin.send_again("ÁGNES@example.com", WEEK, *WHO, dry_run=False) == {"planned": 1, "left": 1}
    assert last(ledger) == (State.SKIPPED, State.PLANNED, None, "ticket 12", "ada (manual__1)")
    clock.forward(hours=1)
    assert [
        one.interaction.conversation_id for one in ledger.releasing.claim(NOON, clock(), 9, LEASE, by_run("run"))
    ] == [ONE]


def test_the_expiry_ends_at_its_millisecond(ledger: Ledger) -> None:
    ledger.extraction.record_closings([skip(1, delay=timedelta(0), closed_at=NOON - WEEK)], by_run("extraction"))
    with pytest.raises(ActionRefusedError, match="past their expiry"):
        ledger.admin.send_again("agent@example.com", WEEK, *WHO, dry_run=False)
    tick = timedelta(milliseconds=1)
    assert ledger.admin.send_again("agent@example.com", WEEK + tick, *WHO, dry_run=False)["planned"] == 1


def test_one_with_a_later_closing_is_not_sent_again(ledger: Ledger) -> None:
    ledger.extraction.record_closings([skip(1), closing(1, closed_at=NOON + HOUR)], by_run("extraction"))
    with pytest.raises(ActionRefusedError, match="1 interactions of this agent"):
        ledger.admin.send_again("agent@example.com", WEEK, *WHO, dry_run=False)


def test_a_second_approval_is_refused_and_names_nobody(ledger: Ledger) -> None:
    ledger.extraction.record_closings([skip(1)], by_run("extraction"))
    ledger.admin.send_again("agent@example.com", WEEK, *WHO, dry_run=False)
    before = ledger.history(ONE)
    with pytest.raises(ActionRefusedError, match="sent again already") as refusal:
        ledger.admin.send_again("agent@example.com", WEEK, *WHO, dry_run=False)
    assert "@" not in str(refusal.value)
    assert ledger.history(ONE) == before


# --- erasing


@pytest.mark.parametrize("named", ["customer-1", " customer-1 ", "CUSTOMER1@example.com"])
def test_a_customer_is_erased_everywhere_and_the_counts_stay(
    ledger: Ledger, engine: Engine, clock: Clock, named: str
) -> None:
    ledger.releasing.settle(sending(ledger, clock), State.SENT, 201, "thanks to Customer 1")
    words = Answer("own_question", "What else, Customer 1?", None, ("Customer 1",), "I am Customer 1")
    given = {"comment": words.comment, "answers": (words,), "team_leader": "Ines", "nps": 9, "resolved": True}
    shown(ledger, **given, rating=4, request_created_at=clock())
    ledger.extraction.record_closings([closing(1, closed_at=NOON + HOUR), closing(2)], by_run("extraction"))
    assert ledger.admin.erase_customer(named, *WHO, dry_run=False) == {
        "erased": 2,
        "cancelled": 1,
        "answers": 1,
        "customer_ids": 1,
        "addresses": 1,
    }
    left = everything(engine)
    for trace in ("customer-1", "Customer 1", "customer1@", "Ines", "own_question"):
        assert trace not in left
    assert "customer2@example.com" in left
    assert ledger.counts() == {
        (State.SENT, None): 1,
        (State.CANCELLED, Reason.ERASED): 1,
        (State.PLANNED, None): 1,
    }
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT rating, nps, resolved, comment FROM survey_response")).one()
    assert kept == (4, 9, True, None)
    told = [event for event in ledger.history(ONE) if event.reason is Reason.ERASED]
    assert [(event.from_state, event.to_state) for event in told] == [
        (State.SENT, State.SENT),
        (State.PLANNED, State.CANCELLED),
    ]
    assert {(event.by, event.detail, event.at) for event in told} == {(*WHO, NOON + HOUR)}


@pytest.mark.parametrize(
    ("named", "numbers"),
    [
        ("jane", [1, 2, 3, 4]),  # both of its addresses, and all of the id that shares one
        ("JANE@old.example", [1, 2, 3]),  # the id that had it, and that one's other address
        ("jane@new.example", [1, 2, 3, 4]),
        ("jane-2", [2, 3, 4, 1]),
        ("john", [5]),
    ],
)
def test_a_person_is_erased_under_all_ids_and_addresses_that_belong_together(
    ledger: Ledger, engine: Engine, named: str, numbers: list[int]
) -> None:
    for number, customer_id, address in [
        (1, "jane", "jane@old.example"),
        (2, "jane", "Jane@new.example"),
        (3, "jane-2", "jane@NEW.example"),  # merged away at Kustomer; its survey waits
        (4, "jane-2", "jane@third.example"),
        (5, "john", "john@example.com"),
    ]:
        one = replace(closing(number), customer_id=customer_id, customer_email=address)
        ledger.extraction.record_closings([one], by_run("extraction"))
    found = ledger.admin.erase_customer(named, *WHO, dry_run=True)
    assert ledger.admin.erase_customer(named, *WHO, dry_run=False) == found
    assert [number for number in range(1, 6) if row(engine, number).state == State.CANCELLED] == sorted(numbers)
    assert (found["erased"], found["cancelled"]) == (len(numbers), len(numbers))
    assert (found["customer_ids"], found["addresses"]) == {4: (2, 3), 3: (2, 2), 1: (1, 1)}[len(numbers)]


def test_a_row_of_which_only_the_hash_is_left_is_found_by_the_id_too(
    ledger: Ledger, engine: Engine, clock: Clock
) -> None:
    ledger.extraction.record_closings([skip(1)], by_run("extraction"))
    clock.forward(days=20)
    ledger.admin.retain(10 * DAY, *WHO, keep_keys=30 * DAY)
    merged = replace(closing(2), customer_email="customer1@example.com")
    ledger.extraction.record_closings([merged], by_run("extraction"))
    ledger.admin.erase_customer("customer-2", *WHO, dry_run=False)
    assert row(engine, 1).customer_key is None


def test_an_erased_closing_does_not_come_back_with_the_next_extraction(ledger: Ledger, engine: Engine) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    ledger.admin.erase_customer("customer-1", *WHO, dry_run=False)
    assert ledger.extraction.record_closings([closing(1)], by_run("overlap")).known == 1
    assert "customer1@" not in everything(engine)


def test_nothing_is_erased_while_one_is_being_sent(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    sending(ledger, clock)
    ledger.extraction.record_closings([closing(1, closed_at=NOON + HOUR)], by_run("extraction"))
    before = everything(engine)
    with pytest.raises(ActionRefusedError, match="being sent now"):
        ledger.admin.erase_customer("customer-1", *WHO, dry_run=False)
    assert everything(engine) == before


def test_an_erase_without_a_match_is_refused_and_repeats_no_address(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    for named in ("nobody@example.com", "customer-99"):
        with pytest.raises(ActionRefusedError) as refusal:
            ledger.admin.erase_customer(named, *WHO, dry_run=False)
        assert named not in str(refusal.value)


# --- dry runs


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    ledger: Ledger, engine: Engine, unknown: ClaimedInteraction
) -> None:
    ledger.extraction.record_closings([closing(2), closing(3), skip(4)], by_run("extraction"))
    before, two = everything(engine), closing(2).conversation_id
    assert ledger.admin.cancel(two, None, *WHO, dry_run=True) == {"cancelled": 1}
    assert ledger.admin.release_now(two, None, *WHO, dry_run=True) == {"due_now": 1}
    assert ledger.admin.settle(ONE, None, State.SENT, *WHO, dry_run=True) == {"sent": 1}
    assert ledger.admin.send_again("agent@example.com", WEEK, *WHO, dry_run=True) == {"planned": 1, "left": 0}
    assert ledger.admin.erase_customer("customer-3", *WHO, dry_run=True)["erased"] == 1
    assert ledger.admin.retain(-DAY, *WHO, dry_run=True) == 1
    assert everything(engine) == before


# --- retention


def test_personal_data_of_what_came_to_its_end_long_ago_goes(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    ledger.releasing.settle(sending(ledger, clock), State.SENT, 201)
    words = Answer("nps", "me", 9, ("me",), "me")
    shown(ledger, comment="me", answers=(words,), team_leader="me", request_created_at=clock())
    ledger.extraction.record_closings([skip(2), closing(3)], by_run("extraction"))
    clock.time = NOON + HOUR + 30 * DAY
    assert ledger.admin.retain(30 * DAY, *WHO) == 0, "not a millisecond early"
    clock.forward(milliseconds=1)
    ledger.extraction.record_closings([skip(4)], by_run("extraction"))
    before = row(engine).updated_at
    assert ledger.admin.retain(30 * DAY, *WHO) == 2
    gone = row(engine)
    assert (gone.customer_id, gone.customer_name, gone.customer_email) == (None, None, None)
    assert (gone.agent_id, gone.agent_name, gone.agent_email, gone.tags) == (None, None, None, ())
    assert (gone.state, gone.updated_at) == (State.SENT, before)
    assert last(ledger) == (State.SENT, State.SENT, Reason.ERASED, "ticket 12", "ada (manual__1)")
    assert not re.search(r"""['"]me['"]""", everything(engine))
    assert row(engine, 2).customer_email is None
    assert row(engine, 3).customer_email, "still planned"
    assert row(engine, 4).customer_email, "settled today"
    assert ledger.admin.retain(30 * DAY, *WHO) == 0


def test_an_unknown_outcome_keeps_its_addresses_until_it_is_settled(
    ledger: Ledger, engine: Engine, clock: Clock, unknown: ClaimedInteraction
) -> None:
    clock.forward(days=90)
    assert ledger.admin.retain(30 * DAY, *WHO) == 0
    assert row(engine).customer_email


def test_a_comment_that_crossed_an_erasure_goes_with_the_next_retention(
    ledger: Ledger, engine: Engine, clock: Clock
) -> None:
    ledger.releasing.settle(sending(ledger, clock), State.SENT, 201)
    shown(ledger, request_created_at=clock())
    ledger.admin.erase_customer("customer-1", *WHO, dry_run=False)
    with engine.begin() as connection:  # as a reader does that looked at the interaction before the erasure
        words = (Answer("nps", None, 9, (), "it is me"),)
        connection.execute(
            survey_response.update().values(comment="it is me", answers=words, team_leader="it is me")
        )
    ledger.admin.retain(30 * DAY, *WHO)
    assert "it is me" not in everything(engine)


def test_retention_goes_through_the_ledger_in_bounded_batches(
    ledger: Ledger, engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 3)
    ledger.extraction.record_closings(
        [skip(number) if number % 2 else closing(number) for number in range(15)], by_run("extraction")
    )
    clock.forward(days=31)
    assert ledger.admin.retain(30 * DAY, *WHO, dry_run=True) == 7
    assert ledger.admin.retain(30 * DAY, *WHO) == 7
    assert everything(engine).count("customer-") == 8
