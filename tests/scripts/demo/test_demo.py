"""The demo, as a person types it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scripts.demo.credentials import CredentialsError, real_connections
from scripts.stack.ports import free_port, require_free
from scripts.stack.processes import bind_to_parent, session_members
from scripts.stack.stack import PARTS
from scripts.stack.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "scripts.demo"]


@pytest.fixture
def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in ("DEMO_PORT", "DEMO_KUSTOMER_PORT", "DEMO_STELLA_PORT")}


@pytest.mark.stack
@pytest.mark.timeout(420)
def test_the_demo_ends_with_status_0_when_everything_arrived_once_and_on_time(ports: dict[str, str]) -> None:
    demo = subprocess.run(
        bind_to_parent(COMMAND),
        env={**os.environ, **ports, "DEMO_EXIT": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for port in ports.values():
        require_free(int(port), "the test", "")


@pytest.mark.stack
@pytest.mark.timeout(300)
@pytest.mark.parametrize("doing", ["starting Airflow", "running tasks"])
def test_a_demo_interrupted_leaves_no_process_and_frees_its_ports(
    ports: dict[str, str], tmp_path: Path, doing: str
) -> None:
    output = tmp_path / "output"
    parts = ROOT / ".run" / f"demo-{ports['DEMO_PORT']}" / "airflow" / "logs" / "parts"
    signs: dict[str, Callable[[], object]] = {
        "starting Airflow": lambda: (parts / "triggerer.log").exists(),
        "running tasks": lambda: re.search(r"run running · found [1-9]", output.read_text()),
    }
    with output.open("w") as file:
        demo = subprocess.Popen(
            bind_to_parent(COMMAND),
            env={**os.environ, **ports},
            cwd=ROOT,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        wait_until(lambda: signs[doing]() or demo.poll() is not None, doing, 180)
        family = psutil.Process(demo.pid).children(recursive=True)
        sessions = {os.getsid(one.pid) for one in family}
        os.killpg(demo.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
        assert demo.wait(timeout=60) == 0, output.read_text()
    finally:
        demo.kill()  # nothing is left to kill unless the test has failed
    assert len(family) > len(PARTS)
    assert session_members(sessions) == []
    assert "Nothing is running any more" in output.read_text()
    for port in ports.values():
        require_free(int(port), "the test", "")


def test_a_taken_port_ends_the_demo_with_a_message_and_status_1(ports: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(ports["DEMO_STELLA_PORT"]))):
        environment = {**os.environ, **ports}
        demo = subprocess.run(bind_to_parent(COMMAND), env=environment, cwd=ROOT, capture_output=True, text=True)
    assert demo.returncode == 1
    assert f"Port {ports['DEMO_STELLA_PORT']}" in demo.stdout
    assert "DEMO_STELLA_PORT=" in demo.stdout


@pytest.mark.parametrize("content", ["", "KUSTOMER_API_KEY=\nSTELLA_CONNECT_API_KEY=\nAIRFLOW_UID=1000\n"])
def test_without_credentials_in_env_the_demo_uses_its_stand_ins(tmp_path: Path, content: str) -> None:
    (tmp_path / ".env").write_text(content)
    assert real_connections(tmp_path / ".env") is None


def test_without_an_env_file_the_demo_uses_its_stand_ins(tmp_path: Path) -> None:
    assert real_connections(tmp_path / ".env") is None


def test_half_the_credentials_are_refused_with_the_names_of_the_others(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KUSTOMER_API_KEY=key\nKUSTOMER_URL=https://example.kustomerapp.com\n")
    with pytest.raises(CredentialsError, match="STELLA_CONNECT_API_KEY, STELLA_CONNECT_API_SECRET"):
        real_connections(tmp_path / ".env")


def test_real_credentials_go_into_the_connections_with_the_vendors_own_addresses(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "KUSTOMER_API_KEY=kkey\nKUSTOMER_URL=https://example.kustomerapp.com\n"
        "STELLA_CONNECT_API_KEY=skey\nSTELLA_CONNECT_API_SECRET='s$ecret'\n"
    )
    links = real_connections(tmp_path / ".env")
    assert links is not None
    assert links["kustomer_default"]["host"] == "https://api.kustomerapp.com"
    assert links["kustomer_default"]["extra"] == {"web_url": "https://example.kustomerapp.com"}
    assert links["stella_connect_default"]["host"] == "https://api.stellaconnect.net"
    assert links["stella_connect_default"]["extra"] == {"api_secret": "s$ecret"}
    assert links["interaction_ledger"]["conn_type"] == "sqlite"
