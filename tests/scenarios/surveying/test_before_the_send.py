"""Rules, cap and send window when an interaction falls due, through the pipeline's own tasks."""

from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.model import Schedule
from tests.scenarios.surveying.conftest import MAPPING, QUICK, at_home, related, sent
from tests.support.pipeline import run_of


def window(opens_in, **more):
    """A send window that opens so many hours from now, for an hour."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    start, end = (now + timedelta(hours=opens_in + one) for one in (0, 1))
    return {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}", "spread_minutes": 0, **more}


class TestRightBeforeTheSend:
    @pytest.fixture
    def tag(self, sandbox):
        return next(iter(sandbox.state.organisation.tags.values()))

    @pytest.mark.parametrize(("survey", "state"), [("count", "sent"), ("skip", "skipped rule")])
    def test_a_tag_that_came_late_excludes(self, pipeline, sandbox, settings, close, hour, tag, survey, state):
        conversation = close(relationships=at_home())
        settings(
            **QUICK, **MAPPING, rules=[{"name": "late", "when": {"tag": tag.name}, "then": {"survey": survey}}]
        )
        pipeline.extract(run_of(hour))
        close(id=conversation, tags=[tag.id])

        pipeline.release_due(run_of(hour))

        assert pipeline.states() == {conversation: state}
        assert [request.get("do_not_send") for request in sent(sandbox).values()] == [True] * (state == "sent")
        (row,) = pipeline.query("SELECT rule FROM interaction")
        assert row.rule is None  # as it was when the closing was recorded

    def test_delay_and_mapping_stay_as_they_were_at_the_closing(self, pipeline, sandbox, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING)
        pipeline.extract(run_of(hour))
        settings(**QUICK, brand="kids", language="de")
        close(id=conversation, relationships=related(brand="b-kids"))

        pipeline.release_due(run_of(hour))

        assert (sent(sandbox)[conversation]["brand"], sent(sandbox)[conversation]["language"]) == ("home", "en-US")


class TestACap:
    @pytest.fixture
    def again(self, sandbox, close):
        """A function that closes a conversation of the same customer each time."""

        def add(minute):
            first = next(iter(sandbox.state.organisation.conversations.values()), None)
            same = {"customer_id": first.customer_id} if first else {}
            return close(minute=minute, relationships=at_home(), **same)

        return add

    @pytest.mark.parametrize("over", ["count", "skip"])
    def test_a_second_survey_within_the_days_is_not_mailed(self, pipeline, sandbox, settings, again, hour, over):
        first, *others = (again(minute) for minute in range(4))
        settings(**QUICK, **MAPPING, cap={"surveys": 1, "days": 30, "over": over})

        pipeline.run(run_of(hour))

        surveys = [key for key, request in sent(sandbox).items() if not request.get("do_not_send")]
        assert len(surveys) == 1
        states = pipeline.states()
        assert states.pop(surveys[0]) == "sent"
        assert set(states) == {first, *others} - set(surveys)
        assert set(states.values()) == {"sent" if over == "count" else "skipped capped"}
        words = [
            row.detail
            for row in pipeline.query("SELECT detail FROM interaction_event WHERE detail LIKE '%next survey%'")
        ]
        assert len(words) == 3
        assert all("next survey possible from" in each for each in words)

    def test_backfilled_and_manual_rows_are_capped_too(self, pipeline, sandbox, settings, again, hour):
        settings(**QUICK, **MAPPING, cap={"surveys": 1, "days": 30})
        for number, origin in enumerate(("scheduled", "backfill", "manual")):
            again(number)
            pipeline.run(run_of(hour, origin=origin))

        assert [bool(request.get("do_not_send")) for request in sent(sandbox).values()] == [False, True, True]

    def test_without_a_cap_nothing_is_capped(self, pipeline, sandbox, settings, again, hour):
        for minute in range(3):
            again(minute)
        settings(**QUICK, **MAPPING)

        pipeline.run(run_of(hour))

        assert [request.get("do_not_send") for request in sent(sandbox).values()] == [None] * 3


class TestASendWindow:
    def test_what_falls_due_outside_waits_for_the_opening(self, pipeline, sandbox, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window=window(opens_in=3))

        pipeline.run(run_of(hour))

        assert pipeline.states() == {conversation: "planned"}
        (row,) = pipeline.query("SELECT due_at, first_due_at, closed_at FROM interaction")
        assert row.first_due_at == row.closed_at + 60_000
        assert 2 * 3_600_000 < row.due_at - datetime.now(UTC).timestamp() * 1000 <= 3 * 3_600_000
        assert pipeline.sent() == []

    def test_what_is_due_when_the_window_has_closed_is_put_off(self, pipeline, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING)
        pipeline.extract(run_of(hour))
        settings(**QUICK, **MAPPING, send_window=window(opens_in=3))

        (result,) = pipeline.release_due(run_of(hour))

        assert result["put_off"] == 1
        assert pipeline.states() == {conversation: "planned"}
        assert pipeline.sent() == []
        assert pipeline.release_due(run_of(hour)) == []

    def test_an_open_window_changes_nothing(self, pipeline, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window=window(opens_in=0))

        pipeline.run(run_of(hour))

        assert pipeline.sent() == [conversation]

    def test_a_backfill_obeys_it(self, pipeline, settings, close, hour):
        close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window=window(opens_in=3))

        pipeline.run(run_of(hour, origin="backfill"))

        assert set(pipeline.states().values()) == {"planned"}

    def test_what_only_counts_does_not_wait(self, pipeline, sandbox, settings, close, hour):
        close(relationships=at_home())
        rules = [{"name": "all", "then": {"survey": "count"}}]
        settings(**QUICK, **MAPPING, rules=rules, send_window=window(opens_in=3))

        pipeline.run(run_of(hour))

        assert len(pipeline.sent()) == 1

    def test_a_schedule_of_kustomers_decides(self, pipeline, sandbox, settings, close, hour):
        now = datetime.now(UTC)
        closed_today = {str(day): [[0, 1440]] for day in range(7)}
        today = now.isoweekday() % 7
        closed_today[str(today)] = None
        sandbox.state.organisation.schedules.append(Schedule("s1", "Support", "UTC", closed_today))
        close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window={"schedule": "support", "spread_minutes": 0})

        pipeline.extract(run_of(hour))

        (row,) = pipeline.query("SELECT due_at FROM interaction")
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert row.due_at == midnight.timestamp() * 1000

    def test_a_schedule_that_does_not_exist_fails_the_run(self, pipeline, settings, hour):
        settings(**QUICK, send_window={"schedule": "Nights"})

        with pytest.raises(AirflowFailException, match="Kustomer has no schedule named 'Nights'"):
            pipeline.extract(run_of(hour))

    def test_past_the_expiry_on_expired_decides(self, pipeline, sandbox, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING, expire_after_seconds=300, send_window=window(opens_in=3))

        pipeline.run(run_of(hour))

        assert pipeline.states() == {conversation: "planned"}  # counts at the opening, when it is expired
        with pipeline.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE interaction SET due_at = first_due_at + 1")
        pipeline.release_due(run_of(hour))
        assert sent(sandbox)[conversation]["do_not_send"] is True
