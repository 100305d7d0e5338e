"""docker/healthcheck.py against a real Redis."""

import importlib.util
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scripts.stack.ports import free_port
from scripts.stack.waiting import wait_until

FILE = Path(__file__).parents[2] / "docker" / "healthcheck.py"


@pytest.fixture
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def redis_port(monkeypatch: Any) -> Iterator[int]:
    port = free_port()
    with subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--requirepass", "word"], stdout=subprocess.DEVNULL
    ) as server:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, "Redis", 30)
        monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", f"redis://:word@127.0.0.1:{port}/0")
        yield port
        server.terminate()


def test_a_worker_that_speaks_to_redis_is_healthy(healthcheck: ModuleType, redis_port: int) -> None:
    assert "not connected" in healthcheck.main("worker")
    with socket.create_connection(("127.0.0.1", redis_port)):
        assert healthcheck.main("worker") is None


def test_a_worker_that_has_long_been_silent_is_not(
    healthcheck: ModuleType, redis_port: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(healthcheck, "MAX_HEARTBEAT_AGE_SECONDS", -1)
    with socket.create_connection(("127.0.0.1", redis_port)):
        assert "last spoke to Redis" in healthcheck.main("worker")


def test_a_wrong_password_is_named(healthcheck: ModuleType, redis_port: int, monkeypatch: Any) -> None:
    monkeypatch.setenv("AIRFLOW__CELERY__BROKER_URL", f"redis://:other@127.0.0.1:{redis_port}/0")
    assert "refuses" in healthcheck.main("worker")
