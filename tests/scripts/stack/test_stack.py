"""A stack's start, environment and secrets; how it survives the loss of a part is in tests/stack."""

import os
import socket
from pathlib import Path

import pytest

from scripts.stack.ports import PortTakenError
from scripts.stack.stack import Stack, environment


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
