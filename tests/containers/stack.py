"""The stack of docker-compose.yaml as containers: started from a copy of the repository, as the docs say."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.stack.api import AirflowApi
from scripts.stack.connections import DAG_ID
from scripts.stack.ports import free_port
from scripts.stack.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "kustomer-stella-e2e"
VENDORS = "tests/containers/compose.vendors.yaml"
TRIAL = {
    "KUSTOMER_API_KEY": "kustomer-sandbox-key",
    "KUSTOMER_API_URL": "http://127.0.0.1:8101",
    "KUSTOMER_URL": "http://127.0.0.1:8101",
    "STELLA_CONNECT_API_KEY": "stella-sandbox-key",
    "STELLA_CONNECT_API_SECRET": "stella-sandbox-secret-of-33-bytes",
    "STELLA_CONNECT_API_URL": "http://127.0.0.1:8102",
}
"""What .env.example names for a trial without accounts."""
UP_SECONDS = 900


@dataclass
class Stack:
    """A running stack; every method raises `AssertionError` with docker's words if docker refuses."""

    folder: Path
    """The copy of the repository."""
    files: Sequence[str] = ("docker-compose.yaml",)
    profiles: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, seconds: float = 300) -> str:
        """Run `docker compose ...`; returns what it printed."""
        command = ["docker", "compose", "--project-name", PROJECT]
        for name in self.files:
            command += ["--file", str(self.folder / name)]
        for name in self.profiles:
            command += ["--profile", name]
        return run([*command, "--project-directory", str(self.folder), *arguments], self.environment, seconds)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, running or not."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def kill(self, service: str) -> None:
        """kill -9 the first container of a service; after `docker kill` Docker would not start it again."""
        pid = inspect(self.containers(service)[0], "{{.State.Pid}}")
        run(["kill", "-9", pid])

    def restarts(self, service: str) -> int:
        """How often Docker has started the first container of a service again."""
        return int(inspect(self.containers(service)[0], "{{.RestartCount}}"))

    @contextmanager
    def cut_off(self, service: str, network: str = "default") -> Iterator[None]:
        """Take a service off a network for the length of the block; the name it answers to comes back with it."""
        container, name = self.containers(service)[0], f"{PROJECT}_{network}"
        run(["docker", "network", "disconnect", name, container])
        try:
            yield
        finally:
            run(["docker", "network", "connect", "--alias", service, name, container])

    def wait_until_healthy(self, service: str, seconds: float = 300) -> None:
        """Wait until every container of a service is healthy."""

        def healthy() -> bool:
            found = [inspect(one, "{{.State.Health.Status}}") for one in self.containers(service)]
            return bool(found) and set(found) == {"healthy"}

        wait_until(healthy, f"{service} to be healthy", seconds, every=2)

    def sandbox(self, path: str) -> Any:
        """GET one of the sandbox's own pages."""
        if "sandbox" in self.profiles:
            url = f"http://127.0.0.1:8102/_sandbox/{path}"
            return json.loads(self.compose("exec", "--no-TTY", "sandbox", "curl", "--silent", "--fail", url))
        address = self.compose("port", "vendors", "8102").strip()
        with urllib.request.urlopen(f"http://{address}/_sandbox/{path}", timeout=30) as answer:
            return json.load(answer)

    def post_to_sandbox(self, path: str, body: Any) -> None:
        """POST to one of the sandbox's own pages."""
        address = self.compose("port", "vendors", "8102").strip()
        request = urllib.request.Request(
            f"http://{address}/_sandbox/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()

    def accepted(self) -> int:
        """How many interactions Stella Connect has taken."""
        count: int = self.sandbox("received?limit=0")["counts"]["accepted"]
        return count

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API, logged in as the first administrator."""
        return AirflowApi(
            f"http://127.0.0.1:{self.environment['AIRFLOW_PORT']}", "admin", self.value("AIRFLOW_ADMIN_PASSWORD")
        )

    def value(self, name: str) -> str:
        """What .env says."""
        lines = (self.folder / ".env").read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))

    def ledger(self, query: str) -> list[list[str]]:
        """Rows of a query to the ledger, as text."""
        command = (
            "exec",
            "--no-TTY",
            "postgres",
            "psql",
            "-U",
            "postgres",
            "-d",
            "ledger",
            "-AtF",
            "|",
            "-c",
            query,
        )
        return [line.split("|") for line in self.compose(*command).splitlines() if line]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, seconds: float = 300) -> str:
    """Run a command; what it printed is in the exception if it fails."""
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode:
        message = f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise AssertionError(message)
    return done.stdout


def inspect(container: str, template: str) -> str:
    """One fact of a container."""
    return run(["docker", "inspect", "--format", template, container]).strip()


def copy_of_the_repository(folder: Path) -> Path:
    """What a clone would hold, with .env as a person would fill it in for a trial."""
    tracked = run(["git", "-C", str(ROOT), "ls-files", "-z"]).split("\0")
    for name in filter(None, tracked):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    folder.chmod(0o755)
    run([str(folder / "scripts" / "make-env")])
    env = folder / ".env"
    lines = env.read_text().splitlines()
    env.write_text("".join(f"{line}{TRIAL.get(line.removesuffix('='), '')}\n" for line in lines))
    return folder


@contextmanager
def started(folder: Path, *, vendors: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """The stack, healthy: with the trial's sandbox, or (`vendors`) with vendors that outlive the worker.

    Nothing is left of it after the block: containers, volumes, networks.
    """
    environment = {"AIRFLOW_PORT": str(free_port()), **(vendors or {})}
    stack = (
        Stack(folder, ("docker-compose.yaml", VENDORS), (), environment)
        if vendors
        else Stack(folder, profiles=("sandbox",), environment=environment)
    )
    try:
        stack.compose("up", "--build", "--wait", "--wait-timeout", str(UP_SECONDS), seconds=UP_SECONDS + 60)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")


def runs_of(stack: Stack, dag_id: str = DAG_ID) -> list[Any]:
    """The runs of a DAG."""
    found: list[Any] = stack.api.runs(dag_id)
    return found
