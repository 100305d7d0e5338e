"""The trial of docs/operations.md: `docker compose --profile sandbox up --wait`, and surveys arrive."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.stack.waiting import wait_until
from tests.containers.stack import PROJECT, SANDBOX, Stack, inspect, run, started

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]
PARTS = ("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker")


@pytest.fixture(scope="module")
def trial(repository: Path) -> Iterator[Stack]:
    before = volumes()
    with started(repository, profiles=SANDBOX) as stack:
        yield stack
        stack.compose("down")
        named = {f"{PROJECT}_{name}" for name in ("airflow-logs", "postgres-data")}
        assert volumes() - before == named, "an anonymous volume was left behind"


def volumes() -> set[str]:
    """The names of all volumes."""
    return {*run(["docker", "volume", "ls", "--quiet"]).split()}


def test_what_the_sandbox_has_invented_arrives_whole_and_once(trial: Stack) -> None:
    trial.wait_until_all_arrived()
    difference = trial.sandbox("expected")["difference"]
    assert difference == {"missing": [], "unexpected": [], "wrong_content": [], "duplicates": []}


def test_the_page_inside_airflow_answers(trial: Stack) -> None:
    url = f"http://127.0.0.1:{trial.environment['AIRFLOW_PORT']}/interactions/"
    assert "401" in run(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", url])


def test_both_vendors_are_checked_with_the_settings_that_airflow_stores(trial: Stack) -> None:
    command = ("exec", "--no-TTY", "airflow-worker", "python", "-m", "plugins.pipeline.checking", "--json")
    report = json.loads(trial.compose(*command))
    assert report["lights"]["red"] == 0
    assert report["lights"]["green"] > 10


def test_no_password_stands_in_a_process_list(trial: Stack) -> None:
    names = ("AIRFLOW_DB_PASSWORD", "LEDGER_DB_PASSWORD", "REDIS_PASSWORD", "AIRFLOW_ADMIN_PASSWORD")
    secrets = [trial.value(name) for name in names]
    for service in (*PARTS, "postgres", "redis"):
        commands = run(["docker", "top", trial.containers(service)[0], "-o", "pid,args"])
        assert not [secret for secret in secrets if secret in commands], service
        check = inspect(trial.containers(service)[0], "{{json .Config.Healthcheck.Test}}")
        assert not [secret for secret in secrets if secret in check], service


def test_the_sandbox_follows_the_worker_into_its_new_network(trial: Stack) -> None:
    run(["docker", "restart", trial.containers("airflow-worker")[0]])

    def reachable() -> bool:
        command = "curl --silent --fail http://127.0.0.1:8102/_sandbox/health || true"
        return "ok" in trial.compose("exec", "--no-TTY", "airflow-worker", "bash", "-c", command)

    wait_until(reachable, "the sandbox beside the new worker", 180, every=2)
    trial.wait_until_healthy("sandbox")
