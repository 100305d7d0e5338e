"""Check both vendors, remember the report in the ledger, and refuse runs that would cost interactions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from include.interactions.settings import Settings
from include.interactions.vendor_check.findings import Finding, Light, complete, refusing_readings, report
from include.interactions.vendor_check.stella_connect import SentInteraction, without_profile
from include.ledger import Ledger
from include.ledger.reports.vendor_check import VENDOR_CHECK, last_check, sent_lately
from plugins.kustomer.looking import KustomerLook
from plugins.pipeline.checking.asking import Asker
from plugins.pipeline.checking.kustomer import KustomerCheck
from plugins.pipeline.checking.stella_connect import DATA_DAYS, StellaConnectCheck
from plugins.pipeline.served_organisation import SERVED
from plugins.runtime.organisations import Organisation
from plugins.vendor_api.complaints import without_personal_data
from plugins.vendor_api.errors import ConfigurationError

MAX_SENT = 500
"""Interactions that are compared with Data Return."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result: a report without personal data, and the agents without an approved profile by address."""

    report: dict[str, Any]
    without_profile: list[str] = field(repr=False)


def check_vendors(ledger: Ledger | None, organisation: Organisation, settings: Settings) -> Checked:
    """Make the calls and judge the answers; the ledger, if there is one, remembers the report.

    Nothing is sent: every call reads.
    """
    asker, now = Asker(), datetime.now(UTC)
    served, sent, earlier = _read_ledger(ledger, now)
    stella = StellaConnectCheck(organisation.stella_connect_connection, asker)
    findings: list[Finding] = []
    agents: list[str] = []
    with KustomerLook(
        organisation.kustomer_connection, requests_per_minute=settings.kustomer_requests_per_minute
    ) as look:
        kustomer = KustomerCheck(look, settings, served, asker)
        try:
            answers = kustomer.begin()
            agents = kustomer.agents
            findings += _check_stella_connect(stella, agents, sent, now)
            if answers:
                asker.wait_for_second_look()
                kustomer.end()
        except ConfigurationError as fault:
            findings.append(_unusable("Kustomer", fault))
            findings += _check_stella_connect(stella, agents, sent, now)
    found = [
        replace(finding, found=without_personal_data(finding.found))
        for finding in complete([*kustomer.findings, *findings], earlier)
    ]
    result = report(found, now)
    if ledger is not None:
        ledger.set_fact(VENDOR_CHECK, json.dumps(result))
    return Checked(result, [] if stella.active is None else without_profile(agents, stella.active))


def refuse_failed_readings(ledger: Ledger, *, task: Literal["release"] | None = None) -> None:
    """Pass unless the last check found a reading that does not hold and would cost interactions in this task.

    Without a task all such readings count.

    Raises:
        ConfigurationError: names the reading, what was found, and how to check again.
    """
    with ledger.read() as connection:
        last = last_check(connection)
    refusing = [(reading, found) for reading, found in refusing_readings(last) if task in (None, reading.refuses)]
    if last is None or not refusing:
        return
    faults = " ".join(f"Reading {reading.id!r}: {found}. {reading.otherwise}" for reading, found in refusing)
    raise ConfigurationError(
        f"The check of both vendors at {last['checked_at']} found readings of their documents that do not hold in "
        f"this organisation. Interactions would be lost, so nothing was read or sent. {faults} Then check again "
        f"with the action “Check both vendors” of interaction_ledger_admin, or with make check."
    )


def describe(result: Mapping[str, Any]) -> str:
    """Sum a report up in one sentence."""
    counts = ", ".join(f"{result['lights'][light]} {light} ({light.word})" for light in Light)
    refusing = ", ".join(reading.id for reading, _ in refusing_readings(result))
    return f"{counts}." + (f" The next run is refused because of: {refusing}." if refusing else "")


def _read_ledger(
    ledger: Ledger | None, now: datetime
) -> tuple[str | None, list[SentInteraction], Mapping[str, Any] | None]:
    if ledger is None:
        return None, [], None
    served = ledger.get_fact(SERVED)
    with ledger.read() as connection:
        sent = sent_lately(connection, now - timedelta(days=DATA_DAYS), MAX_SENT)
        return served.value if served else None, sent, last_check(connection)


def _check_stella_connect(
    stella: StellaConnectCheck, agents: list[str], sent: list[SentInteraction], now: datetime
) -> list[Finding]:
    try:
        stella.check(agents, sent, now)
    except ConfigurationError as fault:
        return [*stella.findings, _unusable("Stella Connect", fault)]
    return stella.findings


def _unusable(vendor: Any, fault: ConfigurationError) -> Finding:
    return Finding(vendor, "Connection", Light.RED, str(fault), "Nothing could be read.")
