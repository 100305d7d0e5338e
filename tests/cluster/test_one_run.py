"""One run of the pipeline through the whole cluster, in which a worker dies. What is longer is in `make soak`."""

from datetime import timedelta
from pathlib import Path

import pytest

from scripts.stack.connections import DAG_ID
from tests.support.cluster import DEAD_TASKS_SOON, RELEASE, assert_nothing_lost_or_doubled, trial

FIRST_POSTS_PASS_THEN_WAIT = {
    "kind": "slow",
    "match": {"method": "POST", "path_prefix": "/v1/requests"},
    "after": 8,
    "seconds": 15,
}

pytestmark = [pytest.mark.stack, pytest.mark.postgres, pytest.mark.timeout(900)]


def test_a_worker_dies_while_it_sends_and_nothing_is_lost_doubled_or_early(tmp_path: Path) -> None:
    with trial(tmp_path, 90, spread=timedelta(seconds=20), retry_seconds=5, extra=DEAD_TASKS_SOON) as here:
        # However late the kill comes: no release can have ended before it.
        here.sandbox.state.faults.replace([FIRST_POSTS_PASS_THEN_WAIT])
        run_id = here.unpause(first_due_in=30)
        here.cluster.kill(here.wait_for_release())
        here.sandbox.state.faults.replace([])
        assert here.api.wait_for_run(DAG_ID, run_id, 600) == "success"
        assert here.tries(run_id)[RELEASE] > 1, "the dead worker's release was tried again"
        assert here.clean_up() == "success"
        assert_nothing_lost_or_doubled(here, killed_workers=1)
