from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.settings import SettingsError
from include.interactions.span import Watermark, interval_of, release_before, span_of

TEN = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = (TEN, TEN + HOUR)


def span(own=HOURLY, origin="schedule", watermark=None):
    return span_of(own, origin, watermark, overlap_seconds=3600)


class TestOwnInterval:
    def test_a_scheduled_run_or_backfill_has_airflows_interval(self):
        assert interval_of(HOURLY, (None, None), TEN + HOUR) == HOURLY

    def test_a_manual_run_without_a_logical_date_reads_the_last_full_hour(self):
        assert interval_of(None, (None, None), TEN + HOUR + timedelta(minutes=25)) == HOURLY

    def test_what_the_form_asks_for_goes_first(self):
        asked = (TEN - 3 * HOUR, TEN - 2 * HOUR)

        assert interval_of(HOURLY, asked, TEN + HOUR) == asked

    @pytest.mark.parametrize(
        ("start", "end", "message"),
        [
            (TEN, None, "both or neither"),
            (TEN, TEN, "must be before"),
            (TEN, TEN + 9 * HOUR, "lies in the future"),
            (TEN - timedelta(days=800), TEN, "two years"),
        ],
    )
    def test_an_interval_that_cannot_be_read_is_refused(self, start, end, message):
        with pytest.raises(SettingsError, match=message):
            interval_of(None, (start, end), TEN + HOUR)


class TestSpan:
    def test_a_new_install_starts_with_its_first_hour(self):
        assert span().closed_from == TEN

    def test_the_overlap_looks_back_from_the_second_hour_on(self):
        assert span(watermark=Watermark(TEN - HOUR, TEN)).closed_from == TEN - HOUR

    def test_the_overlap_never_reaches_before_the_first_hour_covered(self):
        assert span(watermark=Watermark(TEN - timedelta(minutes=10), TEN)).closed_from == TEN - timedelta(
            minutes=10
        )

    def test_the_first_hour_run_again_does_not_grow(self):
        assert span(watermark=Watermark(TEN, TEN + HOUR)).closed_from == TEN

    def test_hours_that_failed_or_were_paused_are_covered_by_the_next_run(self):
        assert span(watermark=Watermark(TEN - 50 * HOUR, TEN - 20 * HOUR)).closed_from == TEN - 21 * HOUR

    @pytest.mark.parametrize("origin", ["backfill", "manual"])
    def test_an_explicit_interval_does_not_grow(self, origin):
        assert span(origin=origin, watermark=Watermark(TEN - 50 * HOUR, TEN - 20 * HOUR)).closed_from == TEN


class TestReleaseBefore:
    def test_a_run_releases_until_the_next_has_taken_over(self):
        ticks = (TEN + HOUR, TEN + 2 * HOUR)

        assert release_before(TEN, "schedule", ticks, handover_seconds=900) == TEN + HOUR + timedelta(minutes=15)

    def test_before_a_long_gap_a_scheduled_run_stays_open_until_the_next_tick(self):
        ticks = (TEN + 62 * HOUR, TEN + 63 * HOUR)

        assert release_before(TEN, "schedule", ticks, handover_seconds=0) == TEN + 62 * HOUR

    @pytest.mark.parametrize("origin", ["backfill", "manual"])
    def test_a_manual_run_waits_for_an_hour_at_most(self, origin):
        ticks = (TEN + 62 * HOUR, TEN + 63 * HOUR)

        assert release_before(TEN, origin, ticks, handover_seconds=900) == TEN + HOUR + timedelta(minutes=15)

    def test_a_handover_is_never_longer_than_the_next_gap(self):
        quarter = timedelta(minutes=15)

        until = release_before(TEN, "schedule", (TEN + quarter, TEN + 2 * quarter), handover_seconds=3600)

        assert until == TEN + 2 * quarter
