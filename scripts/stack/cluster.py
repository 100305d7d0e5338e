"""`make cluster`: the stack of docker-compose.yaml without containers, where no container engine can run (our CI).

The compose file is read, not repeated: each process gets the command, the environment and the mounts of its
service; only the names of hosts become ports of loopback, and the containers' folders become folders of the
cluster's home (`Cluster.native`). It speaks only to simulators of both vendors, and its databases end with it.

    with Cluster(home) as cluster:
        cluster.kill("airflow-worker-1")  # as a machine that goes down
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import psycopg
import requests
from celery import Celery
from dotenv import dotenv_values

from include.sandbox.options import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET
from scripts.stack import compose, postgres, processes
from scripts.stack.api import AirflowApi
from scripts.stack.ports import HOST, free_port, loopback_session, require_free
from scripts.stack.sandbox import running_sandbox
from scripts.stack.stack import ROOT
from scripts.stack.waiting import wait_until

SCALE = {
    "airflow-apiserver": 1,
    "airflow-scheduler": 2,
    "airflow-dag-processor": 1,
    "airflow-triggerer": 2,
    "airflow-worker": 2,
}
CONCURRENCY = "4"
"""Tasks that each worker runs at once, unless the environment file says otherwise: for a machine of two cores."""
_JOBS = {
    "airflow-scheduler": "SchedulerJob",
    "airflow-dag-processor": "DagProcessorJob",
    "airflow-triggerer": "TriggererJob",
}
HEALTHY_SECONDS = 240


class Vendors(NamedTuple):
    """Where the simulators of both vendors answer."""

    kustomer_url: str
    stella_url: str


@dataclass(frozen=True, slots=True)
class Member:
    """One process that stands for one container."""

    name: str
    """The service's name and a number; also what Airflow and Celery take for the machine's name."""
    service: compose.Service
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]
    started_at: datetime

    @property
    def alive(self) -> bool:
        """Whether the first process runs."""
        return self.process.poll() is None


class Cluster(processes.Running):
    """PostgreSQL, Redis and Airflow's parts; migrated, started and healthy inside the block, and gone outside.

    Args:
        home: for what is written, but for PostgreSQL's files.
        vendors: the simulators.
        env_file: as docker compose reads it; what names the vendors is overridden.
        dags: in place of the repository's own, e.g. a copy that can be changed.
        port: of the API server; 0 takes any free one.
        extra: added to the environment of every part of Airflow.
        durable: whether PostgreSQL's commits are on the disk.
    """

    def __init__(
        self,
        home: Path,
        vendors: Vendors,
        *,
        env_file: Path | None = None,
        dags: Path | None = None,
        port: int = 0,
        extra: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> None:
        super().__init__()
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.port = port or free_port()
        require_free(self.port, "Airflow's API server", "--port 0 takes any free one")
        self.url = f"http://{HOST}:{self.port}"
        self.env_file = env_file or new_env_file(home)
        self.values = dotenv_values(self.env_file, interpolate=False)
        self.services = compose.services(self.env_file, self._overrides(vendors), ["sandbox"])
        self.api = AirflowApi(self.url, "admin", self.value("AIRFLOW_ADMIN_PASSWORD"))
        self.members: dict[str, Member] = {}
        self._dags = dags
        self._extra = dict(extra or {})
        self._durable = durable
        self._redis_port = free_port()
        self._numbers = {name: count(1) for name in self.services}
        self._exits = ExitStack()
        self.postgres: postgres.PostgresServer

    def value(self, name: str) -> str:
        """Return what the environment file says."""
        return self.values.get(name) or ""

    def _overrides(self, vendors: Vendors) -> dict[str, str]:
        return {
            "KUSTOMER_API_KEY": KUSTOMER_KEY,
            "KUSTOMER_API_URL": vendors.kustomer_url,
            "KUSTOMER_URL": vendors.kustomer_url,
            "STELLA_CONNECT_API_KEY": STELLA_KEY,
            "STELLA_CONNECT_API_SECRET": STELLA_SECRET,
            "STELLA_CONNECT_API_URL": vendors.stella_url,
            "AIRFLOW_PORT": str(self.port),
            "AIRFLOW_URL": self.url,
            "AIRFLOW_WORKER_CONCURRENCY": self.value("AIRFLOW_WORKER_CONCURRENCY") or CONCURRENCY,
        }

    def bring_up(self) -> None:
        """Start and migrate the databases, then start every part and wait."""
        self.postgres = self._exits.enter_context(
            postgres.running(self.value("POSTGRES_PASSWORD"), durable=self._durable)
        )
        self._create_databases()
        self.start("redis")
        self._mount()
        self._initialise()
        for service, number in SCALE.items():
            for _ in range(number):
                self.start(service)
        self.wait_healthy()

    def native(self, text: str, name: str) -> str:
        """Return a value of the compose file as it is without containers, for the member of that name."""
        here = {
            "@postgres:5432": f"@{HOST}:{self.postgres.port}",
            "@redis:6379": f"@{HOST}:{self._redis_port}",
            "//airflow-apiserver:8080": f"//{HOST}:{self.port}",
            compose.CODE: str(self.code),
            "/tmp/": f"{self._temporary(name)}/",  # noqa: S108  the container's, of which each has its own
        }
        return re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], text)

    @property
    def code(self) -> Path:
        """The folder that stands for /opt/airflow in the containers, also AIRFLOW_HOME."""
        return self.home / "airflow"

    def _temporary(self, name: str) -> Path:
        return self.home / "tmp" / name

    def _mount(self) -> None:
        """Make the containers' folders: of links to the working copy, and of the logs."""
        self.code.mkdir()
        for mount in self.services["airflow-worker"].mounts:
            target = Path(self.native(mount.target, ""))
            if not Path(mount.source).is_absolute():
                target.mkdir()  # a volume
            elif target.name == "dags" and self._dags:
                target.symlink_to(self._dags.resolve())
            else:
                target.symlink_to(mount.source)

    def environment(self, service: compose.Service, name: str) -> dict[str, str]:
        """Return the whole environment of a member: the service's, and what one machine needs besides."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        configured = {key: self.native(value, name) for key, value in service.environment.items()}
        machine = {
            # The image's own settings.
            "AIRFLOW_HOME": str(self.code),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            # Each container has its own name, temporary files and ports.
            "HOSTNAME": name,
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "scripts.stack.cluster_member.hostname",
            "TMPDIR": str(self._temporary(name)),
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": HOST,
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }
        if "PYTHONPATH" in configured:
            configured["PYTHONPATH"] = (
                f"{configured['PYTHONPATH']}{os.pathsep}{ROOT}"  # of which scripts.stack.cluster_member
            )
        return inherited | configured | machine | self._extra

    def command(self, service: compose.Service, name: str) -> list[str]:
        """Return the command of a service as a process of this machine."""
        words = list(service.command)
        match service.name:
            case "redis":
                words[-1] += f" --bind {HOST} --port {self._redis_port} --dir {self.home}"
                return words
            case "airflow-init":
                return words
            case "airflow-worker":
                words += ["--celery-hostname", name, "--pid", str(self._temporary(name) / "worker.pid")]
        return ["airflow", *words]  # which the image's entrypoint puts before them

    def _create_databases(self) -> None:
        service = self.services["postgres"]
        script = next(mount.source for mount in service.mounts if "/docker-entrypoint-initdb.d/" in mount.target)
        connection = {
            "POSTGRES_USER": "postgres",  # the image's default
            "PGHOST": HOST,
            "PGPORT": str(self.postgres.port),
            "PGPASSWORD": service.environment["POSTGRES_PASSWORD"],
        }
        self._run([script], {**os.environ, **service.environment, **connection})

    def _initialise(self) -> None:
        service = self.services["airflow-init"]
        self._temporary(service.name).mkdir(parents=True)
        self._run(self.command(service, service.name), self.environment(service, service.name))

    def _run(self, command: list[str], env: Mapping[str, str]) -> None:
        done = subprocess.run(command, env=env, cwd=self.home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(command)[:200]}` failed:\n{(done.stdout + done.stderr)[-3000:]}")

    def start(self, service_name: str) -> Member:
        """Start one more member of a service; call `wait_healthy` afterwards."""
        service = self.services[service_name]
        name = f"{service_name}-{next(self._numbers[service_name])}"
        self._temporary(name).mkdir(parents=True)
        log = self.home / "logs" / f"{name}.log"
        environment = self.environment(service, name)
        process = processes.start(self.command(service, name), environment, self.home, log)
        member = Member(name, service, environment, log, process, datetime.now(UTC))
        self.members[name] = member
        self._everyone.append(process)
        return member

    def of(self, service_name: str) -> list[Member]:
        """Return the members of a service, the oldest first."""
        return [member for member in self.members.values() if member.service.name == service_name]

    def kill(self, name: str) -> None:
        """Kill a member with all its processes at once, like a machine that loses power."""
        member = self.members.pop(name)
        processes.kill(member.process)

    def end(self, name: str) -> None:
        """Stop a member like `docker compose stop`: ask it to end, and kill it after its grace period."""
        member = self.members.pop(name)
        processes.end([member.process], grace_seconds=member.service.stop_seconds)

    def revive(self) -> list[str]:
        """Restart each member that ended, like `restart: unless-stopped`; return the old ones."""
        ended = [member for member in self.members.values() if not member.alive]
        for member in ended:
            del self.members[member.name]
            processes.end([member.process])  # what it left behind
            self.start(member.service.name)
        return [member.name for member in ended]

    def stop(self) -> None:
        """End everything that was started here."""
        self.api.close()
        super().stop()
        self.members.clear()
        self._exits.close()

    def wait_healthy(self, *names: str, seconds: float = HEALTHY_SECONDS) -> None:
        """Wait until these members, or all, have reported since their start.

        Raises:
            RuntimeError: one ended instead; with the end of its log.
            TimeoutError: naming the log folder.
        """
        waiting = [self.members[name] for name in names or self.members]

        def none_left() -> bool:
            for member in waiting:
                if not member.alive:
                    end = member.log.read_text(errors="replace")[-3000:]
                    raise RuntimeError(f"{member.name} ended unexpectedly:\n{end}")
            waiting[:] = [member for member in waiting if not self._is_healthy(member)]
            return not waiting

        what = f"{', '.join(member.name for member in waiting)} to be healthy (logs: {self.home / 'logs'})"
        wait_until(none_left, what, seconds, every=0.5)

    def _is_healthy(self, member: Member) -> bool:
        """Check what the compose file's health checks ask, without importing Airflow each time."""
        match member.service.name:
            case "airflow-apiserver":
                with loopback_session() as http:
                    try:
                        return http.get(f"{self.url}/api/v2/version", timeout=5).ok
                    except requests.RequestException:
                        return False
            case "airflow-worker":
                return bool(self._celery().control.ping(destination=[f"celery@{member.name}"], timeout=0.5))
            case "redis":
                return True  # the workers cannot be healthy without
        with self.database("airflow") as airflow:
            beats = airflow.execute(
                "SELECT 1 FROM job WHERE job_type = %s AND hostname = %s AND state = 'running'"
                " AND latest_heartbeat >= %s",
                (_JOBS[member.service.name], member.name, member.started_at),
            )
            return beats.fetchone() is not None

    def _celery(self) -> Celery:
        url = self.services["airflow-worker"].environment["AIRFLOW__CELERY__BROKER_URL"]
        return Celery(broker=self.native(url, ""))  # type: ignore[no-untyped-call]  # Celery has no annotations

    @contextmanager
    def database(self, name: str) -> Iterator[psycopg.Connection]:
        """Open `airflow` or `ledger` as its own user."""
        with psycopg.connect(self.ledger_url(name).replace("+psycopg", "")) as connection:
            yield connection

    def ledger_url(self, name: str = "ledger") -> str:
        """Return the URL of a database as its own user, for SQLAlchemy."""
        password = self.value(f"{'AIRFLOW' if name == 'airflow' else 'LEDGER'}_DB_PASSWORD")
        return f"postgresql+psycopg://{name}:{password}@{HOST}:{self.postgres.port}/{name}"


