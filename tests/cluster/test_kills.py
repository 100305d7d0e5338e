"""A worker, a triggerer and a scheduler of the cluster die during a release; their twins go on."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.stack.connections import DAG_ID
from tests.support.cluster import IMPATIENT, RELEASE, Trial, assert_nothing_lost_or_doubled, trial

pytestmark = [pytest.mark.stack, pytest.mark.postgres, pytest.mark.soak, pytest.mark.timeout(900)]


@dataclass
class Outcome:
    here: Trial
    states: list[str]
    """Of the run in which all this happened, and of the next."""
    tries: int
    """Most of any release."""
    left_open: int
    """Interactions without an end after the first run."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    with trial(tmp_path_factory.mktemp("cluster"), retry_seconds=5, extra=IMPATIENT) as here:
        run_id = here.unpause(first_due_in=60)
        worker = here.wait_for_release()
        for name in (worker, "airflow-triggerer-1", "airflow-scheduler-1"):
            here.cluster.kill(name)
        state = here.api.wait_for_run(DAG_ID, run_id, 400)
        states = here.states()
        left_open = sum(number for name, number in states.items() if name != "sent")
        yield Outcome(here, [state, here.clean_up()], here.tries(run_id)[RELEASE], left_open)


def test_both_runs_end_well(outcome: Outcome) -> None:
    assert outcome.states == ["success", "success"]


def test_the_release_of_the_dead_worker_is_tried_again(outcome: Outcome) -> None:
    assert outcome.tries > 1


def test_nothing_is_lost_and_nothing_sent_twice_or_early(outcome: Outcome) -> None:
    assert_nothing_lost_or_doubled(outcome.here, killed_workers=1)


def test_the_dead_worker_left_something_for_the_next_run(outcome: Outcome) -> None:
    assert outcome.left_open > 0


def test_nothing_is_written_where_containers_cannot(outcome: Outcome) -> None:
    code = outcome.here.cluster.code
    assert {path.name for path in code.iterdir()} == {"dags", "include", "plugins", "logs"}
