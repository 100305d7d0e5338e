"""Parts of the stack die or lose the network while interactions wait and while they are released."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from scripts.stack.waiting import wait_until
from tests.containers.world import World

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

PARTS = (
    "airflow-worker",
    "airflow-triggerer",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-apiserver",
    "postgres",
    "redis",
)


def test_a_run_that_nothing_disturbs(world: World) -> None:
    case = world.case()
    case.trigger(first_due_in_seconds=60)
    case.settle()
    case.assert_nothing_lost_doubled_or_early()
    assert case.expected()["difference"]["missing"] == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed_while_windows_wait_and_while_they_are_released(world: World, part: str) -> None:
    case = world.case()
    case.trigger(first_due_in_seconds=120)
    case.wait_for("wait_until_due", "deferred")
    world.stack.kill(part)
    case.wait_for_release()
    world.stack.kill(part)
    world.stack.wait_until_healthy(part)
    case.settle()
    case.assert_nothing_lost_doubled_or_early(killed_workers=2 if part == "airflow-worker" else 0)


@pytest.mark.parametrize(
    ("service", "network"),
    [("airflow-worker", "vendors"), ("airflow-worker", "default"), ("airflow-scheduler", "default")],
)
def test_a_part_loses_the_network_during_a_release(world: World, service: str, network: str) -> None:
    case = world.case()
    case.trigger(first_due_in_seconds=45)
    case.wait_for_release()
    with world.stack.cut_off(service, network):
        wait_until(partition_has_lasted(datetime.now(UTC)), "twenty seconds of partition", 60, every=1)
    world.stack.wait_until_healthy(service)
    case.settle()
    case.assert_nothing_lost_doubled_or_early(killed_workers=1)


def partition_has_lasted(since: datetime) -> Callable[[], bool]:
    """Whether a partition is as long as a real one: longer than connections wait for an answer."""
    return lambda: datetime.now(UTC) - since > timedelta(seconds=20)


def test_down_and_up_again_in_the_middle_of_a_wait(world: World) -> None:
    case = world.case()
    case.trigger(first_due_in_seconds=120)
    case.wait_for("wait_until_due", "deferred")
    services = (
        "airflow-worker",
        "airflow-triggerer",
        "airflow-scheduler",
        "airflow-apiserver",
        "postgres",
        "redis",
    )
    world.stack.compose("stop", "--timeout", "60", *services)
    world.stack.compose("up", "--wait", "--no-build", "--wait-timeout", "600", seconds=700)
    case.settle()
    case.assert_nothing_lost_doubled_or_early()
