"""Send windows, against a table of the year's open minutes that asks the wall clock of each."""

import random
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from include.interactions.open_hours import OpenHours
from include.interactions.sampling import stable_fraction
from include.interactions.send_window import (
    ScheduleError,
    SendWindow,
    next_send_time,
    read_holidays,
    read_schedule,
    zone_of,
)

MINUTE = timedelta(minutes=1)
PARIS = ZoneInfo("Europe/Paris")
OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00", "time_zone": "Europe/Paris"}
NEVER_EARLY = datetime(1970, 1, 1, tzinfo=UTC)


def local(text, zone=PARIS, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def moved(due, *, window=OFFICE, fraction=0.0, now=NEVER_EARLY, customers_zone=None):
    read = SendWindow.model_validate(window)
    hours = read.to_open_hours()
    spread = timedelta(minutes=read.spread_minutes)
    return next_send_time(hours, zone_of(hours, customers_zone), due, now=now, fraction=fraction, spread=spread)


@pytest.mark.parametrize(
    ("due", "goes_out"),
    [
        ("2026-06-15T12:00", "2026-06-15T12:00"),  # a Monday
        ("2026-06-15T09:00", "2026-06-15T09:00"),
        ("2026-06-15T08:59:59.999", "2026-06-15T09:00"),
        ("2026-06-15T18:00", "2026-06-16T09:00"),
        ("2026-06-19T19:00", "2026-06-22T09:00"),
        ("2026-06-20T12:00", "2026-06-22T09:00"),
    ],
)
def test_what_falls_due_outside_waits_for_the_next_opening(due, goes_out):
    assert moved(local(due)) == local(goes_out)


def test_what_waits_is_spread_after_the_opening():
    due = local("2026-06-15T03:00")

    assert moved(due, fraction=0.5) == local("2026-06-15T09:15")
    assert moved(due, fraction=0.5, window={**OFFICE, "spread_minutes": 120}) == local("2026-06-15T10:00")
    assert moved(due, fraction=0.5, window={**OFFICE, "spread_minutes": 0}) == local("2026-06-15T09:00")


def test_a_short_window_is_used_to_its_half_so_that_the_last_still_leave():
    assert moved(local("2026-06-15T03:00"), fraction=0.9999, window={**OFFICE, "to": "09:20"}) < local(
        "2026-06-15T09:10"
    )


def test_what_is_overdue_goes_out_now_or_after_the_next_opening_from_now_on():
    due = local("2026-06-15T12:00")

    assert moved(due, now=local("2026-06-16T10:00")) == due
    assert moved(due, now=local("2026-06-16T20:00")) == local("2026-06-17T09:00")


def test_nothing_goes_out_on_a_holiday():
    window = {**OFFICE, "holidays": ["2026-06-15", "2026-06-16"]}

    assert moved(local("2026-06-14T12:00"), window=window) == local("2026-06-17T09:00")


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin():
    window = {**OFFICE, "days": ["fri"], "from": "22:00", "to": "02:00", "holidays": ["2026-06-26"]}

    assert moved(local("2026-06-20T01:59"), window=window) == local("2026-06-20T01:59")  # a Saturday
    assert moved(local("2026-06-19T01:59"), window=window) == local("2026-06-19T22:00")
    assert moved(local("2026-06-20T02:00"), window=window) == local("2026-07-03T22:00")
    assert moved(local("2026-06-27T01:00"), window=window) == local("2026-07-03T22:00")  # began on the holiday


def test_a_holiday_ends_what_began_the_evening_before():
    window = {**OFFICE, "days": ["fri"], "from": "22:00", "to": "02:00", "holidays": ["2026-06-20"]}

    assert moved(local("2026-06-20T01:00"), window=window) == local("2026-06-26T22:00")


def test_the_customers_own_time_zone_can_count():
    window = {**OFFICE, "time_zone": "customer", "default_time_zone": "Europe/Paris"}
    due = datetime(2026, 6, 15, 3, tzinfo=UTC)

    assert moved(due, window=window, customers_zone="Asia/Tokyo") == due
    assert moved(due, window=window, customers_zone="America/New_York") == datetime(2026, 6, 15, 13, tzinfo=UTC)
    for unknown in (None, "", "Mars/Olympus", "../etc/passwd", "Europe"):
        assert moved(due, window=window, customers_zone=unknown) == datetime(2026, 6, 15, 7, tzinfo=UTC)


def test_the_customers_time_zone_is_not_looked_at_otherwise():
    assert moved(local("2026-06-15T03:00"), customers_zone="Asia/Tokyo") == local("2026-06-15T09:00")


def test_an_opening_hour_that_summer_time_takes_away_opens_with_the_change():
    window = {**OFFICE, "days": ["sun"], "from": "02:15", "to": "03:10"}

    assert moved(local("2026-03-28T12:00"), window=window) == local("2026-03-29T03:00")


def test_an_hour_that_comes_twice_is_open_twice():
    window = {**OFFICE, "days": ["sun"], "from": "02:10", "to": "02:20", "spread_minutes": 0}

    assert moved(local("2026-10-25T00:00"), window=window) == local("2026-10-25T02:10")
    assert moved(local("2026-10-25T02:20"), window=window) == local("2026-10-25T02:10", fold=1)


def test_a_clock_that_goes_back_can_open_hours_that_had_closed():
    window = {**OFFICE, "days": ["sun"], "from": "01:50", "to": "02:20", "spread_minutes": 0}

    assert moved(local("2026-10-25T02:30"), window=window) == local("2026-10-25T02:00", fold=1)


def test_hours_that_never_open_move_nothing():
    hours = OpenHours(week=((),) * 7, zone=PARIS)

    assert next_send_time(hours, PARIS, NEVER_EARLY, now=NEVER_EARLY, fraction=0, spread=MINUTE) is None


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({}, "'from' and 'to' are needed, or a 'schedule'"),
        ({"from": "09:00", "to": "09:00"}, "'from' must be before 'to'"),
        ({"from": "24:00", "to": "09:00"}, "'from' must be before 'to'"),
        ({"from": "9", "to": "10:00"}, "must be a time such as '09:30'"),
        ({"from": 9, "to": "10:00"}, "must be a time such as '09:30'"),
        ({**OFFICE, "days": []}, "at least 1 item"),
        ({**OFFICE, "days": ["monday"]}, "'mon', 'tue'"),
        ({**OFFICE, "time_zone": "Paris"}, "'Paris' is no time zone"),
        ({**OFFICE, "default_time_zone": "Europe/Paris"}, "'default_time_zone' is for"),
        ({**OFFICE, "holidays": ["Christmas"]}, "valid date"),
        ({**OFFICE, "spread_minutes": -1}, "greater than or equal to 0"),
        ({**OFFICE, "hours": 3}, "Extra inputs"),
        (
            {"schedule": "Support", "from": "09:00", "to": "10:00"},
            "'schedule' sets hours, time zone and holidays",
        ),
    ],
)
def test_another_window_is_refused(window, told):
    with pytest.raises(ValidationError, match=told):
        SendWindow.model_validate(window)


