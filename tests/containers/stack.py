"""The stack of docker-compose.yaml as containers: started from a copy of the repository, as the docs say."""

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stack.api import AirflowApi
from scripts.stack.ports import free_port
from scripts.stack.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "kustomer-stella-e2e"
TRIAL = {
    "KUSTOMER_API_KEY": "kustomer-sandbox-key",
    "KUSTOMER_API_URL": "http://127.0.0.1:8101",
    "KUSTOMER_URL": "http://127.0.0.1:8101",
    "STELLA_CONNECT_API_KEY": "stella-sandbox-key",
    "STELLA_CONNECT_API_SECRET": "stella-sandbox-secret-of-33-bytes",
    "STELLA_CONNECT_API_URL": "http://127.0.0.1:8102",
}
"""What .env.example names for a trial without accounts."""
SANDBOX = ("sandbox",)
"""The profile of the trial: both vendors beside the worker."""
UP_SECONDS = 900


@dataclass
class Stack:
    """A running stack; every method raises `AssertionError` with docker's words if docker refuses."""

    folder: Path
    """The copy of the repository."""
    files: Sequence[str]
    profiles: Sequence[str]
    environment: Mapping[str, str]

    def compose(self, *arguments: str, seconds: float = 300) -> str:
        """Run `docker compose ...`; returns what it printed."""
        return self._run(["docker", "compose", *arguments], seconds)

    def follow(self, section: str, *words: str, seconds: float = 300, **values: str) -> None:
        """Run commands of a section of docs/operations.md, each the one that holds the words.

        Args:
            section: its heading.
            words: what each command holds, in the order in which to run them.
            seconds: time for each.
            values: replace placeholders such as `<date>`.
        """
        for each in words:
            command = the_command(section, each)
            for name, value in values.items():
                command = command.replace(f"<{name}>", value)
            self.shell(command, seconds)

    def shell(self, command: str, seconds: float = 300) -> None:
        """Run a command as a person would, in the copy of the repository."""
        self._run(["bash", "-euo", "pipefail", "-c", command], seconds)

    def _run(self, command: Sequence[str], seconds: float) -> str:
        compose = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_FILE": ":".join(self.files),
            "COMPOSE_PROFILES": ",".join(self.profiles),
        }
        return run(command, compose | dict(self.environment), seconds, self.folder)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, running or not."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def kill(self, service: str) -> None:
        """kill -9 the first container of a service, and wait until Docker has started it again.

        After `docker kill` Docker would not. Until the new start its health is that of the killed process.
        """
        container = self.containers(service)[0]
        restarts = inspect(container, "{{.RestartCount}}")
        run(["kill", "-9", inspect(container, "{{.State.Pid}}")])
        wait_until(lambda: inspect(container, "{{.RestartCount}}") != restarts, f"{service} to start again", 120)

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

    def wait_until_all_arrived(self) -> None:
        """Wait until Stella Connect has taken everything that it should."""
        wait_until(lambda: not self.sandbox("expected")["difference"]["missing"], "every survey", 300, every=2)

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

    def set_value(self, name: str, value: str) -> None:
        """Change .env."""
        env = self.folder / ".env"
        env.write_text(re.sub(f"(?m)^{name}=.*$", f"{name}={value}", env.read_text()))

    def ledger(self, query: str) -> list[list[str]]:
        """Rows of a query to the ledger, as text."""
        psql = ("psql", "-U", "postgres", "-d", "ledger", "-AtF", "|", "-c", query)
        return [
            line.split("|") for line in self.compose("exec", "--no-TTY", "postgres", *psql).splitlines() if line
        ]


def the_command(section: str, words: str) -> str:
    """The one command in a section of docs/operations.md that holds these words, as it stands there."""
    text = (ROOT / "docs" / "operations.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    commands = re.findall(r"`(docker compose [^`\n]+)`|^ *(docker compose .*)$", text, re.MULTILINE)
    [found] = {inline or line for inline, line in commands if words in inline + line}
    return found


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    seconds: float = 300,
    folder: Path | None = None,
) -> str:
    """Run a command; what it printed is in the exception if it fails."""
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
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
def started(
    folder: Path, *files: str, profiles: Sequence[str] = (), settings: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """The stack, healthy, with more compose files; `settings` override those in .env.

    Nothing is left of it after the block: containers, volumes, networks.
    """
    environment = {"AIRFLOW_PORT": str(free_port()), **(settings or {})}
    stack = Stack(folder, ("docker-compose.yaml", *files), profiles, environment)
    try:
        stack.compose("up", "--build", "--wait", "--wait-timeout", str(UP_SECONDS), seconds=UP_SECONDS + 60)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
