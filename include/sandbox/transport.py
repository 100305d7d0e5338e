"""Failing below HTTP: resets, silence, short bodies."""

import asyncio
import json
import os
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from include.sandbox.changes import change_conversation
from include.sandbox.faults import Call, Fault
from include.sandbox.state import State

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_EXTENSION = "sandbox.transport"
_ID_IN_PATH = re.compile(
    r"^/(v\d)/(conversations|customers|users|employees|bulk|klasses/[^/]+)/(externalId=)?(?!search$|current$|bulk$)[^/]+"
)


_HTML, _JSON = [(b"content-type", b"text/html")], [(b"content-type", b"application/json")]
_GATEWAY = b"<!doctype html><title>Gateway</title><p>No such page."
_INSTEAD: dict[str, tuple[list[tuple[bytes, bytes]], bytes]] = {
    "not_json": (_HTML, b"<!doctype html><title>Maintenance</title><p>Back soon."),
    "no_data": (_JSON, b"{}"),
    "empty_body": ([], b""),
}
"""Header and body in place of the right ones, with status 200."""
_LEFT = {"missing_rows": slice(None, None, 2), "lost_row": slice(1, None), "empty_list": slice(0, 0)}
"""Which rows of a list remain."""


class Done(NamedTuple):
    """What the app answered to a call that was carried out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class SandboxProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, showing its transport to the app: only there can a connection be reset."""

    def on_message_begin(self) -> None:
        """Add the transport to the scope of each request."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


class FaultyApp:
    """An ASGI app that counts the calls of the app inside and makes them fail when a fault says so."""

    def __init__(self, app: App, state: State, vendor: Literal["kustomer", "stella"]) -> None:
        self.app = app
        self.state = state
        self.vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call; the sandbox's own pages never fail and are not counted."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path == "/" or path.startswith("/_sandbox/"):
            await self.app(scope, receive, send)
            return
        self.state.calls[f"{scope['method']} {path_pattern(path)}"] += 1
        watching = self.state.faults.watching(scope["method"], path)
        if not watching:
            await self.app(scope, receive, send)
            return
        call, done = Call(scope["method"], path, await _whole_body(receive)), None
        if any(fault.answer_contains for fault in watching):
            done = await _carry_out(self.app, scope, call.body)
            call.answer = done.body
        fault = self.state.faults.take(call)
        if fault is None:
            await _answer(send, *(done or await _carry_out(self.app, scope, call.body)))
        elif not await self._fail_before(fault, scope, receive, send):
            await self._spoil(fault, done or await _carry_out(self.app, scope, call.body), scope, receive, send)

    async def _fail_before(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
        """Fail without carrying out the call; False if this fault strikes only afterwards."""
        transport = scope["extensions"][_EXTENSION]["transport"]
        match fault.kind:
            case "reset":
                await _reset(transport, receive)
            case "hang":
                await self._hang(fault, transport, receive)
            case "redirect":
                await _answer(send, 302, [(b"location", b"https://elsewhere.example.org/")], b"")
            case "500_before":
                await self._refuse(fault, 500, send)
            case kind if kind.isdigit():
                await self._refuse(fault, int(kind), send)
            case kind if kind.endswith("_html"):
                await _answer(send, int(kind.removesuffix("_html")), _HTML, _GATEWAY)
            case kind:
                if kind == "slow":
                    await asyncio.sleep(fault.seconds or 1.0)
                return False
        return True

    async def _spoil(self, fault: Fault, done: Done, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call that was carried out, as the fault will have it."""
        transport = scope["extensions"][_EXTENSION]["transport"]
        match fault.kind:
            case "accept_then_500":
                await self._refuse(fault, 500, send)
            case "accept_then_reset":
                await _reset(transport, receive)
            case "accept_then_hang":
                await self._hang(fault, transport, receive)
            case "cut_body":
                await _cut(transport, receive, done.body)
            case kind if kind in _INSTEAD:
                await _answer(send, 200, *_INSTEAD[kind])
            case "broken_json":
                await _answer(send, 200, _JSON, done.body[: len(done.body) // 2])
            case kind if kind in _LEFT:
                await _answer(send, done.status, done.headers, _with_rows(done.body, _LEFT[kind]))
            case kind:
                if kind == "reopened_row":
                    rows = json.loads(done.body)["data"]
                    change_conversation(self.state, {"id": rows[0]["id"], "status": "open"})
                await _answer(send, *done)

    async def _refuse(self, fault: Fault, status: int, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        if fault.retry_after is not None:
            headers.append((b"retry-after", str(fault.retry_after).removesuffix(".0").encode()))
        if self.vendor == "kustomer":
            title = f"injected_{status}"
            errors = [{"status": status, "code": title, "title": title, "detail": "A fault of the sandbox."}]
            payload: dict[str, Any] = {"errors": errors}
            if status == 429:
                reset = int(time.time() + (fault.retry_after or 1)) + 1
                headers += [
                    (b"x-ratelimit-limit", b"100"),
                    (b"x-ratelimit-remaining", b"0"),
                    (b"x-ratelimit-reset", str(reset).encode()),
                ]
        else:
            payload = {"message": f"injected_{status}"}
        await _answer(send, status, headers, json.dumps(payload).encode())

    async def _hang(self, fault: Fault, transport: asyncio.Transport, receive: Receive) -> None:
        """Send nothing until the caller disconnects, the faults are replaced, or the time is over."""
        generation = self.state.faults.generation
        longest = self.state.options.hang_seconds if fault.seconds is None else fault.seconds
        ends = time.monotonic() + longest
        gone = asyncio.ensure_future(_caller_gone(receive))
        while not gone.done():
            await asyncio.wait({gone}, timeout=0.05)
            released = self.state.faults.generation != generation or self.state.stopping
            if released or time.monotonic() >= ends:
                transport.abort()
                await gone


def path_pattern(path: str) -> str:
    """Return the path with ids taken out, so that calls of one kind are counted together."""
    return _ID_IN_PATH.sub(r"/\1/\2/\3{id}", path)


async def _whole_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


async def _caller_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _carry_out(app: App, scope: Scope, body: bytes) -> Done:
    """Run the app inside for its effects and return what it would have answered."""
    start: Message = {}
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
    return Done(start["status"], headers, b"".join(parts))


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _reset(transport: asyncio.Transport, receive: Receive) -> None:
    """Close so that the peer sees ECONNRESET: with SO_LINGER at 0 seconds the kernel sends RST, not FIN.

    The option belongs to the connection, so it may be set through a duplicate of the descriptor: a transport
    does not give away its own socket.
    """
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _caller_gone(receive)


async def _cut(transport: asyncio.Transport, receive: Receive, body: bytes) -> None:
    """Promise the whole body, write half of it, and close in an orderly way."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {max(len(body), 2)}\r\n\r\n"
    transport.write(head.encode() + body[: len(body) // 2])
    transport.close()
    await _caller_gone(receive)


def _with_rows(answer: bytes, left: slice) -> bytes:
    """Return a list's answer with some of its rows; without any row there is no next page either."""
    page = json.loads(answer)
    for name in ("data", "employees"):
        if isinstance(page, dict) and isinstance(page.get(name), list):
            page[name] = page[name][left]
            if not page[name]:
                for links in (page.get("links"), page.get("meta")):
                    (links or {}).update(dict.fromkeys({"next", "next_page"} & set(links or {})))
    return json.dumps(page).encode()
