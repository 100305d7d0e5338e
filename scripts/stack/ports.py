"""Loopback ports: find a free one, report a taken one, and call without a proxy."""

import socket

import psutil
import requests

HOST = "127.0.0.1"


class PortTakenError(Exception):
    """A port we need belongs to another program; the message says what to do."""


def free_port() -> int:
    """Return a free port. It is not reserved, so use it soon."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, purpose: str, way_out: str) -> None:
    """Raise PortTakenError if a program listens on `port`.

    Args:
        port: on loopback.
        purpose: what we want it for, as people call it.
        way_out: how to choose another port.
    """
    with socket.socket() as probe:
        # Connections of an earlier run that are still being forgotten by the kernel are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            holder = _holder(port)
            by = f" by {holder.name()} (process {holder.pid})" if holder else ""
            raise PortTakenError(
                f"Port {port}, needed for {purpose}, is already in use{by}. "
                f"Stop that program, or choose another port: {way_out}"
            ) from None


def _holder(port: int) -> psutil.Process | None:
    """Return who listens on `port`, if we are allowed to know."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
            if listens and connection.pid:
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


def loopback_session() -> requests.Session:
    """Return a session that ignores the environment's proxies: they cannot reach this machine's own servers."""
    session = requests.Session()
    session.trust_env = False
    return session
