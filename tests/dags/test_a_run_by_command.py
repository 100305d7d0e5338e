"""The pipeline without the Makefile: `airflow dags test`, and all it needs in the environment."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.utils.db import initdb

from include.sandbox import generate, start
from include.sandbox.clock import to_ms
from include.sandbox.control import expectation
from include.sandbox.model import DO_NOT_SEND
from tests.support.pipeline import environment

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
SETTINGS = {
    "seconds_until_send": 60,
    "do_not_send_attribute": DO_NOT_SEND,
    "kustomer_requests_per_minute": 100_000,
}


@pytest.fixture
def airflow_home(tmp_path: Path) -> Path:
    """A home with a migrated database: a copy of this process's, for `airflow db migrate` takes thrice as long."""
    initdb()
    with (
        closing(sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")) as migrated,
        closing(sqlite3.connect(tmp_path / "airflow.db")) as copy,
    ):
        migrated.backup(copy)
    return tmp_path


@pytest.mark.timeout(180)
def test_an_hour_named_by_its_end_arrives_whole_and_once(airflow_home: Path) -> None:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR
    organisation = generate(seed=7, conversations=60, agents=12, closed_from=end - HOUR, closed_to=end)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with start(organisation) as sandbox:
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__CORE__DAGS_FOLDER": "dags",
            "AIRFLOW__CORE__PLUGINS_FOLDER": "plugins",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        ledger = f"sqlite:///{airflow_home}/ledger.db"
        run = subprocess.run(
            ["airflow", "dags", "test", "kustomer_stella_connect", end.isoformat()],
            env=inherited | own | environment(sandbox.kustomer_url, sandbox.stella_url, ledger, SETTINGS),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        expected = expectation(sandbox.state, to_ms(end - HOUR), to_ms(end))

    assert run.returncode == 0, run.stdout
    assert "state=success" in run.stdout
    assert not any(expected["difference"].values()), expected["difference"]
    assert len(sandbox.state.received) == len(expected["sent"]) > 30
