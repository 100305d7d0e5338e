"""Prepare the settings for judging: read the names and schedules that they mention from Kustomer."""

from collections.abc import Mapping
from datetime import UTC, datetime

from include.interactions.names import Kind, Names
from include.interactions.open_hours import MAX_DAYS_AHEAD, OpenHours
from include.interactions.send_window import ScheduleError, SendWindow, read_holidays, read_schedule
from include.interactions.settings import Settings, SettingsError
from include.interactions.survey_plan import SurveyPlanner, kinds_needed_by
from plugins.kustomer.hook import KustomerHook
from plugins.vendor_api.errors import KeyFault, NotFound

DEFAULT_SCHEDULE = "default"


def make_planner(kustomer: KustomerHook, settings: Settings) -> SurveyPlanner:
    """Return the planner of a run. Without names or schedules in the settings nothing is read.

    Raises:
        SettingsError: a name that Kustomer does not have, or names that cannot be read with this key.
        VendorApiError: Kustomer does not answer.
    """
    hours = _hours(kustomer, settings.send_window) if settings.send_window else None
    if hours and hours.next_open(datetime.now(UTC), hours.zone) is None:
        raise SettingsError(f"send_window: it does not open within {MAX_DAYS_AHEAD} days")
    return SurveyPlanner(settings, Names(_read_lists(kustomer, settings)), hours)


def _read_lists(kustomer: KustomerHook, settings: Settings) -> dict[Kind, Mapping[str, str]]:
    return {kind: read_names(kustomer, kind, place) for kind, place in kinds_needed_by(settings).items()}


def read_names(kustomer: KustomerHook, kind: Kind, place: str) -> Mapping[str, str]:
    """Return Kustomer's names of that kind by id, which that place of the settings needs.

    Raises:
        SettingsError: the key may not read them.
    """
    try:
        return kustomer.list_names(kind)
    except (KeyFault, NotFound) as error:
        words = kind.replace("_", "-")
        raise SettingsError(
            f"{place} needs the names of Kustomer's {words} list, which cannot be read: {error} Or use ids."
        ) from error


def _hours(kustomer: KustomerHook, window: SendWindow) -> OpenHours:
    if not window.needs_kustomer:
        return window.to_open_hours()
    name = window.schedule or DEFAULT_SCHEDULE
    try:
        identity = name if window.schedule is None else _find(kustomer.list_schedules(), name)
        found = kustomer.read_schedule(identity)
        if window.schedule is None:
            return window.to_open_hours(read_holidays(found.holidays))
        return read_schedule(found.attributes, found.holidays)
    except ScheduleError as error:
        raise SettingsError(f"send_window: the schedule {name!r} in Kustomer cannot be used: {error}") from error
    except (KeyFault, NotFound) as error:
        raise SettingsError(
            f"send_window needs the schedule {name!r} in Kustomer, which cannot be read: {error}"
        ) from error


def _find(schedules: Mapping[str, str], name: str) -> str:
    """Return the id of the schedule with this name or id."""
    wanted = name.strip().casefold()
    found = [identity for identity, known in schedules.items() if wanted in (identity.casefold(), known.casefold())]
    if len(found) != 1:
        known = ", ".join(map(repr, schedules.values())) or "none"
        count = "no schedule" if not found else f"{len(found)} schedules"
        raise SettingsError(f"send_window: Kustomer has {count} named {name!r}; its schedules: {known}")
    return found[0]
