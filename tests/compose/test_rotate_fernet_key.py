"""docker/rotate_fernet_key.py against a real database of Airflow, while a task waits."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from scripts.stack.stack import ROOT, environment

Run = Callable[..., subprocess.CompletedProcess[str]]
OLD, NEW = (base64.urlsafe_b64encode(letter * 32).decode() for letter in (b"o", b"n"))
SCRIPT = str(ROOT / "docker" / "rotate_fernet_key.py")
STORE = """
from airflow.models import import_all_models
from airflow.models.connection import Connection
from airflow.models.trigger import Trigger
from airflow.models.variable import Variable
from airflow.utils.session import create_session
import_all_models()
with create_session() as session:
    waiting = Trigger("a.Trigger", {})
    waiting.encrypted_kwargs = '{"moment": 1}'  # as Airflow stores it when a task defers
    session.add_all([Variable("kept", "1.10"), Connection("kept", "http", password="p", extra='{"e": 1}'), waiting])
"""
READ = """
from airflow.models import import_all_models
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import select
import_all_models()
with create_session() as session:
    kept = session.scalars(select(Connection)).one()
    print(session.scalars(select(Variable)).one().val, kept.password, kept.extra)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command in an Airflow whose connection, variable and waiting trigger were stored with the old key."""
    home = tmp_path_factory.mktemp("airflow")

    def run(*command: str, keys: str) -> subprocess.CompletedProcess[str]:
        variables = environment(home, 0, {}) | {"AIRFLOW__CORE__FERNET_KEY": keys}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    assert run("airflow", "db", "migrate", keys=OLD).returncode == os.EX_OK
    assert run(sys.executable, "-c", STORE, keys=OLD).returncode == os.EX_OK
    return run


def test_without_the_old_key_it_fails_and_changes_nothing(run: Run) -> None:
    assert "InvalidToken" in run(sys.executable, SCRIPT, keys=NEW).stderr
    assert '1.10 p {"e": 1}' in run(sys.executable, "-c", READ, keys=OLD).stdout


def test_airflows_own_command_still_fails_while_a_task_waits(run: Run) -> None:
    """Red here: Airflow has mended it, and the script is needed no more."""
    assert "InvalidToken" in run("airflow", "rotate-fernet-key", keys=f"{NEW},{OLD}").stderr


def test_what_is_stored_can_be_read_with_the_new_key_alone(run: Run) -> None:
    done = run(sys.executable, SCRIPT, keys=f"{NEW},{OLD}")
    assert "Encrypted with the first key: 1 connections, 1 variables" in done.stdout
    assert '1.10 p {"e": 1}' in run(sys.executable, "-c", READ, keys=NEW).stdout
