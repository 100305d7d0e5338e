"""A real PostgreSQL server for tests and measurements: free loopback port, temporary directory, never as root."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from scripts.stack import processes
from scripts.stack.ports import HOST, free_port
from scripts.stack.waiting import wait_until

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
        password: of the administrator `postgres`; every user then needs one. None: no password is needed.
        durable: whether a commit is on the disk before it is acknowledged, as in production, with its settings.
    """

    def __init__(self, directory: Path, password: str | None = None, *, durable: bool = False) -> None:
        self._directory = directory
        self._password = password
        self._durable = durable
        self._numbers = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        options = ["--pgdata", str(directory / "data"), "--username", "postgres", "--encoding", "UTF8"]
        options += ["--locale", "C", "--no-sync", "--auth", "scram-sha-256" if password else "trust"]
        if password:
            file = directory / "password"
            file.touch(mode=0o600)
            file.write_text(password)
            if user := _user():
                shutil.chown(file, **user)
            options += ["--pwfile", str(file)]
        done = subprocess.run(
            [program("initdb"), *options], cwd=directory, capture_output=True, text=True, check=False, **_user()
        )
        (directory / "password").unlink(missing_ok=True)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def create_database(self, template: str = "template1", idle_in_transaction_seconds: int = 0) -> str:
        """Create a database, by default an empty one, and return its URL.

        Args:
            template: must have no connections.
            idle_in_transaction_seconds: after which a session that holds a transaction open is ended; 0: never.
        """
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            if idle_in_transaction_seconds:
                limit = f"{idle_in_transaction_seconds}s"
                connection.execute(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '{limit}'")
        return self.url(name)

    def start(self) -> None:
        """Start and wait until it answers."""
        options = {"listen_addresses": HOST, "unix_socket_directories": "", "max_connections": "100"}
        # Without power cuts fsync is of no use: the kernel keeps what a killed server has written.
        options |= {"fsync": "on", **AS_COMPOSED} if self._durable else {"fsync": "off"}
        arguments = ["-D", str(self._directory / "data"), "-p", str(self.port)]
        arguments += [f"--{name}={value}" for name, value in options.items()]
        log = self._directory / "log"
        with log.open("ab") as output:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [program("postgres"), *arguments], cwd=self._directory, stdout=output, stderr=output, **_user()
            )
        self._process, self._watcher = process, processes.watch(process.pid, signal.SIGQUIT)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
            try:
                psycopg.connect(self._address).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(answers, f"PostgreSQL (its log: {log})", START_SECONDS, every=0.05)

    def stop(self) -> None:
        """Stop at once: open transactions are rolled back, clients lose their connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Crash: the next start runs a recovery."""
        self._end(signal.SIGQUIT)

    @property
    def _address(self) -> str:
        password = f" password={self._password}" if self._password else ""
        return f"host={HOST} port={self.port} user=postgres dbname=postgres{password}"

    @property
    def pid(self) -> int:
        """The process that starts all others of the server."""
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._watcher is not None:
                self._watcher.kill()
                self._watcher.wait()
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None


@contextmanager
def running(password: str | None = None, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server; delete it with its files afterwards."""
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
            server.kill()  # its files are not needed any more
    finally:
        shutil.rmtree(directory)


def program(name: str) -> str:
    """Return the newest installed program of PostgreSQL of this name."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    found = str(newest) if newest else shutil.which(name)
    if found is None:
        raise RuntimeError(f"no {name} in /usr/lib/postgresql/*/bin or on PATH: install PostgreSQL (postgresql)")
    return found


def _user() -> dict[str, Any]:
    # PostgreSQL refuses to run as root; Debian's package brings this user.
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
