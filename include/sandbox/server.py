"""Run both simulators: one event loop in one thread of this process, on sockets that are already bound."""

import asyncio
import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from include.sandbox.kustomer.app import kustomer_app
from include.sandbox.model import Organisation
from include.sandbox.options import Options
from include.sandbox.state import State
from include.sandbox.stella_connect.app import stella_app
from include.sandbox.transport import App, FaultyApp, SandboxProtocol


class PortTaken(OSError):  # noqa: N818 - says what happened
    """Another program listens on a wanted port."""


class Sandbox:
    """Both simulators, running. `state` is what they know and have received; a test may change it."""

    def __init__(self, organisation: Organisation, options: Options) -> None:
        self.state = State(organisation, options)
        self._sockets: list[socket.socket] = []
        try:
            for port in (options.kustomer_port, options.stella_port):
                self._sockets.append(_listen(options.host, port))
        except OSError:
            self._close_sockets()
            raise
        self.kustomer_url, self.stella_url = [
            f"http://{options.host}:{listening.getsockname()[1]}" for listening in self._sockets
        ]
        self._servers = [
            _server(FaultyApp(kustomer_app(self.state), self.state, "kustomer")),
            _server(FaultyApp(stella_app(self.state), self.state, "stella")),
        ]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="sandbox", daemon=True)
        self._thread.start()

    async def _serve(self) -> None:
        await asyncio.gather(
            *(server.serve([sock]) for server, sock in zip(self._servers, self._sockets, strict=True))
        )

    def stop(self) -> None:
        """Let go of held calls, close both servers and wait until their thread has ended."""
        self.state.stopping = True
        for server in self._servers:
            server.should_exit = True
        self._thread.join(timeout=10)
        self._close_sockets()

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()


@contextmanager
def start(organisation: Organisation, **options: Any) -> Iterator[Sandbox]:
    """Run both simulators while the block lasts; `options` are the fields of `Options`.

    The sockets listen before this returns, so the first call may be made at once.
    """
    sandbox = Sandbox(organisation, Options(**options))
    try:
        yield sandbox
    finally:
        sandbox.stop()


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio switches Nagle off only for sockets that say so.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Freed ports are usable at once; a port on which somebody listens still is refused.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"port {port} on {host} is taken: stop the program there or choose another") from error
        raise
    return listening


def _server(app: App) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=SandboxProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
