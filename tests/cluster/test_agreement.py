"""The cluster without containers is that of docker-compose.yaml: services, environment, mounts."""

import re
from pathlib import Path

import pytest

from scripts.stack import compose
from scripts.stack.cluster import SCALE, Cluster, Vendors
from scripts.stack.postgres import PostgresServer
from scripts.stack.stack import ROOT

OWN_OF_A_MACHINE = {
    "AIRFLOW__CORE__HOSTNAME_CALLABLE",
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__PORT",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
    "AIRFLOW_HOME",
}
"""What containers have by being containers, and processes of one machine must be told."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Cluster:
    """One that is not started: what it would start is asked for."""
    home = tmp_path_factory.mktemp("cluster")
    made = Cluster(home, Vendors("http://127.0.0.1:8101", "http://127.0.0.1:8102"))
    made.postgres = postgres_server  # for its port
    return made


@pytest.fixture(scope="module")
def airflow(cluster: Cluster) -> dict[str, compose.Service]:
    return {name: service for name, service in cluster.services.items() if name.startswith("airflow-")}


def test_every_service_of_airflow_is_run(airflow: dict[str, compose.Service]) -> None:
    assert airflow.keys() == SCALE.keys() | {"airflow-init"}
    assert {name for name, number in SCALE.items() if number > 1} == {
        "airflow-scheduler",
        "airflow-triggerer",
        "airflow-worker",
    }


def test_each_process_has_the_command_of_its_service(cluster: Cluster, airflow: dict[str, compose.Service]) -> None:
    for service in airflow.values():
        words = [word for word in cluster.command(service, "name") if word != "airflow"]
        assert words[: len(service.command)] == list(service.command)


def test_each_process_has_the_environment_of_its_service(
    cluster: Cluster, airflow: dict[str, compose.Service]
) -> None:
    for service in airflow.values():
        given, native = service.environment, cluster.environment(service, "name")
        differing = {key for key, value in given.items() if native[key] != value}
        # Nothing differs but hosts and folders, and nothing of Airflow's is added but what makes it a machine.
        assert {
            key for key in differing if not re.search(r"postgres:|redis:|apiserver:|/opt/|/tmp/", given[key])
        } == set()
        assert {key for key in native.keys() - given.keys() if key.startswith("AIRFLOW")} == OWN_OF_A_MACHINE


def test_no_name_of_a_container_is_left(cluster: Cluster, airflow: dict[str, compose.Service]) -> None:
    for service in airflow.values():
        native = cluster.environment(service, "name")
        for key in service.environment:
            assert not re.search(r"[@/](postgres|redis|airflow-[a-z]+):\d", native[key]), key
            assert "/opt/airflow" not in native[key], key


def test_the_code_is_linked_where_the_containers_have_it_mounted(
    cluster: Cluster, airflow: dict[str, compose.Service]
) -> None:
    cluster._mount()
    for mount in airflow["airflow-worker"].mounts:
        here = cluster.code / Path(mount.target).relative_to(compose.CODE)
        assert here.is_dir()
        assert here.is_symlink() == mount.read_only
        if mount.read_only:
            assert here.resolve() == Path(mount.source).resolve() == ROOT / here.name


def test_what_is_scaled_can_be(airflow: dict[str, compose.Service]) -> None:
    text = compose.FILE.read_text()
    assert "container_name" not in text
    assert "hostname:" not in text
    fixed = [name for name in SCALE if "ports:" in text.split(f"\n  {name}:\n")[1].split("\n\n")[0]]
    assert fixed == ["airflow-apiserver"]
