"""Overview, agents and responses against a plain reading of a filled ledger."""

from collections import Counter
from datetime import timedelta

import pytest

from include.interactions.states import State
from include.ledger.reports import agents, overview, responses
from include.ledger.reports.agents import Profile
from include.ledger.reports.responses import CardFilter
from tests.include.ledger.reports.conftest import NOW, Filled

DAY = timedelta(days=1)
SPAN = (NOW - 4 * DAY, NOW - DAY)


def test_the_funnel_counts_the_closings_of_its_span(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        funnel = overview.funnel(connection, *SPAN)
    rows = [row for row in filled.interactions if SPAN[0] <= row.closed_at < SPAN[1]]
    sent = [row.id for row in rows if row.state == State.SENT]
    told = [filled.newest_response[row_id] for row_id in sent if row_id in filled.newest_response]
    assert funnel.closed == len(rows)
    assert funnel.eligible == sum(row.state != State.SKIPPED for row in rows)
    assert funnel.by_state == Counter(State(row.state) for row in rows)
    assert sum(funnel.by_reason.values()) == sum(row.reason is not None for row in rows)
    assert list(funnel.by_reason.values()) == sorted(funnel.by_reason.values(), reverse=True)
    assert funnel.delivered == sum(one.delivery_status == "Sent" for one in told)
    assert funnel.answered == sum(one.response_received_at is not None for one in told)
    assert funnel.closed > funnel.eligible > funnel.sent > funnel.delivered > funnel.answered > 0


def test_what_falls_due_is_counted_in_its_bucket(filled: Filled) -> None:
    width = timedelta(minutes=50)
    with filled.ledger.read() as connection:
        buckets = overview.falling_due(connection, NOW, NOW + DAY, width)
        with pytest.raises(ValueError, match="too narrow"):
            overview.falling_due(connection, NOW, NOW + DAY, timedelta(seconds=1))
    planned = [row for row in filled.interactions if row.state == State.PLANNED]
    assert len(buckets) == 29
    for bucket in buckets:
        inside = [row for row in planned if bucket.start <= row.due_at < min(bucket.start + width, NOW + DAY)]
        assert bucket.planned == len(inside)
        assert bucket.at_risk == sum(row.agent_profile == "not_approved" for row in inside)


def test_lateness_is_told_by_quantiles_and_buckets(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        lateness = overview.lateness(connection, *SPAN)
        nothing = overview.lateness(connection, NOW + DAY, NOW + 2 * DAY)
    late = sorted(
        (row.sent_at - row.due_at) // timedelta(seconds=1)
        for row in filled.interactions
        if row.sent_at and SPAN[0] <= row.sent_at < SPAN[1]
    )
    assert (lateness.sent, lateness.early, nothing.sent) == (len(late), 0, 0)
    assert lateness.median == timedelta(seconds=late[(len(late) - 1) // 2])
    assert lateness.p99 == timedelta(seconds=late[-(-len(late) * 99 // 100) - 1])
    assert lateness.most == timedelta(seconds=late[-1])
    assert sum(bucket.sent for bucket in lateness.buckets) == len(late)
    assert lateness.buckets[0].sent == sum(second <= 5 for second in late)
    assert (nothing.median, nothing.p99, nothing.most) == (None, None, None)


def test_activity_is_the_latest_of_everything(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        activity = overview.activity(connection)
    assert activity.watermark is not None
    assert activity.watermark.covered_until == NOW
    assert activity.last_recorded_at == filled.interactions[-1].created_at
    assert activity.last_sent_at == max(row.sent_at for row in filled.interactions if row.sent_at)
    assert activity.last_learnt_at == max(row.read_at for row in filled.responses)


@pytest.mark.parametrize(
    "chosen",
    [
        CardFilter(),
        CardFilter(ratings=frozenset({1, 2})),
        CardFilter(agent_id="5e1f" + "0" * 20, answered_from=NOW - 3 * DAY),
        CardFilter(answered_from=NOW - 3 * DAY, answered_until=NOW - 2 * DAY),
    ],
)
def test_cards_are_the_answers_of_the_filter_latest_first(filled: Filled, chosen: CardFilter) -> None:
    with filled.ledger.read() as connection:
        first = responses.page(connection, chosen, size=100)
        pages = [
            first,
            *(responses.page(connection, chosen, number=n, size=100) for n in range(2, first.pages + 1)),
        ]
    agent_of = {row.id: row.agent_id for row in filled.interactions}
    plain = sorted(
        (
            row
            for row in filled.responses
            if row.response_received_at
            and chosen.agent_id in (None, agent_of[row.interaction_id])
            and (not chosen.ratings or row.rating in chosen.ratings)
            and (chosen.answered_from or row.response_received_at) <= row.response_received_at
            and (chosen.answered_until is None or row.response_received_at < chosen.answered_until)
        ),
        key=lambda row: (-row.response_received_at.timestamp(), row.uuid),
    )
    assert plain
    assert [card.uuid for page in pages for card in page.rows] == [row.uuid for row in plain]
    assert first.total == len(plain)


def test_averages_add_up_by_day_and_by_agent(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        by_day = responses.averages_by_day(connection, *SPAN)
        by_agent = responses.averages_by_agent(connection, *SPAN)
        one = by_agent[0][0].id
        of_one = responses.averages_by_day(connection, *SPAN, agent_id=one)
    answers = [
        row
        for row in filled.responses
        if row.response_received_at and SPAN[0] <= row.response_received_at < SPAN[1]
    ]
    days = Counter(row.response_received_at.date() for row in answers)
    assert {day: average.answered for day, average in by_day.items()} == days
    assert list(by_day) == sorted(by_day)
    assert sum(average.answered for _, average in by_agent) == len(answers)
    assert sum(average.answered for average in of_one.values()) == by_agent[0][1].answered
    for day, average in by_day.items():
        stars = [row.rating for row in answers if row.response_received_at.date() == day]
        assert average.rating == pytest.approx(sum(stars) / len(stars))
        assert average.by_stars == dict(sorted(Counter(stars).items()))


def test_every_agent_is_reported_the_urgent_ones_first(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        reports = agents.report(connection, *SPAN)
        stream = agents.stream(connection, "5e1f" + "0" * 20, size=500)
    assert {report.agent.id for report in reports} == {row.agent_id for row in filled.interactions} - {None}
    deadlines = [report.first_due_at for report in reports if report.first_due_at]
    assert deadlines == sorted(deadlines)
    assert all(report.first_due_at for report in reports[: len(deadlines)])
    for report in reports:
        own = [row for row in filled.interactions if row.agent_id == report.agent.id]
        waiting = [row for row in own if row.state == State.PLANNED and row.agent_profile == "not_approved"]
        closed = [row for row in own if SPAN[0] <= row.closed_at < SPAN[1]]
        assert (report.waiting, report.closed) == (len(waiting), len(closed))
        assert report.waiting_since == min((row.closed_at for row in waiting), default=None)
        assert report.first_due_at == min((row.due_at for row in waiting), default=None)
        assert report.sent == sum(row.state == State.SENT for row in closed)
        assert report.skipped_for_profile == sum(row.reason == "agent_profile_not_approved" for row in closed)
        assert report.waiting == 0 or report.profile is Profile.NOT_APPROVED
    own_ids = {row.id for row in filled.interactions if row.agent_id == "5e1f" + "0" * 20}
    assert {card.interaction_id for card in stream.rows} == own_ids & set(filled.newest_response)
    assert [card.closed_at for card in stream.rows] == sorted(
        (card.closed_at for card in stream.rows), reverse=True
    )
