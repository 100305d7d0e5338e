"""The maintenance commands read a connection as a task does."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from airflow.sdk import Connection

from include.ledger.maintenance import command_line
from plugins.runtime.ledger_naming import find_ledger

main = partial(command_line.main, find=find_ledger)


def test_a_ledger_is_named_by_its_airflow_connection(empty_ledger_url, monkeypatch, capsys):
    file = empty_ledger_url.removeprefix("sqlite:///")
    monkeypatch.setenv("AIRFLOW_CONN_INTERACTION_LEDGER", json.dumps({"conn_type": "sqlite", "host": file}))

    assert main(["migrate", "interaction_ledger"]) == 0

    assert "(sqlite) is up to date" in capsys.readouterr().out
    assert Path(file).is_file()


@pytest.mark.postgres
@pytest.mark.parametrize("spelled_as", ["name", "URI", "JSON"])
def test_the_connections_extras_hold_for_the_commands_too(postgres_url, monkeypatch, capsys, spelled_as):
    uri = postgres_url.replace("postgresql+psycopg", "postgres") + "?sslmode=verify-full"
    monkeypatch.setenv("AIRFLOW_CONN_INTERACTION_LEDGER", uri)
    given = {"name": "interaction_ledger", "URI": uri, "JSON": Connection.from_uri(uri, conn_id="x").as_json()}

    assert main(["migrate", given[spelled_as]]) == 1

    assert "server does not support SSL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ledger", "told"),
    [
        ("no_such_connection", "Airflow knows no connection 'no_such_connection' here"),
        ("mysql://somebody:hush-hush@host/ledger", "has type 'mysql'"),
        ("a://b:hush-hush@c://d://e", "URI or JSON cannot be read"),
        ("sqlite:////nonexistent/dir/ledger.db", "there is no folder '/nonexistent/dir'"),
        ('{"conn_type": "postgres", "password": "hush-hush"', "URI or JSON cannot be read"),
    ],
)
def test_what_leads_to_no_ledger_is_named_and_shows_no_password(capsys, ledger, told):
    assert main(["migrate", ledger]) == 1

    said = capsys.readouterr().err
    assert told in said
    assert "hush-hush" not in said


def test_the_program_takes_the_connections_name(empty_ledger_url, monkeypatch):
    file = empty_ledger_url.removeprefix("sqlite:///")
    monkeypatch.setenv("AIRFLOW_CONN_INTERACTION_LEDGER", json.dumps({"conn_type": "sqlite", "host": file}))

    done = subprocess.run(
        [sys.executable, "-m", "include.ledger", "migrate", "interaction_ledger"], capture_output=True, text=True
    )

    assert (done.returncode, "up to date" in done.stdout) == (0, True), done.stderr