def test_a_schedule_of_kustomers_brings_hours_zone_and_holidays():
    hours = read_schedule(
        {
            "timezone": "Europe/Paris",
            "hours": {"0": None, "1": [[540, 720], [780, 1080]], "2": [], "6": [[600, 1440]]},
        },
        [
            {"name": "Long", "startDate": "2026-06-20T00:00:00.000Z", "endDate": "2026-06-21", "enabled": True},
            {"name": "Off", "startDate": "2026-06-15", "endDate": "2026-06-15", "enabled": False},
        ],
    )

    assert hours.week == (((540, 720), (780, 1080)), (), (), (), (), ((600, 1440),), ())
    assert hours.holidays == {date(2026, 6, 20), date(2026, 6, 21)}
    assert hours.next_open(local("2026-06-15T12:30"), PARIS) == local("2026-06-15T13:00")
    assert hours.next_open(local("2026-06-19T12:30"), PARIS) == local("2026-06-22T09:00")


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"hours": {"1": [[0, 60]]}}, "time zone None"),
        ({"timezone": "Nowhere", "hours": {"1": [[0, 60]]}}, "time zone 'Nowhere'"),
        ({"timezone": "UTC"}, "cannot be read"),
        ({"timezone": "UTC", "hours": {"1": [[60, 0]]}}, "cannot be read"),
        ({"timezone": "UTC", "hours": {"1": [[0, 1441]]}}, "cannot be read"),
        ({"timezone": "UTC", "hours": {"1": "9-5"}}, "cannot be read"),
        ({"timezone": "UTC", "hours": {"1": [], "2": None}}, "never open"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_never_guessed(attributes, told):
    with pytest.raises(ScheduleError, match=told):
        read_schedule(attributes, [])


def test_a_holiday_without_dates_is_never_left_out():
    with pytest.raises(ScheduleError, match="holiday 'Eid' has no readable dates"):
        read_holidays([{"name": "Eid", "startDate": None}])


YEARS = {
    "Europe/Paris": ("09:00", "18:00"),
    "America/New_York": ("22:00", "02:30"),
    "Australia/Lord_Howe": ("01:00", "02:15"),
    "America/Santiago": ("23:00", "00:45"),
    "Pacific/Chatham": ("00:00", "24:00"),
}
"""Zones that change their clocks by an hour or half of one, at night or at midnight, north and south."""
START = datetime(2026, 1, 1, tzinfo=UTC)
HOLIDAYS = {date(2026, 3, 8), date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 25), date(2026, 12, 25)}
DAYS = ("mon", "tue", "wed", "fri", "sun")


