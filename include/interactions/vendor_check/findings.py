"""A finding of *Check both vendors*, and the report of all findings as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from include.interactions.vendor_check.readings import READINGS, Reading, Vendor


class Light(StrEnum):
    """How good a finding is; each has its word, because colours alone are not enough."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"

    @property
    def word(self) -> str:
        """Return the word that stands beside the colour."""
        return {"green": "good", "yellow": "look at it", "red": "wrong"}[self]


class Verdict(StrEnum):
    """What was seen of a reading."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNSEEN = "cannot be seen here"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `found` and `meaning` name no person and hold no address."""

    vendor: Vendor
    topic: str
    light: Light
    found: str
    meaning: str
    reading: str | None = None
    """Id of the reading that it judges."""
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A call that gave no usable answer, and why: `HTTP 403`."""

    why: str


def judge_reading(reading_id: str, verdict: Verdict, found: str) -> Finding:
    """Return the line of a reading."""
    reading = READINGS[reading_id]
    match verdict:
        case Verdict.HOLDS:
            light, meaning = Light.GREEN, "Nothing to do."
        case Verdict.UNSEEN:
            light, meaning = Light.YELLOW, "Check again when there is more to see."
        case Verdict.FAILS:
            light, meaning = (Light.RED if reading.refuses else Light.YELLOW), reading.otherwise
    return Finding(reading.vendor, reading.question, light, found, meaning, reading_id, verdict)


def complete(findings: Iterable[Finding], earlier: Mapping[str, Any] | None) -> list[Finding]:
    """Return a line for every reading; one that failed in the earlier report and cannot be seen now still fails."""
    lines = list(findings)
    judged = {finding.reading for finding in lines}
    lines += [
        judge_reading(reading, Verdict.UNSEEN, "not looked at") for reading in READINGS if reading not in judged
    ]
    failed = {row["reading"]: row["found"] for row in rows_of(earlier) if row["verdict"] == Verdict.FAILS}
    return [_still_failing(finding, failed) for finding in lines]


def _still_failing(line: Finding, failed: Mapping[str, str]) -> Finding:
    if line.reading is None or line.reading not in failed or line.verdict is not Verdict.UNSEEN:
        return line
    return judge_reading(line.reading, Verdict.FAILS, failed[line.reading].removesuffix(_STILL) + _STILL)


_STILL = " (seen by an earlier check; it cannot be seen now)"


def report(findings: Sequence[Finding], at: datetime) -> dict[str, Any]:
    """Return all findings as plain data: for the ledger, the page and JSON."""
    return {
        "checked_at": at.isoformat(timespec="seconds"),
        "lights": {light: sum(finding.light is light for finding in findings) for light in Light},
        "findings": [asdict(finding) | {"word": finding.light.word} for finding in findings],
    }


def rows_of(report_: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the lines of a report; none if there is no report."""
    return list(report_["findings"]) if report_ else []


def refusing_readings(report_: Mapping[str, Any] | None) -> list[tuple[Reading, str]]:
    """Return the readings that do not hold and would cost interactions, each with what was found."""
    return [
        (reading, row["found"])
        for row in rows_of(report_)
        if row["verdict"] == Verdict.FAILS and (reading := READINGS.get(row["reading"])) is not None
        if reading.refuses
    ]
