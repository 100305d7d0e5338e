"""A gateway before Airflow's API server that answers some calls of tasks with an error of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from scripts.stack.ports import HOST, free_port, loopback_session

_NOT_FORWARDED = ("host", "connection", "content-length", "transfer-encoding", "content-encoding")


class Gateway:
    """Forwards everything, but for the paths in `broken`, which get 500."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.broken: tuple[str, ...] = ()
        self.failed = 0
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        body = call.rfile.read(int(call.headers.get("content-length") or 0))
        if any(part in call.path for part in self.broken):
            self.failed += 1
            call.send_response(500)
            call.send_header("content-length", "0")
            call.end_headers()
            return
        headers = {name: value for name, value in call.headers.items() if name.lower() not in _NOT_FORWARDED}
        with loopback_session() as session:
            got = session.request(call.command, self.target + call.path, headers=headers, data=body, timeout=60)
        call.send_response(got.status_code)
        for name, value in got.headers.items():
            if name.lower() not in _NOT_FORWARDED:
                call.send_header(name, value)
        call.send_header("content-length", str(len(got.content)))
        call.end_headers()
        call.wfile.write(got.content)


@contextmanager
def before(target: str) -> Iterator[Gateway]:
    """A running gateway before the API server at `target`."""
    gateway = Gateway(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_call(self) -> None:
            try:
                gateway.answer(self)
            except requests.RequestException:
                self.send_error(502)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_one_call  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, gateway.port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