def open_minutes(zone, opens, closes):
    """Every open minute of the year and some days more, asked of the wall clock one by one."""
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (opens, closes))
    weekdays = {("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(day) for day in DAYS}
    found = []
    for number in range(380 * 1440):
        at = START + MINUTE * number
        wall = at.astimezone(zone)
        minute = wall.hour * 60 + wall.minute
        if start < end:
            inside, began = start <= minute < end, wall
        else:
            inside, began = minute >= start or minute < end, wall if minute >= start else wall - timedelta(days=1)
        if inside and began.weekday() in weekdays and not {began.date(), wall.date()} & HOLIDAYS:
            found.append(at)
    return found


@pytest.mark.parametrize("closings", [2_000, pytest.param(20_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("name", "hours"), YEARS.items())
def test_a_simulated_year_nothing_leaves_outside_the_window_or_early(name, hours, closings):
    zone, (opens, closes) = ZoneInfo(name), hours
    spread = timedelta(minutes=20)
    window = {"days": DAYS, "from": opens, "to": closes, "time_zone": name, "holidays": sorted(HOLIDAYS)}
    table, is_open = open_minutes(zone, opens, closes), SendWindow.model_validate(window).to_open_hours()
    minutes, random_source = set(table), random.Random(name)
    for number in range(closings):
        due = START + timedelta(milliseconds=random_source.randrange(365 * 86_400_000))
        fraction = stable_fraction("spread", f"c{number}", due)
        out = next_send_time(is_open, zone, due, now=NEVER_EARLY, fraction=fraction, spread=spread)
        if due.replace(second=0, microsecond=0) in minutes:
            assert out == due
            continue
        opening = table[bisect_left(table, due)]
        assert opening <= out < opening + spread, (due, opening, out)
        assert out.replace(second=0, microsecond=0) in minutes, (due, out)


def test_the_burst_after_an_opening_is_even():
    due, bins, hours = local("2026-06-14T12:00"), [0] * 30, SendWindow.model_validate(OFFICE).to_open_hours()
    for number in range(60_000):
        fraction = stable_fraction("spread", f"c{number}", due + timedelta(milliseconds=number))
        out = next_send_time(hours, PARIS, due, now=NEVER_EARLY, fraction=fraction, spread=MINUTE * 30)
        bins[(out - local("2026-06-15T09:00")) // MINUTE] += 1

    assert min(bins) > 1800  # within a tenth of 2,000 a minute
    assert max(bins) < 2200


def test_a_time_of_the_day_may_be_the_end_of_it():
    assert SendWindow.model_validate({**OFFICE, "to": "24:00"}).closes == 1440
