"""The page's view *Vendors*: the last check."""

import json
from datetime import UTC, datetime
from typing import Any

from include.interactions.vendor_check.findings import Finding, Light, Verdict, judge_reading, report
from include.ledger import Ledger, connect
from include.ledger.reports.vendor_check import VENDOR_CHECK


def test_each_line_has_a_word_beside_its_colour(ledger_url: str, get: Any) -> None:
    ledger = Ledger(connect(ledger_url))
    ledger.enter("interaction_ledger")
    assert "No check yet" in get("vendors").text
    findings = [
        Finding("Kustomer", "Queues", Light.YELLOW, "<b>queue</b> of support@example.com", "Names cannot be read."),
        judge_reading("next_page", Verdict.FAILS, "4 pages, 1 different employee"),
        judge_reading("token", Verdict.HOLDS, "the bare token"),
    ]
    ledger.set_fact(VENDOR_CHECK, json.dumps(report(findings, datetime(2026, 1, 5, tzinfo=UTC))))

    text = " ".join(get("vendors", "viewer").text.split())

    assert "5 Jan 2026, 00:00:00</time>: 1 good, 1 to look at, 1 wrong" in text
    for word, tone in (("good", "good"), ("look at it", "risk"), ("wrong", "bad")):
        assert f'class="badge tone-{tone}"' in text
        assert f"</svg>{word}</span>" in text
    assert "<code>next_page</code> does not hold" in text
    assert "support@example.com" not in text
    assert "&lt;b&gt;queue" in text
    assert "action=check_vendors" not in text
    assert "action=check_vendors" in get("vendors").text
