"""What a check concludes where the sandbox shows only one side: little evidence, and what a person must correct."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.interactions.vendor_check import kustomer, stella_connect
from include.interactions.vendor_check.findings import Light, Unread, Verdict
from include.interactions.vendor_check.kustomer import IdsSeen, KeySeen, Look
from include.interactions.vendor_check.stella_connect import PagesSeen

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key(**changes: Any) -> dict[str, Light]:
    """The light of each line about a key."""
    seen: dict[str, Any] = {
        "host": "acme.api.kustomerapp.com",
        "lacking": (),
        "lacking_for_names": (),
        "organisation_id": "o1",
        "served_id": None,
        "behind": timedelta(0),
    }
    return {line.topic: line.light for line in kustomer.judge_key(KeySeen(**seen | changes))}


@pytest.mark.parametrize(
    ("changes", "topic", "light"),
    [
        ({}, "Roles", Light.GREEN),
        ({"lacking": None}, "Roles", Light.YELLOW),
        ({"lacking": ("org.permission.user.read",)}, "Roles", Light.RED),
        ({"organisation_id": None}, "Organisation", Light.YELLOW),
        ({"served_id": "o1"}, "Organisation", Light.GREEN),
        ({"served_id": "o2"}, "Organisation", Light.RED),
        ({"behind": timedelta(minutes=-3)}, "Clock", Light.RED),
    ],
)
def test_a_key_is_judged(changes: dict[str, Any], topic: str, light: Light) -> None:
    assert key(**changes)[topic] is light


@pytest.mark.parametrize(
    ("why", "verdict"),
    [
        ("HTTP 400", Verdict.FAILS),
        ("HTTP 422", Verdict.FAILS),
        ("HTTP 403", Verdict.UNSEEN),
        ("HTTP 429", Verdict.UNSEEN),
        ("HTTP 500", Verdict.UNSEEN),
        ("no answer", Verdict.UNSEEN),
    ],
)
def test_only_a_definite_refusal_speaks_against_the_criteria(why: str, verdict: Verdict) -> None:
    assert kustomer.judge_criteria({"time": Unread(why), "customers": None}).verdict is verdict


IDS = {"asked": 4, "found": 0, "found_alone": 0, "tried_alone": 3, "with_unknown": True, "unknown": 404}


@pytest.mark.parametrize(
    "finding",
    [
        kustomer.judge_assignees(0, 0, 19),
        kustomer.judge_bounds([True, True, False], [False, False, False]),
        kustomer.judge_customers(4, 0, 7),
        kustomer.judge_users(1, 0, 1, 0),
        kustomer.judge_addresses(0, 4),
        kustomer.judge_ids(IdsSeen(**IDS))[0],
        kustomer.judge_total(None, 500),
        stella_connect.judge_agents(["a@x.com"] * 4, ["b@x.com"])[1],
        stella_connect.judge_agents(["a@x.com"] * 9, [])[1],
        stella_connect.judge_status_filter(["a@x.com"], {"created": ["A@x.com"]}),
        stella_connect.judge_pages(PagesSeen(["a@x.com"], names_a_next_page=True, host="x")),
        stella_connect.judge_order([7], None, []),
        stella_connect.judge_token("", None),
    ],
    ids=lambda finding: finding.reading,
)
def test_too_little_is_no_evidence(finding: Any) -> None:
    assert finding.verdict is Verdict.UNSEEN


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [(NOW - 2 * HOUR, Verdict.FAILS), (NOW + timedelta(seconds=5), Verdict.UNSEEN)],
    ids=["was late", "was imported meanwhile"],
)
def test_an_old_closing_is_late_only_if_it_was_not_changed_since(changed: datetime, verdict: Verdict) -> None:
    first = Look(NOW, {}, {})
    second = Look(NOW + timedelta(seconds=20), {"c": NOW - 2 * HOUR}, {"c": changed})

    assert kustomer.judge_lag(first, second, HOUR)[-1].verdict is verdict


def test_a_new_closing_shows_how_fast_the_search_is() -> None:
    first, at = Look(NOW, {}, {}), NOW + timedelta(seconds=20)
    closed_at = NOW + timedelta(seconds=12)

    line = kustomer.judge_lag(first, Look(at, {"c": closed_at}, {"c": closed_at}), HOUR)[-1]

    assert (line.verdict, "within 8 s" in line.found) == (Verdict.HOLDS, True)


def test_two_looks_that_were_cut_cannot_be_compared() -> None:
    cut = Look(NOW, {}, {}, is_whole=False)
    assert kustomer.judge_lag(cut, cut, HOUR)[-1].verdict is Verdict.UNSEEN
