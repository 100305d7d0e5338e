"""What the page tells of one conversation, as the ledger itself has written it."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import Ledger, connect
from include.ledger.reports import agents, listing, overview, responses, scores
from include.ledger.reports.agents import Profile
from include.ledger.reports.listing import Filter, Line, Sort
from include.ledger.reports.people import Agent, Customer, list_agents
from include.ledger.reports.readiness import Readiness, readiness
from include.ledger.reports.responses import CardFilter
from include.ledger.reports.scores import Group
from include.ledger.reports.story import latest_closing, story
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)
FORGOTTEN = Customer(None, None, None, erased=True)


def send(ledger: Ledger, clock: Clock, number: int = 1) -> None:
    for held in ledger.releasing.claim(NOON, clock(), number, LEASE, by_run("release")):
        ledger.releasing.start_sending(held, LEASE, REQUEST)
        clock.forward(seconds=3)
        ledger.releasing.settle(held, State.SENT, 200)


def lines(ledger: Ledger) -> list[Line]:
    with ledger.read() as connection:
        return list(listing.page(connection, Filter(), Sort.CLOSED_AT, descending=False).rows)


def test_a_story_has_all_closings_with_their_steps_and_answers(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("extraction 1"))
    clock.forward(hours=1)
    send(ledger, clock)
    ledger.extraction.record_closings([closing(1, closed_at=NOON + 2 * HOUR), closing(2)], by_run("extraction 2"))
    answer = SurveyResponse(
        uuid="u1", sequence_id=5, conversation_id=closing(1).conversation_id, closed_at=NOON, rating=4,
        response_received_at=NOON + 3 * HOUR, delivery_status="Sent", channel="email", comment="Fine",
    )  # fmt: skip
    ledger.feedback.record_responses([answer])
    first, *_ = lines(ledger)
    with ledger.read() as connection:
        told = story(connection, first.id)
        latest = latest_closing(connection, closing(1).conversation_id)
        assert story(connection, 99) is None
        assert latest_closing(connection, "nobody") is None
    assert told is not None
    earlier, later = told.closings
    assert told.chosen is earlier
    assert later.line.id == latest
    assert [(step.from_state, step.to_state, str(step.by)) for step in earlier.steps] == [
        (None, State.PLANNED, "extraction 1"),
        (State.PLANNED, State.CLAIMED, "release"),
        (State.CLAIMED, State.SENDING, "release"),
        (State.SENDING, State.SENT, "release"),
    ]
    (card,) = earlier.responses
    assert (card.rating, card.comment, card.customer.email) == (4, "Fine", "customer1@example.com")
    assert later.responses == ()
    assert len(later.steps) == 1


def test_erased_is_told_apart_from_never_known(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings(
        [closing(1), closing(2, skip=Reason.NO_CUSTOMER_EMAIL), closing(3)], by_run("run")
    )
    ledger.admin.erase_customer("customer-1", by_run("Ann"), "asked", dry_run=False)
    one, two, three = lines(ledger)
    assert one.customer == FORGOTTEN
    assert (one.state, one.reason, one.agent.erased) == (State.CANCELLED, Reason.ERASED, False)
    assert not two.customer.erased
    assert not three.customer.erased
    ledger.admin.erase_customer("customer-2", by_run("Ann"), "asked", dry_run=False)
    assert lines(ledger)[1].customer == FORGOTTEN


def test_nobody_assigned_is_not_an_agent_who_was_forgotten(ledger: Ledger, clock: Clock) -> None:
    unassigned = closing(2, skip=Reason.NO_AGENT_ASSIGNED)
    nobody = replace(unassigned, agent_id=None, agent_email=None, agent_name=None)
    ledger.extraction.record_closings([closing(1), nobody], by_run("run"))
    clock.forward(hours=1)
    send(ledger, clock)
    assert lines(ledger)[1].agent == Agent(None, None, None)
    answer = SurveyResponse(
        uuid="u1", sequence_id=5, conversation_id=closing(1).conversation_id, closed_at=NOON, rating=4,
        response_received_at=NOON + 3 * HOUR, delivery_status="Sent",
    )  # fmt: skip
    ledger.feedback.record_responses([answer])
    with ledger.read() as connection:
        (agent,) = list_agents(connection)
        assert list(scores.scores_by(connection, Group.AGENT, NOON, NOON + 9 * HOUR)) == [agent.id]
        assert responses.page(connection, CardFilter(agent_id=agent.id)).total == 1
    clock.forward(hours=24 * 31)
    ledger.admin.retain(timedelta(days=30), by_run("clock"), "retention")
    one, two = lines(ledger)
    assert one.agent == Agent(None, None, None, erased=True)
    assert two.agent == Agent(None, None, None)
    with ledger.read() as connection:
        assert list_agents(connection) == []
        ((whose, answers),) = scores.scores_by(connection, Group.AGENT, NOON, clock()).items()
        assert responses.page(connection, CardFilter(agent_id=agent.id)).total == 0
    assert (whose, answers.rating) == (None, 4)


def test_a_profile_is_what_was_heard_last(ledger: Ledger, clock: Clock) -> None:
    def profile() -> Profile:
        with ledger.read() as connection:
            (report,) = agents.report(connection, NOON, NOON + 9 * HOUR)
            assert agents.report_agent(connection, report.agent.id or "", NOON, NOON + 9 * HOUR) == report
        return report.profile

    ledger.extraction.record_closings([closing(1), closing(2, closed_at=NOON + HOUR)], by_run("run"))
    assert profile() is Profile.UNKNOWN
    ledger.extraction.mark_profiles([], ["agent@example.com"])
    assert profile() is Profile.NOT_APPROVED
    clock.forward(hours=2)
    ledger.extraction.mark_profiles(["agent@example.com"], [])
    send(ledger, clock, 2)
    assert profile() is Profile.APPROVED


def test_alarms_tell_of_the_unknown_the_overdue_and_the_refused(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(4)], by_run("run"))
    clock.forward(hours=1)
    first, second = ledger.releasing.claim(NOON, clock(), 2, LEASE, by_run("release"))
    ledger.releasing.start_sending(first, LEASE, REQUEST)
    ledger.releasing.settle(first, State.UNKNOWN, None, "read timeout")
    ledger.releasing.start_sending(second, LEASE, REQUEST)
    ledger.releasing.settle(second, State.REJECTED, 400, "refused")
    since = clock()
    with ledger.read() as connection:
        quiet = overview.alarms(connection, since + timedelta(minutes=10))
        loud = overview.alarms(connection, since + timedelta(minutes=11))
    assert (quiet.unknown, quiet.oldest_unknown, quiet.overdue) == (1, since, 0)
    assert (loud.overdue, loud.oldest_overdue) == (2, NOON + HOUR)
    assert (loud.rejected, loud.sent, loud.too_many_rejected) == (1, 0, True)


def test_a_ledger_is_ready_missing_older_newer_or_out_of_reach(empty_url: str) -> None:
    engine = connect(empty_url)
    ledger = Ledger(engine)
    assert readiness(ledger) is Readiness.EMPTY
    ledger.migrate()
    assert readiness(ledger) is Readiness.READY
    for version, expected in (("0000", Readiness.OLDER), ("tomorrow", Readiness.NEWER)):
        with engine.begin() as connection:
            connection.execute(text("UPDATE interaction_ledger_version SET version_num = :v"), {"v": version})
        assert readiness(ledger) is expected
    engine.dispose()


def test_a_server_that_is_not_there_is_out_of_reach() -> None:
    assert readiness(Ledger(connect("postgres://nobody@127.0.0.1:9/x"))) is Readiness.UNREACHABLE
    assert readiness(Ledger(connect("sqlite:////nowhere/at/all.db"))) is Readiness.UNREACHABLE