def new_env_file(folder: Path) -> Path:
    """Write an environment file with fresh secrets, as `make secrets` does."""
    file = folder / ".env"
    subprocess.run([ROOT / "scripts" / "make-env", file], check=True, stdout=subprocess.DEVNULL)
    return file


def run(home: Path, port: int) -> None:
    """Run a cluster until a signal comes."""
    home, env_file = home.resolve(), ROOT / ".env"
    shutil.rmtree(home, ignore_errors=True)
    with running_sandbox(home / "logs" / "sandbox.log") as sandbox:
        print("Starting two of each (about a minute) ...", flush=True)
        with Cluster(
            home,
            Vendors(sandbox.kustomer_url, sandbox.stella_url),
            env_file=env_file if env_file.exists() else None,
            port=port,
        ) as cluster:
            print(
                f"Airflow runs at {cluster.url}, login admin with {cluster.value('AIRFLOW_ADMIN_PASSWORD')}\n"
                f"{', '.join(cluster.members)}; logs in {home / 'logs'}\n"
                f"Simulators: Kustomer {sandbox.kustomer_url}, Stella Connect {sandbox.stella_url}\n"
                "Ctrl-C ends all of it.",
                flush=True,
            )
            signal.pause()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".run" / "cluster", help="keeps logs until the next")
    parser.add_argument("--port", type=int, default=8080, help="of Airflow's UI; 0 takes any free one")
    sys.exit(processes.run_until_interrupted(partial(run, **vars(parser.parse_args()))))
