"""The cap at the ledger: what counts, for whom, and that two releases never both pass."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context

import pytest
from sqlalchemy import insert, select, update

from include.interactions.cap import Cap, Capped
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.schema import interaction, survey_response
from tests.support.ledger import LEASE, NOON, REQUEST, by_run, closing, start_together, together

CAP = Cap(surveys=1, days=30)
DAY = timedelta(days=1)
FAR = NOON + timedelta(days=3650)
PROCESSES, CLOSINGS = 8, 50


def of_one_customer(number, **fields):
    return replace(
        closing(number),
        customer_email=fields.pop("customer_email", "jane@example.com"),
        **{"do_not_send": False} | fields,
    )


@pytest.fixture
def claim(ledger, clock):
    """A function that records one closing and claims it an hour later."""

    def record(number, **fields):
        ledger.extraction.record_closings(
            [of_one_customer(number, closed_at=clock(), due_at=clock(), **fields)], by=by_run("run")
        )
        clock.forward(hours=1)
        (claimed,) = ledger.releasing.claim(NOON, FAR, 1, LEASE, by=by_run("run"))
        return claimed

    return record


@pytest.fixture
def survey(ledger, claim):
    """A function that sends a survey to the customer, within the cap or over it."""

    def send(number, outcome=State.SENT, request=REQUEST, **fields):
        claimed = claim(number, **fields)
        assert ledger.releasing.start_sending(claimed, LEASE, request)
        if outcome is not State.SENDING:
            assert ledger.releasing.settle(claimed, outcome, 200)
        return claimed

    return send


@pytest.mark.parametrize("outcome", [State.SENT, State.SENDING, State.UNKNOWN])
def test_a_survey_that_left_or_may_have_left_counts(ledger, clock, survey, claim, outcome):
    survey(1, outcome)
    left_at = clock()
    clock.forward(days=3)

    capped = ledger.releasing.start_capped(claim(2), LEASE, REQUEST, CAP)

    assert capped == Capped(left_at + 30 * DAY)


@pytest.mark.parametrize("outcome", [State.REJECTED, State.PLANNED])
def test_what_was_not_taken_does_not_count(ledger, survey, claim, outcome):
    claimed = survey(1, outcome)
    if outcome is State.PLANNED:
        held = ledger.releasing.claim(NOON, FAR, 1, LEASE, by=by_run("run"))
        ledger.releasing.veto(held[0], State.CANCELLED, Reason.BY_HAND)
    assert claimed

    assert not isinstance(ledger.releasing.start_capped(claim(2), LEASE, REQUEST, CAP), Capped | None)


def test_what_only_counted_is_no_survey(ledger, survey, claim):
    survey(1, request={**REQUEST, "do_not_send": True})

    assert not isinstance(ledger.releasing.start_capped(claim(2), LEASE, REQUEST, CAP), Capped | None)


def test_after_the_days_there_may_be_another(ledger, clock, survey, claim):
    survey(1)
    clock.forward(days=30)

    assert not isinstance(ledger.releasing.start_capped(claim(2), LEASE, REQUEST, CAP), Capped | None)


@pytest.mark.parametrize(
    ("statuses", "counts"),
    [
        (["Not sent: suppression period"], False),
        (["not sent: consumer unsubscribed"], False),
        (["Sent"], True),
        (["Hard bounce"], True),
        ([None], True),
        (["Not sent: suppression period", "Sent"], True),
    ],
)
def test_what_stella_connect_never_mailed_does_not_count(ledger, engine, survey, claim, statuses, counts):
    sent = survey(1)
    with engine.begin() as connection:
        for number, status in enumerate(statuses):
            values = {"uuid": f"u{number}", "sequence_id": number, "interaction_id": sent.id, "read_at": NOON}
            connection.execute(insert(survey_response).values(**values, delivery_status=status))

    assert isinstance(ledger.releasing.start_capped(claim(2), LEASE, REQUEST, CAP), Capped) is counts


def test_the_customer_is_the_address_however_it_is_written(ledger, survey, claim):
    survey(1)

    assert isinstance(
        ledger.releasing.start_capped(claim(2, customer_email="JANE@Example.com"), LEASE, REQUEST, CAP), Capped
    )
    other = ledger.releasing.start_capped(claim(3, customer_email="joan@example.com"), LEASE, REQUEST, CAP)
    assert not isinstance(other, Capped | None)


@pytest.mark.parametrize(("per_brand", "capped"), [(False, True), (True, False)])
def test_brands_can_be_counted_apart(ledger, survey, claim, per_brand, capped):
    survey(1, brand="kids")
    cap = Cap(surveys=1, days=30, per_brand=per_brand)

    assert isinstance(ledger.releasing.start_capped(claim(2, brand="home"), LEASE, REQUEST, cap), Capped) is capped
    assert isinstance(ledger.releasing.start_capped(claim(3, brand="kids"), LEASE, REQUEST, cap), Capped)


def test_the_latest_closing_can_be_preferred(ledger, clock, claim):
    cap = Cap(surveys=1, days=30, prefer="latest")
    first = claim(1)
    ledger.extraction.record_closings(
        [of_one_customer(2, closed_at=clock(), due_at=clock() + DAY)], by=by_run("run")
    )

    assert ledger.releasing.start_capped(first, LEASE, REQUEST, cap) == Capped(None)
    assert not isinstance(ledger.releasing.start_capped(first, LEASE, REQUEST, CAP), Capped | None)


def test_a_capped_interaction_is_still_held_and_may_count(ledger, survey, claim):
    survey(1)
    claimed = claim(2)
    assert isinstance(ledger.releasing.start_capped(claimed, LEASE, REQUEST, CAP), Capped)

    assert ledger.releasing.start_sending(claimed, LEASE, {**REQUEST, "do_not_send": True})
    assert ledger.releasing.settle(claimed, State.SENT, 200)


def test_a_lost_claim_is_no_survey(ledger, clock, claim):
    claimed = claim(1)
    clock.forward(hours=1)
    ledger.releasing.recover(by=by_run("run"))

    assert ledger.releasing.start_capped(claimed, LEASE, REQUEST, CAP) is None


def test_the_hash_outlives_the_address_and_goes_with_the_customer(ledger, clock, engine, survey, claim):
    survey(1)
    clock.forward(days=20)
    ledger.admin.retain(timedelta(days=10), by=by_run("run"), why="retention", keep_keys=timedelta(days=30))
    with engine.connect() as connection:
        assert connection.execute(select(interaction.c.customer_email)).scalar() is None
    over_the_cap = claim(2)
    assert isinstance(ledger.releasing.start_capped(over_the_cap, LEASE, REQUEST, CAP), Capped)
    ledger.releasing.veto(over_the_cap, State.SKIPPED, Reason.CAPPED)
    survey(3)

    ledger.admin.erase_customer("jane@example.com", by=by_run("person"), why="asked", dry_run=False)
    with engine.connect() as connection:
        keys = connection.execute(select(interaction.c.customer_key)).scalars().all()
    assert keys == [None] * 3


def test_the_hash_goes_when_the_cap_no_longer_needs_it(ledger, clock, engine, survey):
    survey(1)
    clock.forward(days=31)
    ledger.admin.retain(timedelta(days=10), by=by_run("run"), why="retention", keep_keys=timedelta(days=30))

    with engine.connect() as connection:
        assert connection.execute(select(interaction.c.customer_key)).scalar() is None


def send_all(url):
    """Send what is due within the cap, as a release does; returns how many surveys left."""
    ledger = Ledger(connect(url), lambda: FAR)
    surveys = 0
    while batch := ledger.releasing.claim(NOON, FAR, 5, LEASE, by=by_run("run")):
        for claimed in batch:
            started = ledger.releasing.start_capped(claimed, LEASE, REQUEST, CAP)
            if isinstance(started, Capped):
                assert ledger.releasing.start_sending(claimed, LEASE, {**REQUEST, "do_not_send": True})
            surveys += not isinstance(started, Capped)
            assert ledger.releasing.settle(claimed, State.SENT, 200)
    return surveys


def test_eight_processes_with_fifty_closings_of_one_customer_send_one_survey(ledger, url, engine):
    ledger.extraction.record_closings([of_one_customer(number) for number in range(CLOSINGS)], by=by_run("run"))
    context = get_context("spawn")
    gate = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, start_together, (gate,)) as pool:
        surveys = [each.result(120) for each in [pool.submit(together, send_all, url) for _ in range(PROCESSES)]]

    assert sum(surveys) == 1
    with engine.connect() as connection:
        quiet = connection.execute(select(interaction.c.sent_do_not_send)).scalars().all()
    assert sorted(quiet) == [False] + [True] * (CLOSINGS - 1)


def test_an_interaction_can_be_put_off_and_its_expiry_counts_from_the_first_due_time(ledger, engine, claim):
    claimed = claim(1)
    first_due_at = claimed.interaction.due_at
    for days in (1, 2):
        assert ledger.releasing.put_off(claimed, first_due_at + days * DAY, "outside the send window")
        with engine.begin() as connection:
            row = connection.execute(select(interaction)).one()
            assert (row.state, row.due_at, row.first_due_at) == ("planned", first_due_at + days * DAY, first_due_at)
            connection.execute(update(interaction).values(due_at=first_due_at))
        (claimed,) = ledger.releasing.claim(NOON, FAR, 1, LEASE, by=by_run("run"))
