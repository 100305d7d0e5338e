"""A TCP server that misbehaves as told, one behaviour for each connection it accepts."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class BadServer:
    """What it heard, for assertions. `released` ends the silences."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Behaviour = Callable[[BadServer, socket.socket], None]


@contextmanager
def serving(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[BadServer]:
    """Run a server; connection n gets behaviour n, the last one serves all further ones."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = BadServer(listener.getsockname()[1])
    threads: list[threading.Thread] = []
    open_connections: list[socket.socket] = []

    def serve(connection: socket.socket, behaviour: Behaviour) -> None:
        with suppress(OSError):  # the client may be gone; what matters is what the client makes of it
            if tls:
                connection = tls.wrap_socket(connection, server_side=True)
            open_connections.append(connection)
            behaviour(server, connection)
        with suppress(OSError):
            connection.close()
        server.closed.release()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            connection.settimeout(10)
            behaviour = behaviours[min(server.connections, len(behaviours) - 1)]
            server.connections += 1
            threads.append(threading.Thread(target=serve, args=(connection, behaviour)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield server
    finally:
        server.released.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connection in open_connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def hear(server: BadServer, connection: socket.socket) -> None:
    """Read one whole request."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        if not (more := connection.recv(65536)):
            return
        heard += more
    head, _, body = heard.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    server.requests.append(head + b"\r\n\r\n" + body)


def reset(_: BadServer, connection: socket.socket) -> None:
    """TCP RST at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hear_then_reset(server: BadServer, connection: socket.socket) -> None:
    hear(server, connection)
    reset(server, connection)


def hear_then_silence(server: BadServer, connection: socket.socket) -> None:
    hear(server, connection)
    server.released.wait(10)


def silence(server: BadServer, _: socket.socket) -> None:
    server.released.wait(10)


def hear_then_close(server: BadServer, connection: socket.socket) -> None:
    hear(server, connection)


def answer(raw: bytes, *, times: int = 1) -> Behaviour:
    """Answer `times` requests of a connection with these bytes, then close it."""

    def behave(server: BadServer, connection: socket.socket) -> None:
        for _ in range(times):
            hear(server, connection)
            connection.sendall(raw)

    return behave


def answer_then_reset(raw: bytes) -> Behaviour:
    def behave(server: BadServer, connection: socket.socket) -> None:
        hear(server, connection)
        connection.sendall(raw)
        # The client must have the bytes before the reset throws away what is still on its way.
        server.released.wait(0.2)
        reset(server, connection)

    return behave


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An HTTP answer, the last on its connection; `length` lies about the body."""
    length = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


KEPT_ALIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def not_accepting() -> Iterator[int]:
    """A port whose queue is full, so that connecting to it neither succeeds nor is refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        yield port
        for filler in fillers:
            filler.close()
