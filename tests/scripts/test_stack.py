"""Airflow's parts start, work, survive the loss of one, and leave nothing behind."""

import os
import socket
from pathlib import Path

import psutil
import pytest

from scripts.ports import PortTakenError, require_free
from scripts.stack import PARTS, Stack, environment

HELLO_DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def hello():
    @task
    def greet():
        return "hello"
    greet()

hello()
"""


@pytest.mark.stack
def test_a_stack_survives_the_loss_of_a_part_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "hello.py").write_text(HELLO_DAG)
    with Stack(tmp_path / "airflow", {}, dags=tmp_path / "dags") as stack:
        assert all(stack.alive(part) for part in PARTS)
        stack.api.wait_for_dag("hello")
        stack.api.set_paused("hello", paused=False)

        stack.kill("scheduler")  # the workers of its LocalExecutor survive it
        orphans = stack.pids()
        assert not stack.alive("scheduler")
        run_id = stack.api.trigger_run("hello")
        stack.start("scheduler")
        stack.wait_healthy()
        assert stack.api.wait_for_run("hello", run_id) == "success"
        tasks = stack.api.task_instances("hello", run_id)
        assert [(task["task_id"], task["state"]) for task in tasks] == [("greet", "success")]

        everybody = {*orphans, *stack.pids()}
    assert [pid for pid in everybody if lives(pid)] == []
    require_free(stack.port, "the test", "")


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_taken_port_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=str(port)), Stack(tmp_path / "home", {}, api_port=port):
            pass
    assert not (tmp_path / "home").exists()


def test_nothing_of_airflow_is_inherited_from_the_callers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", "https://somebody.example.com")
    env = environment(tmp_path, 1234, {})
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_KUSTOMER_DEFAULT" not in env
    assert env["PATH"].endswith(os.environ["PATH"])


def test_a_stack_finds_its_secrets_again(tmp_path: Path) -> None:
    first, second = environment(tmp_path, 1234, {}), environment(tmp_path, 1234, {})
    names = ["AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"]
    assert [first[name] for name in names] == [second[name] for name in names]
    assert len({first[name] for name in names}) == len(names)
