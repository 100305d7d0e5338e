"""Airflow's four parts on this machine, as child processes: for the demo, for measurements and for tests.

In Python:

    with Stack(home, connections={"kustomer_default": {...}}) as stack:
        run = stack.api.trigger_run("kustomer_stella_connect", {"seconds_until_send": 60})

or `python -m scripts.stack` for a stack that stays until Ctrl-C, with the connections and settings found in
the environment (`AIRFLOW_CONN_*`, `AIRFLOW_VAR_*`).
"""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from scripts.stack import processes
from scripts.stack.api import AirflowApi
from scripts.stack.ports import HOST, free_port, require_free
from scripts.stack.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
SETTINGS_VARIABLE = "kustomer_stella_connect"
SELDOM_PARSED = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600"}
"""For a stack whose DAG files do not change: reading them every 30 seconds takes its share of the cores."""

_HEALTH_KEYS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
# Tasks write their logs to files that the API server reads itself: no log servers, which would each import
# Airflow again and take a port.
_ARGUMENTS = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"]}


def environment(
    home: Path,
    api_port: int,
    connections: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any] | None = None,
    dags: Path = ROOT / "dags",
) -> dict[str, str]:
    """Return the whole environment of a stack that keeps everything it writes in `home`.

    Nothing of Airflow's is inherited from the caller's environment: a stack is the same on every machine.
    Its secrets are made once and kept in `home`: what one start encrypted, the next must be able to read.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    url = f"http://{HOST}:{api_port}"
    airflow = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        # Airflow's parts speak to each other on loopback, where no proxy can reach them.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), HOST])),
        **_folders(home, dags),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(_secret(home, "fernet_key")).decode(),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(api_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": _secret(home, "api_secret_key").hex(),
        "AIRFLOW__API_AUTH__JWT_SECRET": _secret(home, "jwt_secret", length=64).hex(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",  # seconds until a changed DAG file is seen
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    airflow |= {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in connections.items()}
    if settings is not None:
        airflow[f"AIRFLOW_VAR_{SETTINGS_VARIABLE.upper()}"] = json.dumps(settings)
    airflow["no_proxy"] = airflow["NO_PROXY"]
    return inherited | airflow


def _folders(home: Path, dags: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
    }


def _secret(home: Path, name: str, length: int = 32) -> bytes:
    """Return the secret of that name, made at its first use."""
    file = home / "secrets" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_bytes(secrets.token_bytes(length))
    return file.read_bytes()


class Stack(processes.Running):
    """One Airflow: database, API server, scheduler, DAG processor, triggerer.

    As a context manager it is migrated, started and healthy inside, and gone outside. Start it in the main
    thread. `extra` adds to or overrides the environment, e.g. another metadata database.
    """

    def __init__(
        self,
        home: Path,
        connections: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, Any] | None = None,
        *,
        api_port: int = 0,
        dags: Path = ROOT / "dags",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.home = home
        self.logs = home / "logs" / "parts"
        self.port = api_port or free_port()
        require_free(self.port, "Airflow's API server", "api_port=0 takes any free one")
        self.url = f"http://{HOST}:{self.port}"
        self.env = environment(home, self.port, connections, settings, dags) | dict(extra or {})
        self.api = AirflowApi(self.url)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started_at: dict[str, datetime] = {}

    def bring_up(self) -> None:
        """Migrate, start and wait."""
        self.migrate()
        self.start(*PARTS)
        self.wait_healthy()

    def migrate(self) -> None:
        """Create or upgrade the metadata database and the login admin/admin."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({"admin": "admin"}))
        self.run("airflow", "db", "migrate")

    def run(self, *command: str, seconds: float = 120) -> str:
        """Run a command to its end in the stack's environment and return its output.

        Raises:
            RuntimeError: the command failed; with the end of its output.
        """
        try:
            done = subprocess.run(
                command,
                env=self.env,
                cwd=ROOT,
                timeout=seconds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"`{' '.join(command)}` failed:\n{error.stdout[-3000:]}") from error
        return done.stdout

    def start(self, *parts: str) -> None:
        """Start parts together; call `wait_healthy` afterwards."""
        for part in parts:
            if self.alive(part):
                raise ValueError(f"{part} is already running")
            child = processes.start(
                ["airflow", part, *_ARGUMENTS.get(part, [])], self.env, ROOT, self.logs / f"{part}.log"
            )
            self._running[part] = child
            self._started_at[part] = datetime.now(UTC)
            self._everyone.append(child)

    def alive(self, part: str) -> bool:
        """Tell whether the part's first process runs."""
        return part in self._running and self._running[part].poll() is None

    def pid(self, part: str) -> int:
        """Return the process id of a part that was started."""
        return self._running[part].pid

    def wait_healthy(self, seconds: float = 120) -> None:
        """Wait until every started part has reported since its start.

        Raises:
            RuntimeError: a part ended instead; with the end of its log.
            TimeoutError: naming the log folder.
        """
        wait_until(self._healthy, f"Airflow to be healthy (its logs: {self.logs})", seconds)

    def _healthy(self) -> bool:
        for part in self._running:
            if not self.alive(part):
                log = (self.logs / f"{part}.log").read_text(errors="replace")
                raise RuntimeError(f"airflow {part} ended unexpectedly:\n{log[-3000:]}")
        try:
            health = self.api.health()
        except requests.RequestException:
            return False
        for part in self._running.keys() & _HEALTH_KEYS.keys():
            key = _HEALTH_KEYS[part]
            heartbeat = health[key][f"latest_{key}_heartbeat"]
            if health[key]["status"] != "healthy" or not heartbeat:
                return False
            if datetime.fromisoformat(heartbeat) < self._started_at[part]:
                return False  # its predecessor's
        return True

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a part's first process alone and wait for its end; its own children may survive it."""
        child = self._running.pop(part)
        child.send_signal(number)
        child.wait(timeout=60)

    def end(self, part: str) -> None:
        """End a part and everything it started."""
        processes.end([self._running.pop(part)])

    def stop(self) -> None:
        """End everything that was started here."""
        self.api.close()
        super().stop()
        self._running.clear()
