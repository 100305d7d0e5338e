"""`make check` without a running Airflow: what it prints, and its status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins.pipeline.checking.__main__ import DATABASE, main
from tests.scenarios.conftest import *  # noqa: F403 - the fixtures of an installation

pytestmark = pytest.mark.usefixtures("no_waiting")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def size() -> int:
    """So many closings that there is something to find."""
    return 60


@pytest.fixture(autouse=True)
def installed(pipeline: Any, monkeypatch: Any) -> None:
    """Both vendors, and an empty ledger; no database of Airflow."""
    monkeypatch.delenv(DATABASE)


def test_the_table_has_words_beside_its_colours_and_no_address(capsys: Any) -> None:
    status = main([])

    printed = capsys.readouterr().out
    assert status == 0
    assert "green   good        Kustomer: API key accepted" in printed
    assert "[next_page holds]" in printed
    assert "The ledger remembers the result" in printed
    assert "@" not in printed


def test_names_are_printed_if_asked_for(capsys: Any) -> None:
    main(["--names"])
    assert "Agents of recent closings without an approved profile:\nagent" in capsys.readouterr().out

    main(["--names", "--json"])
    assert "@" in json.loads(capsys.readouterr().out)["without_profile"][0]


def test_a_red_finding_is_status_1(sandbox: Any, capsys: Any) -> None:
    sandbox.state.options.require_bearer = True

    assert main([]) == 1
    printed = capsys.readouterr().out
    assert "Correct `jwt_prefix`" in printed
    assert "The next run is refused because of: token." in printed


def test_works_without_a_ledger(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_INTERACTION_LEDGER")
    monkeypatch.delenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT")

    assert main([]) == 0
    assert "The result is not remembered" in capsys.readouterr().out


def test_settings_that_cannot_be_used_are_status_2(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", '{"channel": 7, "no such": 1}')

    assert main([]) == 2
    assert "Nothing was checked" in capsys.readouterr().err


def test_a_connection_that_is_missing_is_a_red_line_and_the_other_vendor_is_checked(
    monkeypatch: Any, capsys: Any
) -> None:
    broken = json.loads(os.environ["AIRFLOW_CONN_KUSTOMER_DEFAULT"]) | {"extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", json.dumps(broken))

    assert main([]) == 1
    printed = capsys.readouterr().out
    assert "red     wrong       Kustomer: Connection" in printed
    assert "Stella Connect: API key and secret accepted" in printed


def test_the_command_prints_nothing_but_the_report(tmp_path: Path) -> None:
    kustomer = json.loads(os.environ["AIRFLOW_CONN_KUSTOMER_DEFAULT"])
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        # Refused at once, so that no time passes between two looks.
        "AIRFLOW_CONN_KUSTOMER_DEFAULT": json.dumps(kustomer | {"password": "wrong"}),
    }
    done = subprocess.run(
        [sys.executable, "-m", "plugins.pipeline.checking", "--json"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["lights"]["red"] == 1
