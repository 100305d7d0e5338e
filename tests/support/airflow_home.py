"""Airflow's environment for the tests of one process; imported before the first import of airflow."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def prepare() -> None:
    """Point Airflow at an empty home of this process, and at our dags and plugins."""
    home = Path(tempfile.mkdtemp(prefix="airflow-tests-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]  # a developer's own Airflow must not change a result
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "NO_PROXY": "*",
    }
