"""The audit never says "nothing known" of what it has not looked at."""

import pytest

from scripts.audit import UNCHECKED, VULNERABLE, verdict

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found"}
BROKEN = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("found", "passes", "status", "says"),
    [
        ([CLEAN], False, 0, "1 packages checked: no known vulnerability"),
        ([CLEAN, SKIPPED], False, UNCHECKED, "NOT CHECKED: 1 of 2"),
        ([CLEAN, SKIPPED], True, 0, "NOT CHECKED: 1 of 2"),
        ([], False, UNCHECKED, "NOT CHECKED"),
        ([SKIPPED, BROKEN], True, VULNERABLE, "c 2: PYSEC-1, fixed in 2.1"),
    ],
)
def test_the_status_and_the_words_agree(found, passes, status, says):
    got, words = verdict(found, unchecked_is_ok=passes)

    assert got == status
    assert says in words
    assert ("no known vulnerability" in words) == (found == [CLEAN])
