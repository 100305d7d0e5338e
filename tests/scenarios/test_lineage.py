"""What OpenLineage gets of a run, if its provider is installed. The tasks themselves run here without it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.pipeline.planning import plan_windows
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

ROOT = Path(__file__).parents[2]
PROVIDER = Path(sys.prefix) / "openlineage"
"""Where `make install` puts the provider: only the process of this test imports it."""


@pytest.fixture
def facts(pipeline: Any, hour: Any, close: Any) -> list[dict[str, Any]]:
    """What each operator counted in a run with one closing."""
    close(minute=10)
    context = run_of(hour)
    extract = ExtractClosedConversationsOperator(task_id="extract", organisation=DEFAULT)
    check = CheckAgentProfilesOperator(task_id="check", organisation=DEFAULT)
    extract.execute(context)
    check.execute(context)
    (window, *_) = plan_windows(context, DEFAULT)
    release = ReleaseInteractionsOperator(task_id="release", window=window, organisation=DEFAULT)
    release.execute(context)
    return [extract.facts, check.facts, release.facts]


def rows(data_sets: list[dict[str, Any]]) -> dict[str, int | None]:
    """Return the row count of each data set."""
    counts = {}
    for one in data_sets:
        (statistics,) = (one.get("inputFacets") or one.get("outputFacets")).values()
        counts[f"{one['namespace']}.{one['name']}"] = statistics.get("rowCount")
    return counts


def test_the_provider_gets_data_sets_and_row_counts_of_each_task_and_no_address(facts: Any) -> None:
    assert PROVIDER.is_dir(), "make install"
    asked = subprocess.run(
        [sys.executable, "-m", "tests.support.lineage_process"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PROVIDER}"},
        cwd=ROOT,
        input=json.dumps(facts),
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    extract, check, release = map(json.loads, asked.stdout.splitlines()[-3:])

    assert rows(extract["inputs"]) == {
        "kustomer.conversation": 1,
        "kustomer.customer": None,
        "kustomer.user": None,
    }
    assert rows(extract["outputs"]) == {"interaction_ledger.interaction": 1}
    assert rows(check["outputs"]) == {"interaction_ledger.interaction": 0}
    assert rows(release["outputs"]) == {
        "stella_connect.feedback_request": 1,
        "interaction_ledger.interaction": None,
    }
    assert "@" not in asked.stdout
