from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.interactions.cap import Cap, Capped, check_cap, customer_key

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def check(*days_ago, later_waits=False, **cap):
    asked_at = [NOW - DAY * days for days in days_ago]
    return check_cap(Cap(**{"surveys": 1, "days": 30, **cap}), asked_at, later_waits=later_waits, now=NOW)


def test_the_first_survey_is_free():
    assert check() is None


def test_over_the_cap_the_date_of_the_next_survey_is_told():
    capped = check(10)

    assert capped == Capped(NOW + DAY * 20)
    assert capped.detail == "next survey possible from 2026-07-05 12:00 UTC"


def test_a_survey_counts_for_the_days_and_not_an_instant_longer():
    assert check(29.999) is not None
    assert check(30) is None


def test_of_several_surveys_the_one_that_makes_room_tells_the_date():
    assert check(1, 5, 20, surveys=2) == Capped(NOW + DAY * 25)
    assert check(5, surveys=2) is None


def test_a_survey_of_a_clock_ahead_of_ours_counts():
    assert check(-1) == Capped(NOW + DAY * 31)


def test_the_latest_of_several_that_wait_can_be_preferred():
    assert check(later_waits=True) is None
    assert check(later_waits=True, prefer="latest") == Capped(None)
    assert check(10, later_waits=True, prefer="latest") == Capped(NOW + DAY * 20)


@given(st.lists(st.floats(0, 100), max_size=12), st.integers(1, 4), st.integers(1, 60))
def test_no_span_of_days_ever_holds_more_surveys_than_the_cap(gaps, surveys, days):
    cap, now, left = Cap(surveys=surveys, days=days), NOW, []
    for gap in gaps:
        now += DAY * gap
        capped = check_cap(cap, left, later_waits=False, now=now)
        if capped is None:
            left.append(now)
        else:
            assert now < capped.next_possible_at
            assert check_cap(cap, left, later_waits=False, now=capped.next_possible_at) is None
    for start in left:
        assert sum(start <= at < start + cap.span for at in left) <= surveys


@pytest.mark.parametrize(
    "cap",
    [
        {"surveys": 0, "days": 30},
        {"surveys": 1},
        {"surveys": 1, "days": "30"},
        {"surveys": 1, "days": 30, "over": "send"},
        {"surveys": 1, "days": 30, "per_brand": "yes"},
        {"surveys": 1, "days": 30, "each": "brand"},
    ],
)
def test_another_cap_is_refused(cap):
    with pytest.raises(ValidationError):
        Cap(**cap)


def test_a_customer_is_recognised_however_the_address_is_written():
    key = customer_key(b"secret", " Jane@Example.com ")

    assert key == customer_key(b"secret", "jane@example.COM")
    assert key != customer_key(b"another secret", "jane@example.com")
    assert key != customer_key(b"secret", "joan@example.com")
    assert "jane" not in key
    assert len(key) == 32
