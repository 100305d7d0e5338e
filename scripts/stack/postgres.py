"""A real PostgreSQL server for tests and measurements: free loopback port, temporary directory, never as root."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 30
AS_COMPOSED = {
    "max_connections": "300",
    "shared_buffers": "512MB",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
"""What docker-compose.yaml gives PostgreSQL, for servers that stand for production's; a test compares."""


class PostgresServer:
    """One server; `stop`, `kill` and `start` play its failures, its port stays the same.

    Args:
        directory: for everything it writes.
        password: of the administrator `postgres`; every user then needs one. None: nobody needs any.
        durable: whether a commit is on the disk before it is acknowledged, as in production, with its settings.
    """

    def __init__(self, directory: Path, password: str | None = None, *, durable: bool = False) -> None:
        self._directory = directory
        self._password = password
        self._durable = durable
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        options: list[str | Path] = ["--pgdata", directory / "data", "--username", "postgres"]
        options += ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
        if password is None:
            self._run("initdb", *options, "--auth", "trust")
        else:
            file = directory / "password"
            file.touch(mode=0o600)
            file.write_text(password)
            if user := _user():
                shutil.chown(file, **user)
            self._run("initdb", *options, "--auth", "scram-sha-256", "--pwfile", file)
            file.unlink()

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """A new, empty database; returns its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start and wait until it answers."""
        log = (self._directory / "log").open("ab")
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            # Of no use without power cuts: the kernel keeps what a killed server has written.
            "fsync": "off",
        }
        if self._durable:
            options |= {"fsync": "on", **AS_COMPOSED}
        with log:
            arguments = ["-D", str(self._directory / "data"), "-p", str(self.port)]
            arguments += [f"--{name}={value}" for name, value in options.items()]
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [program("postgres"), *arguments],
                cwd=self._directory,
                stdout=log,
                stderr=log,
                **_user(),
            )
        self._process = process
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self._address).close()
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"PostgreSQL did not start:\n{(self._directory / 'log').read_text()}"
                    ) from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop at once: open transactions are rolled back, clients lose their connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Crash: the next start goes through recovery."""
        self._end(signal.SIGQUIT)

    @property
    def _address(self) -> str:
        password = f" password={self._password}" if self._password else ""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres{password}"

    @property
    def pid(self) -> int:
        """The process that starts all others of the server."""
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def _run(self, name: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [program(name), *arguments],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
            **_user(),
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def running(password: str | None = None, *, durable: bool = False) -> Iterator[PostgresServer]:
    """A started server that is gone, with its files, afterwards."""
    # Not pytest's own directory: only the user who runs the tests may enter that one.
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user := _user():
        shutil.chown(directory, **user)
    try:
        server = PostgresServer(directory, password, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()  # nobody needs its files any more
    finally:
        shutil.rmtree(directory)


def program(name: str) -> str:
    """The newest installed program of PostgreSQL of this name."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    found = str(versions[0]) if versions else shutil.which(name)
    if found is None:
        raise RuntimeError(f"no {name} in /usr/lib/postgresql/*/bin or on PATH: install PostgreSQL (postgresql)")
    return found


def _user() -> dict[str, Any]:
    # PostgreSQL refuses to run as root; Debian's package brings this user.
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
