"""What OpenLineage is told of a run, if its provider is installed; without it nothing is imported."""

import sys
from importlib.util import find_spec
from typing import Any

from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.pipeline.planning import plan_windows
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of


def has_provider() -> bool:
    try:
        return find_spec("airflow.providers.openlineage.extractors") is not None
    except ModuleNotFoundError:
        return False


def rows(data_sets: list[Any], facets: str, statistics: str) -> dict[str, int | None]:
    return {f"{one.namespace}.{one.name}": getattr(one, facets)[statistics].rowCount for one in data_sets}


def test_each_task_tells_its_data_sets_and_row_counts_and_no_address(pipeline: Any, hour: Any, close: Any) -> None:
    close(minute=10)
    context, imported_before = run_of(hour), set(sys.modules)
    extract = ExtractClosedConversationsOperator(task_id="extract", organisation=DEFAULT)
    check = CheckAgentProfilesOperator(task_id="check", organisation=DEFAULT)
    extract.execute(context)
    check.execute(context)
    (window, *_) = plan_windows(context, DEFAULT)
    release = ReleaseInteractionsOperator(task_id="release", window=window, organisation=DEFAULT)
    release.execute(context)
    assert (extract.facts["found"], check.facts["agents"], release.facts["sent"]) == (1, 1, 1)
    if not has_provider():
        assert not any("openlineage" in name for name in sys.modules.keys() - imported_before)
        return

    told = [task.get_openlineage_facets_on_complete(None) for task in (extract, check, release)]
    assert rows(told[0].inputs, "inputFacets", "inputStatistics")["kustomer.conversation"] == 1
    assert rows(told[0].outputs, "outputFacets", "outputStatistics") == {"interaction_ledger.interaction": 1}
    assert rows(told[1].outputs, "outputFacets", "outputStatistics") == {"interaction_ledger.interaction": 0}
    assert rows(told[2].outputs, "outputFacets", "outputStatistics")["stella_connect.feedback_request"] == 1
    assert "@" not in "".join(f"{one.inputs} {one.outputs}" for one in told)
