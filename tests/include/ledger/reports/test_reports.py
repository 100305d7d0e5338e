"""Overview, agents and responses against a plain reading of a filled ledger."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from include.interactions.states import State
from include.ledger import Ledger
from include.ledger.reports import agents, overview, responses, scores
from include.ledger.reports.agents import Profile
from include.ledger.reports.responses import CardFilter
from include.ledger.reports.scores import Group, Reach, Scores
from include.ledger.schema import survey_response
from tests.include.ledger.reports.conftest import NOW, Filled
from tests.support.ledger import by_run, closing

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


def test_scores_add_up_in_every_group(filled: Filled) -> None:
    answers = [
        row
        for row in filled.responses
        if row.response_received_at and SPAN[0] <= row.response_received_at < SPAN[1]
    ]
    keys = {
        Group.AGENT: lambda row: row.agent_id,
        Group.TEAM_LEADER: lambda row: row.team_leader,
        Group.BRAND: lambda row: row.brand,
        Group.CHANNEL: lambda row: row.channel,
        Group.DAY: lambda row: row.response_received_at.date(),
    }
    for group, key in keys.items():
        with filled.ledger.read() as connection:
            found = scores.scores_by(connection, group, *SPAN)
        assert {name: of.answered for name, of in found.items()} == Counter(map(key, answers))
        for name, of in found.items():
            rows = [row for row in answers if key(row) == name]
            assert of.rating == pytest.approx(sum(row.rating for row in rows) / len(rows))
            likely = [row.nps for row in rows]
            wanted = sum(n >= 9 for n in likely) - sum(n <= 6 for n in likely)
            assert of.nps == pytest.approx(100 * wanted / len(rows))
            assert (of.resolved, of.resolution_given) == (sum(row.resolved for row in rows), len(rows))
            assert of.disputed == sum(row.disputed for row in rows)
            waited = [row.response_received_at - row.request_sent_at for row in rows]
            assert abs(of.time_to_answer - sum(waited, timedelta()) / len(rows)) < timedelta(seconds=1)
        whole = sum(found.values(), Scores())
        assert (whole.answered, whole.stars) == (len(answers), sum(row.rating for row in answers))


def test_the_scores_of_one_agent_are_those_of_the_agents_group(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        by_agent = scores.scores_by(connection, Group.AGENT, *SPAN)
        agent = next(iter(by_agent))
        by_day = scores.scores_by(connection, Group.DAY, *SPAN, agent_id=agent)
    assert sum(by_day.values(), Scores()) == by_agent[agent]


def test_the_response_rate_is_of_the_surveys_that_went_out(filled: Filled) -> None:
    asked = [row for row in filled.responses if SPAN[0] <= row.request_created_at < SPAN[1]]
    with filled.ledger.read() as connection:
        reach = scores.reach_by(connection, Group.AGENT, *SPAN)
    whole = sum(reach.values(), Reach())
    assert whole.surveys == sum(row.delivery_status == "Sent" or bool(row.response_received_at) for row in asked)
    assert whole.answered == sum(bool(row.response_received_at) for row in asked)
    assert 0 < whole.answered < whole.surveys < len(asked)


def test_areas_are_counted_by_how_often_they_were_chosen(filled: Filled) -> None:
    chosen = Counter(
        label
        for row in filled.responses
        if row.response_received_at and SPAN[0] <= row.response_received_at < SPAN[1]
        for answer in row.answers
        if answer.type == "areas_of_excellence"
        for label in answer.options
    )
    with filled.ledger.read() as connection:
        areas = scores.areas(connection, *SPAN)
    assert areas.excellence == chosen
    assert list(areas.excellence.values()) == sorted(chosen.values(), reverse=True)
    assert (areas.improvement, areas.answers) == ({}, chosen.total())


def test_an_answer_to_a_recovery_counts_in_no_score(ledger: Ledger, engine: Engine) -> None:
    ledger.extraction.record_closings([closing()], by_run("run"))
    at = {"request_created_at": NOW, "response_received_at": NOW, "read_at": NOW}
    with engine.begin() as connection:
        for number, recovery in enumerate((None, False, True)):
            row = {"uuid": str(number), "sequence_id": number, "interaction_id": 1, "rating": 1 + 4 * number}
            connection.execute(survey_response.insert().values(**row, **at, is_recovery=recovery))
    span = (NOW, NOW + DAY)
    with ledger.read() as connection:
        (of,) = scores.scores_by(connection, Group.DAY, *span).values()
        (reach,) = scores.reach_by(connection, Group.DAY, *span).values()
    assert (of.answered, of.rating, reach) == (2, 3, Reach(2, 2))


def test_without_answers_there_is_no_score() -> None:
    nothing = Scores()
    assert (nothing.rating, nothing.nps, nothing.time_to_answer) == (None, None, None)


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
