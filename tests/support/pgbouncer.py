"""A real PgBouncer in transaction mode before a PostgreSQL server."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from scripts.stack import processes
from scripts.stack.ports import HOST, free_port
from scripts.stack.waiting import wait_until

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """The URL of the same database through a PgBouncer, which has fewer connections than a release has senders."""
    server, database = url.rsplit("/", 1)
    server_port, port = server.rsplit(":", 1)[1], free_port()
    # Not pytest's own directory: only the user who runs the tests may enter that one.
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    folder.chmod(0o755)
    users = folder / "users.txt"
    users.write_text('"postgres" ""\n')
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={HOST} port={server_port}\n"
        f"[pgbouncer]\nlisten_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {users}\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
    )
    through = f"postgresql+psycopg://postgres@{HOST}:{port}/{database}"
    with subprocess.Popen(
        [PROGRAM, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_user()
    ) as process:
        watcher = processes.watch(process.pid, signal.SIGKILL)
        try:
            wait_until(lambda: _answers(through), "PgBouncer to answer", 30)
            yield through
        finally:
            watcher.kill()
            watcher.wait()
            process.kill()
            shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url.replace("+psycopg", "")).close()
    except psycopg.OperationalError:
        return False
    return True


def _user() -> dict[str, Any]:
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
