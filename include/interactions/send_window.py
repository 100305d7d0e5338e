"""The setting `send_window`: the hours in which surveys may be sent, and when one that waits is sent instead."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from include.interactions.clock_times import MINUTES_OF_DAY, MinuteOfDay, Zone, check_hours, zone_named
from include.interactions.open_hours import OpenHours
from include.interactions.setting_types import SettingPart

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_HOLIDAYS = 1000
MAX_DAYS_OF_A_HOLIDAY = 400
_KUSTOMERS_WEEK = (1, 2, 3, 4, 5, 6, 0)
"""Kustomer's number of Monday to Sunday. Which day "0" is is not documented; Sunday is usual."""


def _zone_or_customer(name: str) -> str:
    return name if name == "customer" else _ZONE.validate_python(name)


_ZONE: TypeAdapter[str] = TypeAdapter(Zone)


class SendWindow(SettingPart):
    """Hours of our own, or the name of a schedule in Kustomer."""

    schedule: Annotated[str, Field(min_length=1)] | None = None
    """Name or id of a schedule in Kustomer: its hours, time zone and holidays."""
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEK
    opens: MinuteOfDay | None = Field(None, alias="from")
    closes: MinuteOfDay | None = Field(None, alias="to")
    time_zone: Annotated[str, AfterValidator(_zone_or_customer)] = "UTC"
    default_time_zone: Zone = "UTC"
    """With `"time_zone": "customer"`: for customers without a time zone."""
    holidays: Literal["kustomer"] | Annotated[frozenset[date], Field(max_length=MAX_HOLIDAYS)] = frozenset()
    spread_minutes: Annotated[int, Field(strict=True, ge=0, le=720)] = 30

    @model_validator(mode="after")
    def _either_hours_or_schedule(self) -> "SendWindow":
        given = self.model_fields_set - {"schedule", "spread_minutes"}
        if self.schedule is not None and given:
            raise ValueError(
                "'schedule' sets hours, time zone and holidays; with it only 'spread_minutes' is allowed"
            )
        if self.schedule is None:
            if self.opens is None or self.closes is None:
                raise ValueError("'from' and 'to' are needed, or a 'schedule'")
            check_hours(self.opens, self.closes)
        if "default_time_zone" in given and self.time_zone != "customer":
            raise ValueError('\'default_time_zone\' is for "time_zone": "customer" only')
        return self

    @property
    def needs_kustomer(self) -> bool:
        """Whether a schedule must be read from Kustomer."""
        return self.schedule is not None or self.holidays == "kustomer"

    def to_open_hours(self, holidays: Iterable[date] = ()) -> OpenHours:
        """Return the hours written here.

        Args:
            holidays: those of Kustomer's default schedule, for `"holidays": "kustomer"`.
        """
        opens, closes = self.opens or 0, self.closes or 0
        hours = ((opens, closes if opens < closes else closes + MINUTES_OF_DAY),)
        follow_customer = self.time_zone == "customer"
        return OpenHours(
            week=tuple(hours if day in self.days else () for day in WEEK),
            zone=ZoneInfo(self.default_time_zone if follow_customer else self.time_zone),
            holidays=frozenset(holidays) if self.holidays == "kustomer" else frozenset(self.holidays),
            follow_customer=follow_customer,
        )


def zone_of(hours: OpenHours, customers_zone: str | None) -> ZoneInfo:
    """Return the time zone in which the hours are meant for one customer."""
    known = zone_named(customers_zone) if hours.follow_customer and customers_zone else None
    return known or hours.zone


def next_send_time(
    hours: OpenHours, zone: ZoneInfo, due_at: datetime, *, now: datetime, fraction: float, spread: timedelta
) -> datetime | None:
    """Return when an interaction may be sent: at its due time if the window is open, else after the next opening.

    Args:
        hours: of the window.
        zone: in which they are meant for this customer.
        due_at: the due time so far. It only moves forward.
        now: nothing is sent before; an overdue interaction is sent now if the window is open.
        fraction: the closing's stable place in [0, 1).
        spread: time after an opening over which waiting interactions are spread. At most half of the open time is
            used, so that the last ones are still sent before the window closes.

    Returns:
        The due time; None if nothing opens within `MAX_DAYS_AHEAD` days.
    """
    wanted = max(due_at, now)
    if hours.is_open(wanted, zone):
        return due_at
    found = _opening_after(hours, wanted.replace(second=0, microsecond=0), zone, spread)
    return found[0] + found[1] * fraction if found else None


@lru_cache(maxsize=4096)  # an hour's closings share 60 minutes and a few zones
def _opening_after(
    hours: OpenHours, closed_minute: datetime, zone: ZoneInfo, spread: timedelta
) -> tuple[datetime, timedelta] | None:
    """Return the next opening and the time over which to spread; hours open and close on whole minutes."""
    opening = hours.next_open(closed_minute, zone)
    return None if opening is None else (opening, hours.open_for(opening, zone, spread * 2) / 2)


class ScheduleError(ValueError):
    """Kustomer's schedule cannot be used; the message says why."""


def read_schedule(attributes: Mapping[str, Any], holidays: Iterable[Mapping[str, Any]]) -> OpenHours:
    """Read the open hours of a schedule in Kustomer (fact sheet kustomer.md, section 8.1).

    Raises:
        ScheduleError: no time zone, no hours, or hours of another shape. Guessed hours could mail at night.
    """
    name = attributes.get("timezone")
    zone = zone_named(name) if isinstance(name, str) else None
    if zone is None:
        raise ScheduleError(f"its time zone {name!r} is not known")
    try:
        week = _KUSTOMERS_HOURS.validate_python(attributes.get("hours"))
    except ValidationError:
        raise ScheduleError("its hours cannot be read") from None
    days = tuple(tuple(week.get(str(number)) or ()) for number in _KUSTOMERS_WEEK)
    if not any(days):
        raise ScheduleError("it is never open")
    return OpenHours(days, zone, read_holidays(holidays))


def _in_order(hours: tuple[int, int]) -> tuple[int, int]:
    if hours[0] >= hours[1]:
        raise ValueError("an end must be after its start")
    return hours


_Minute = Annotated[int, Field(ge=0, le=MINUTES_OF_DAY)]
_KUSTOMERS_HOURS: TypeAdapter[dict[str, list[tuple[int, int]] | None]] = TypeAdapter(
    dict[str, list[Annotated[tuple[_Minute, _Minute], AfterValidator(_in_order)]] | None]
)


def read_holidays(records: Iterable[Mapping[str, Any]]) -> frozenset[date]:
    """Read the days of the enabled holidays, start and end included.

    Raises:
        ScheduleError: an enabled holiday without readable dates. Without it, customers would get mail on that day.
    """
    days: set[date] = set()
    for attributes in records:
        if attributes.get("enabled") is False:
            continue
        try:
            start = _DATE.validate_python(str(attributes.get("startDate"))[:10])
            end = _DATE.validate_python(str(attributes.get("endDate") or attributes.get("startDate"))[:10])
        except ValidationError:
            raise ScheduleError(f"its holiday {attributes.get('name')!r:.60} has no readable dates") from None
        length = min((end - start).days, MAX_DAYS_OF_A_HOLIDAY)
        days |= {start + timedelta(days=number) for number in range(length + 1)}
    return frozenset(days)


_DATE: TypeAdapter[date] = TypeAdapter(date)
