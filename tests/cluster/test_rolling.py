"""An upgrade: every part of the cluster is replaced while windows wait; and PostgreSQL restarts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.stack.connections import DAG_ID
from scripts.stack.waiting import wait_until
from tests.support.cluster import (
    IMPATIENT,
    WAIT,
    Trial,
    assert_nothing_lost_or_doubled,
    change,
    display_name,
    trial,
)

pytestmark = [pytest.mark.stack, pytest.mark.postgres, pytest.mark.soak, pytest.mark.timeout(1200)]


UPGRADE = ("airflow-dag-processor", "airflow-scheduler", "airflow-triggerer", "airflow-worker", "airflow-apiserver")
"""The order of docs/operations.md, "Upgrades"."""


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Trial]:
    """With the compose file's own patience: what is being replaced is not to be taken for dead."""
    with trial(tmp_path) as everything:
        yield everything


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path, extra=IMPATIENT) as everything:
        yield everything


def test_every_part_is_replaced_under_a_changed_pipeline(patient: Trial) -> None:
    cluster = patient.cluster
    before = {service: cluster.of(service) for service in cluster.scale}
    assert before.keys() == set(UPGRADE)
    run_id = patient.unpause(first_due_in=150)
    patient.wait_for("deferred", WAIT)
    next_release = change(patient.dags)
    for service in UPGRADE:
        if service == "airflow-worker":  # so far while windows wait, from here on while they are released
            patient.wait_for_release()
        for member in before[service]:
            if service == "airflow-apiserver":
                cluster.end(member.name)  # one address, one server: a short time without
                new = cluster.start(service)
            else:
                new = cluster.start(service)
                cluster.wait_healthy(new.name)
                cluster.end(member.name)
            cluster.wait_healthy(new.name)
    assert patient.api.wait_for_run(DAG_ID, run_id, 900) == "success"
    assert set(patient.tries(run_id).values()) == {1}, "nothing was killed, nothing had given up"
    assert patient.difference["missing"] == []
    assert_nothing_lost_or_doubled(patient, killed_workers=0)
    assert display_name(patient.api) == next_release


def test_a_restart_of_postgresql_during_a_release_loses_nothing(here: Trial) -> None:
    run_id = here.unpause(first_due_in=60)
    here.wait_for_release()
    here.cluster.postgres.stop()
    here.cluster.postgres.start()

    def ended() -> bool:
        here.cluster.revive()  # as containers are started again
        return here.api.run_state(DAG_ID, run_id) in {"success", "failed"}

    wait_until(ended, "the run to end", 900, every=2)
    assert here.clean_up() == "success"
    assert_nothing_lost_or_doubled(here, killed_workers=1)


def test_the_health_checks_of_the_compose_file_see_healthy_parts_and_a_dead_one(here: Trial) -> None:
    cluster = here.cluster
    for service in cluster.scale:
        member = cluster.of(service)[-1]
        assert healthy(here, member.name), service
    dead = cluster.of("airflow-worker")[-1]
    cluster.kill(dead.name)
    cluster.members[dead.name] = dead
    assert not healthy(here, dead.name)


def healthy(here: Trial, name: str) -> bool:
    """Whether the compose file's own check of this member succeeds."""
    member = here.cluster.members[name]
    port = member.environment["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"]
    check = [word.replace(":8080/", f":{here.cluster.port}/") for word in member.service.health_check]
    check = [word.replace(":8974/", f":{port}/") for word in check]
    return subprocess.run(check, env=dict(member.environment), capture_output=True).returncode == 0
