"""What *Check both vendors* concludes about Kustomer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from include.interactions.vendor_check.findings import Finding, Light, Unread, Verdict, judge_reading

MIN_EVIDENCE = 5
"""Fewer records than this are no evidence against a reading."""
MIN_CLOSINGS = 20
"""The same for closings without an agent, because at night perhaps only automations close."""
MAX_ODD = 1
"""So many records may have changed while the check looked at them."""
MAX_CLOCK_DIFFERENCE = timedelta(minutes=2)
REGIONS = {"api.kustomerapp.com": "US", "api.prod2.kustomerapp.com": "EU", "api.prod4.kustomerapp.com": "India"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySeen:
    """What Kustomer says about the key."""

    host: str
    lacking: tuple[str, ...] | None
    """Roles that the pipeline needs and the key lacks; None if Kustomer did not list the roles."""
    lacking_for_names: tuple[str, ...]
    """The same for settings with names or a schedule."""
    organisation_id: str | None
    served_id: str | None
    """The organisation that the ledger serves; None if it serves none yet."""
    behind: timedelta | None
    """How far this machine's clock is behind Kustomer's."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the newest closings: id and time of each, in the order of the rows."""

    at: datetime
    closings: Mapping[str, datetime]
    changed: Mapping[str, datetime]
    """When each conversation was changed last."""
    is_whole: bool = True
    """Whether all rows came, not only the first pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdsSeen:
    """How reads by id were answered."""

    asked: int
    found: int
    """Of the conversations that the search had just shown, asked for as one list."""
    found_alone: int | None
    """Of those that the list left out, read alone; None if none was tried."""
    tried_alone: int
    with_unknown: bool | Unread
    """Whether a list with one known and one unknown id gave the known one."""
    unknown: int | None
    """HTTP status of the answer to an unknown id."""


def judge_key(key: KeySeen) -> list[Finding]:
    """Judge the key, its roles, its organisation, the region and the clock."""
    findings = [_finding("Region", Light.GREEN, f"{region_of(key.host)} ({key.host})", "Nothing to do.")]
    if key.lacking is None:
        findings.append(_finding("Roles", Light.YELLOW, "Kustomer did not list them", "They could not be checked."))
    elif key.lacking:
        need = "Create a new key: Kustomer cannot change the roles of a key."
        findings.append(_finding("Roles", Light.RED, f"missing: {', '.join(key.lacking)}", need))
    else:
        further = ", ".join(key.lacking_for_names)
        meaning = f"Settings with names or a schedule also need {further}." if further else "Nothing to do."
        findings.append(_finding("Roles", Light.GREEN, "all that every run needs", meaning))
    findings.append(_judge_organisation(key))
    if key.behind is not None:
        seconds = round(abs(key.behind).total_seconds())
        light = Light.GREEN if abs(key.behind) <= MAX_CLOCK_DIFFERENCE else Light.RED
        meaning = "Nothing to do." if light is Light.GREEN else "Correct this machine's clock."
        findings.append(_finding("Clock", light, f"{seconds} s from Kustomer's", meaning))
    return findings


def _judge_organisation(key: KeySeen) -> Finding:
    if key.organisation_id is None:
        meaning = "The pipeline would not notice a key of another organisation."
        return _finding("Organisation", Light.YELLOW, "Kustomer did not say", meaning)
    if key.served_id not in (None, key.organisation_id):
        found = f"{key.organisation_id}; the ledger serves {key.served_id}"
        return _finding(
            "Organisation", Light.RED, found, "Every run is refused. Put the right key into the connection."
        )
    return _finding("Organisation", Light.GREEN, key.organisation_id, "Nothing to do.")


def region_of(host: str) -> str:
    """Name the region that a host belongs to.

    >>> region_of("api.prod2.kustomerapp.com"), region_of("acme.api.kustomerapp.com"), region_of("127.0.0.1")
    ('EU', "the organisation's own", 'unknown')
    """
    if host in REGIONS:
        return REGIONS[host]
    return "the organisation's own" if host.endswith(".api.kustomerapp.com") else "unknown"


def judge_criteria(answers: Mapping[str, Unread | None]) -> Finding:
    """Judge how each kind of search was answered: None if it was accepted."""
    refused = {name: answer.why for name, answer in answers.items() if answer is not None}
    if not refused:
        return judge_reading("search_criteria", Verdict.HOLDS, f"accepted: {', '.join(answers)}")
    found = "; ".join(f"{name}: {why}" for name, why in refused.items())
    # No answer, 429 and 5xx say nothing about the criteria; a missing role has a separate line.
    definite = any(why.startswith("HTTP 4") and why[-2:] not in ("01", "03", "29") for why in refused.values())
    return judge_reading("search_criteria", Verdict.FAILS if definite else Verdict.UNSEEN, found)


def judge_bounds(found_inside: Sequence[bool], found_after: Sequence[bool]) -> Finding:
    """Judge searches for single closings: in their own millisecond, and in the one after it."""
    if not found_inside:
        return judge_reading("search_bounds", Verdict.UNSEEN, "no closing to look for")
    number = len(found_inside)
    found = f"{sum(found_inside)} of {number} in their own millisecond, {sum(found_after)} in the next one"
    odd = found_inside.count(False) + found_after.count(True)
    verdict = Verdict.HOLDS if not odd else Verdict.FAILS if odd > MAX_ODD else Verdict.UNSEEN
    return judge_reading("search_bounds", verdict, found)


def judge_total(total: int | None, rows: int) -> Finding:
    """Compare the total with the rows that came; None if there were too many rows to read all."""
    if not total:
        return judge_reading(
            "search_total", Verdict.UNSEEN, "no closings" if total == 0 else "too many closings to count"
        )
    verdict = Verdict.HOLDS if total == rows else Verdict.FAILS
    return judge_reading("search_total", verdict, f"{total} counted, {rows} came")


def judge_lag(first: Look, second: Look, overlap: timedelta) -> list[Finding]:
    """Judge two looks at the same closings: what only the second one shows was late."""
    newest = max(second.closings.values(), default=None)
    age = f"{_duration(second.at - newest)} old" if newest else "none in this span"
    findings = [
        _finding("How old is the newest closing?", Light.GREEN, age, "Compare it with Kustomer's own lists.")
    ]
    late = [
        first.at - closed_at
        for id_, closed_at in second.closings.items()
        # What was changed after the first look (imported, restored) is no late row.
        if first.closings.get(id_) != closed_at and max(closed_at, second.changed.get(id_, second.at)) < first.at
    ]
    if not (first.is_whole and second.is_whole):
        return [*findings, judge_reading("search_lag", Verdict.UNSEEN, "too many closings to compare two looks")]
    if late:
        verdict = Verdict.FAILS if max(late) > overlap else Verdict.HOLDS
        found = f"{len(late)} closings appeared late, up to {_duration(max(late))} or more after they were closed"
        return [*findings, judge_reading("search_lag", verdict, found)]
    new = [second.at - closed_at for closed_at in second.closings.values() if closed_at >= first.at]
    if new:
        return [
            *findings,
            judge_reading("search_lag", Verdict.HOLDS, f"a closing appeared within {_duration(min(new))}"),
        ]
    return [*findings, judge_reading("search_lag", Verdict.UNSEEN, "nothing was closed between the two looks")]


def judge_order(updated: Sequence[datetime]) -> Finding:
    """Say in which order the rows come; we ask for the oldest change first and rely on nothing."""
    steps = [earlier <= later for earlier, later in pairwise(updated)]
    if not steps:
        found = "too few rows"
    elif all(steps):
        found = "as asked, the oldest change first"
    else:
        found = "in the opposite order" if not any(steps) else f"not as asked: {steps.count(False)} steps back"
    return _finding("In which order do rows come?", Light.GREEN, found, "Nothing relies on it.")


def judge_assignees(at_closing: int, now: int, closings: int) -> Finding:
    """Judge where conversations name their agents."""
    found = f"{at_closing} of {closings} in lastDone, {now} in assignedUsers"
    if at_closing or now:
        return judge_reading("assignees", Verdict.HOLDS, found)
    return judge_reading("assignees", Verdict.FAILS if closings >= MIN_CLOSINGS else Verdict.UNSEEN, found)


def judge_merged(known: int, unknown_names: Collection[str], survivors: int) -> Finding:
    """Judge the marks of merged conversations."""
    if unknown_names:
        found = f"unknown marks: {', '.join(sorted(unknown_names))}"
        return judge_reading("merged", Verdict.FAILS, found)
    found = f"{known} merged away, {survivors} that others were merged into"
    return judge_reading("merged", Verdict.HOLDS if known else Verdict.UNSEEN, found)


def judge_ids(seen: IdsSeen) -> list[Finding]:
    """Judge reads of conversations by id."""
    found = f"{seen.found} of {seen.asked} came"
    if seen.found_alone is not None:
        found += f"; of the others, {seen.found_alone} of {seen.tried_alone} came when read alone"
    gone = seen.found_alone == 0 and not seen.found and seen.asked >= MIN_EVIDENCE
    by_id = Verdict.FAILS if gone else Verdict.HOLDS if seen.found or seen.found_alone else Verdict.UNSEEN
    is_whole = seen.found == seen.asked and seen.with_unknown is True
    if isinstance(seen.with_unknown, Unread):
        with_unknown = seen.with_unknown.why
    else:
        with_unknown = "came" if seen.with_unknown else "did not come"
    whole = Verdict.UNSEEN if seen.asked < 2 else Verdict.HOLDS if is_whole else Verdict.FAILS
    list_found = f"{seen.found} of {seen.asked} came; beside an unknown id the known one: {with_unknown}"
    status = "no answer" if seen.unknown is None else f"HTTP {seen.unknown}"
    unknown = Verdict.UNSEEN if seen.unknown is None else Verdict.HOLDS if seen.unknown == 404 else Verdict.FAILS
    return [
        judge_reading("found_by_id", by_id, found),
        judge_reading("list_of_ids", whole, list_found),
        judge_reading("unknown_id", unknown, status),
    ]


def judge_deleted(answers: Sequence[str]) -> Finding:
    """Judge how deleted conversations are answered by id: `404`, `marked`, `unmarked` or a fault."""
    if not answers:
        return judge_reading("deleted", Verdict.UNSEEN, "no deleted conversation was found")
    found = ", ".join(f"{answers.count(answer)} × {answer}" for answer in sorted(set(answers)))
    verdict = Verdict.HOLDS if set(answers) <= {"404", "marked"} else Verdict.FAILS
    return judge_reading("deleted", verdict, found)


def judge_customers(wanted: int, found: int, others: int) -> Finding:
    """Judge the search for the customers of conversations."""
    if not wanted:
        return judge_reading("customer_search", Verdict.UNSEEN, "no customer to look for")
    verdict = Verdict.HOLDS if found else Verdict.FAILS if wanted >= MIN_EVIDENCE else Verdict.UNSEEN
    return judge_reading("customer_search", verdict, f"{found} of {wanted} customers found, and {others} others")


def judge_users(default: int, deactivated: int, agents: int, found: int) -> Finding:
    """Judge the lists of users and whether they name the agents of the closings."""
    text = (
        f"{default} users in the default list, {deactivated} more in that of deactivated users; "
        f"{found} of {agents} agents found"
    )
    if found or not agents:
        return judge_reading("users", Verdict.HOLDS if found else Verdict.UNSEEN, text)
    return judge_reading("users", Verdict.FAILS if agents >= 2 else Verdict.UNSEEN, text)


def judge_addresses(readable: int, masked: int) -> Finding:
    """Judge whether the addresses of customers can be read."""
    found = f"{readable} customers with a readable address, {masked} with masked ones only"
    if readable:
        return judge_reading("addresses", Verdict.HOLDS, found)
    return judge_reading("addresses", Verdict.FAILS if masked >= MIN_EVIDENCE else Verdict.UNSEEN, found)


def judge_opt_outs(attribute: str, read: int, masked: int) -> Finding:
    """Judge whether the do-not-send attribute can be read."""
    found = f"{attribute}: {read} readable, {masked} masked"
    if masked:
        return judge_reading("opt_outs", Verdict.FAILS, found)
    return judge_reading("opt_outs", Verdict.HOLDS if read else Verdict.UNSEEN, found)


def _finding(topic: str, light: Light, found: str, meaning: str) -> Finding:
    return Finding("Kustomer", topic, light, found, meaning)


def _duration(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
