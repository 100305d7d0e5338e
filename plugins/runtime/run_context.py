"""A task's context: the settings, the ledger, and the run's interval."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from include.interactions.actor import Actor
from include.interactions.settings import Settings, SettingsError, load_settings
from include.interactions.span import Origin, interval_of
from include.ledger import Ledger, LedgerRefusedError, connect
from plugins.runtime.ledger_address import AddressError, LedgerAddress
from plugins.runtime.organisations import Organisation
from plugins.vendor_api.lookup import find_connection, find_variable

LAST_SETTINGS = "settings"
"""The ledger's memory of the Variable with the settings, as a run last found it."""


def settings_of(context: Context, organisation: Organisation) -> Settings:
    """Return the settings of this run: trigger form, else Variable, else default.

    Raises:
        AirflowFailException: a setting is unknown or not allowed; trying again would not help.
        LookupFailedError: the Variable could not be read; a retry may help.
    """
    return _load(organisation, context["params"])


def remember_settings(ledger: Ledger, organisation: Organisation) -> None:
    """Store the Variable with the settings in the ledger, so that its loss is noticed."""
    if (variable := find_variable(organisation.settings_variable)) is not None:
        ledger.set_fact(LAST_SETTINGS, variable)


def configured_settings(organisation: Organisation) -> Settings:
    """Return the settings without a run's Params: Variable, else default. Raises as `settings_of` does."""
    return _load(organisation, {})


def _load(organisation: Organisation, params: Mapping[str, object]) -> Settings:
    name = organisation.settings_variable
    try:
        variable = find_variable(name)
        if variable is None:
            _check_never_set(organisation)
        return load_settings(None if variable is None else json.loads(variable), params, name)
    except SettingsError as error:
        raise AirflowFailException(str(error)) from None
    except ValueError as error:
        raise AirflowFailException(f"Variable {name!r} is not JSON: {error}") from None


def _check_never_set(organisation: Organisation) -> None:
    """Refuse the defaults where the last run had settings: it might send what the settings forbid."""
    last = open_ledger(organisation).get_fact(LAST_SETTINGS)
    if last is not None and json.loads(last.value):
        name = organisation.settings_variable
        raise SettingsError(
            f"The Variable {name!r} does not exist, but an earlier run used it (changed last at "
            f"{last.changed_at:%Y-%m-%d %H:%M} UTC): {last.value:.500} The defaults are not used in its place. "
            f"Create the Variable again. If you want the defaults, set it to {{}}."
        )


def open_ledger(organisation: Organisation) -> Ledger:
    """Open the organisation's ledger and bring its schema up to date.

    Raises:
        AirflowFailException: see `ledger_address`; or it is another organisation's, or not used any more.
    """
    conn_id = organisation.ledger_connection
    ledger = Ledger(connect(ledger_address(conn_id)))
    try:
        ledger.enter(conn_id)
    except LedgerRefusedError as refusal:
        raise AirflowFailException(str(refusal)) from None
    return ledger


def ledger_address(conn_id: str) -> LedgerAddress:
    """Return where the connection leads: type `sqlite` (host = file) or `postgres`.

    Raises:
        AirflowFailException: the connection does not exist, has another type, or its file cannot be opened.
        LookupFailedError: it could not be read; a retry may help.
    """
    connection = find_connection(conn_id)
    if connection is None:
        raise AirflowFailException(
            f"Connection {conn_id!r} does not exist. Create it: type sqlite (host = the file) or type postgres."
        )
    try:
        return LedgerAddress.of(connection)
    except AddressError as error:
        raise AirflowFailException(str(error)) from None


def origin_of(context: Context) -> Origin:
    """Tell whether the schedule, a backfill or a person started the run."""
    kind = str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type))
    origins: Mapping[str, Origin] = {"scheduled": "schedule", "backfill": "backfill"}
    return origins.get(kind, "manual")


def find_interval(context: Context) -> tuple[datetime, datetime]:
    """Return the closings of this run: [start, end), UTC.

    Raises:
        AirflowFailException: the Params `start` and `end` do not name an interval that can be read.
    """
    run, params = context["dag_run"], context["params"]
    interval = None
    if run.data_interval_start is not None and run.data_interval_end is not None:
        interval = (run.data_interval_start.astimezone(UTC), run.data_interval_end.astimezone(UTC))
    try:
        asked = (_instant("start", params.get("start")), _instant("end", params.get("end")))
        return interval_of(interval, asked, run.run_after.astimezone(UTC))
    except SettingsError as error:
        raise AirflowFailException(str(error)) from None


def actor_of(context: Context) -> Actor:
    """Return the run as the actor that the ledger's events name."""
    run = context["dag_run"]
    return Actor(dag_id=run.dag_id, run_id=run.run_id)


def canonical_line(event: str, facts: Mapping[str, Any]) -> str:
    """Return a log line `event key=value …`, with nested counts flattened and without personal data."""
    return " ".join([event, *(f"{key}={_word(value)}" for key, value in _flat(facts))])


def _word(value: object) -> str:
    """Write the value without spaces or in quotation marks, so that the line can be parsed."""
    text = str(value)
    return text if text and not set(text) & set(' \t\n"=') else json.dumps(text, ensure_ascii=False)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in facts.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat


def _instant(name: str, text: object) -> datetime | None:
    if text is None or text == "":
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise SettingsError(
            f"{name!r} = {text!r:.80} is not a time; allowed: ISO 8601, such as 2026-01-05T10:00:00Z."
        ) from None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
