"""What became of a POST that must be sent at most once: over real sockets, every way it can end."""

import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api import transport
from plugins.vendor_api.errors import (
    KeyFault,
    NeverSent,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    VendorApiError,
)
from tests.support import bad_server
from tests.support.bad_server import KEPT_ALIVE, BadServer, Behaviour, answer, answer_then_reset, http, serving
from tests.support.certificates import loopback_certificate

REQUEST = {
    "channel": "email",
    "ext_interaction_id": "5f1c",
    "customer": {"name": "Jane Doe", "email": "jane.doe@example.com"},
    "employee": {"email": "agent.smith@example.com"},
}


@pytest.fixture
def hook() -> Iterator[StellaConnectHook]:
    with StellaConnectHook() as hook:
        yield hook


def fate(hook: StellaConnectHook) -> VendorApiError:
    with pytest.raises(VendorApiError) as caught:
        hook.send(REQUEST)
    told = str(caught.value)
    assert told.startswith("stella_connect_default: POST /v1/requests ")
    assert "\n" not in told
    for secret in ("Jane", "Doe", "jane.doe", "agent.smith", "stella-key-of-tests", "stella-secret-of-tests"):
        assert secret not in told
    return caught.value


# --- taken -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"not json", b'{"customer": {}}'])
def test_any_2xx_is_taken_whatever_its_body(
    stella_server: HTTPServer, hook: StellaConnectHook, status: int, body: bytes
) -> None:
    stella_server.expect_request("/v1/requests", "POST").respond_with_data(body, status=status)
    assert hook.send(REQUEST) == status


def test_the_request_goes_out_as_it_is_with_the_key_alone(
    stella_server: HTTPServer, hook: StellaConnectHook
) -> None:
    stella_server.expect_oneshot_request("/v1/requests", "POST", json=REQUEST).respond_with_json({})
    hook.send(REQUEST)
    request, _ = stella_server.log[0]
    assert request.headers["x-api-key"] == "stella-key-of-tests"
    assert "Authorization" not in request.headers
    assert request.headers["Content-Type"] == "application/json"


def test_unknown_extras_never_become_headers(httpserver: HTTPServer, connect_stella: Any) -> None:
    connect_stella(httpserver.url_for(""), x_private="do not tell", timeout=5)
    httpserver.expect_request("/v1/requests").respond_with_json({})
    StellaConnectHook().send(REQUEST)
    assert "do not tell" not in str(httpserver.log[0][0].headers)


def test_threads_share_one_hook(stella_server: HTTPServer, hook: StellaConnectHook) -> None:
    stella_server.expect_request("/v1/requests").respond_with_json({})
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: hook.send(REQUEST), range(64))) == [200] * 64
    assert len(stella_server.log) == 64


# --- definitely not taken ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 402, 405, 409, 413, 422])
def test_a_definite_4xx_is_refused_and_not_repeated(
    stella_server: HTTPServer, hook: StellaConnectHook, status: int
) -> None:
    body = {"errors": [{"code": "invalid_customer", "message": "Jane Doe <jane.doe@example.com> is wrong"}]}
    stella_server.expect_request("/v1/requests").respond_with_json(body, status=status)
    refused = fate(hook)
    assert type(refused) is Refused
    assert (refused.status, refused.code, refused.outcome_known) == (status, "invalid_customer", True)
    assert refused.text == "[…] <[…]> is wrong"
    assert len(stella_server.log) == 1


def test_404_is_a_refusal_too(stella_server: HTTPServer, hook: StellaConnectHook) -> None:
    stella_server.expect_request("/v1/requests").respond_with_data("", status=404)
    assert isinstance(fate(hook), Refused)
    assert isinstance(fate(hook), NotFound)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_says_what_to_do(stella_server: HTTPServer, hook: StellaConnectHook, status: int) -> None:
    stella_server.expect_request("/v1/requests").respond_with_json(
        {"message": "stella-key-of-tests is unknown"}, status=status
    )
    wrong = fate(hook)
    assert type(wrong) is KeyFault
    assert "password of connection 'stella_connect_default'" in str(wrong)
    assert len(stella_server.log) == 1


def test_429_is_not_taken_and_says_when_to_come_back(stella_server: HTTPServer, hook: StellaConnectHook) -> None:
    stella_server.expect_request("/v1/requests").respond_with_data("", status=429, headers={"Retry-After": "17"})
    limited = fate(hook)
    assert type(limited) is RateLimited
    assert limited.retry_after == 17
    assert len(stella_server.log) == 1


# --- never left ------------------------------------------------------------------------------------------------


def never_left(hook: StellaConnectHook) -> str:
    fault = fate(hook)
    assert type(fault) is NeverSent
    assert fault.outcome_known
    return str(fault)


def test_a_refused_connection_never_left(hook: StellaConnectHook, connect_stella: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    connect_stella(f"http://127.0.0.1:{port}")
    assert "refused" in never_left(hook)


def test_an_unknown_host_never_left(hook: StellaConnectHook, connect_stella: Any) -> None:
    connect_stella("https://nonexistent.invalid")
    assert "https://nonexistent.invalid" in never_left(hook)


def test_a_connect_timeout_never_left(hook: StellaConnectHook, connect_stella: Any) -> None:
    with bad_server.not_accepting() as port:
        connect_stella(f"http://127.0.0.1:{port}", timeout=[0.2, 2])
        assert "timed out" in never_left(hook)


def test_a_server_without_tls_never_got_it(hook: StellaConnectHook, connect_stella: Any) -> None:
    def speak_plainly(_: BadServer, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(http("400 Bad Request"))

    with serving(speak_plainly) as server:
        connect_stella(f"https://127.0.0.1:{server.port}")
        assert "SSL" in never_left(hook)


@pytest.mark.parametrize("behaviour", [bad_server.reset, bad_server.silence])
def test_a_failing_handshake_never_left(hook: StellaConnectHook, connect_stella: Any, behaviour: Behaviour) -> None:
    with serving(behaviour) as server:
        connect_stella(f"https://127.0.0.1:{server.port}", timeout=[0.3, 2])
        never_left(hook)


def test_a_certificate_that_is_not_trusted_never_got_it(
    hook: StellaConnectHook, connect_stella: Any, tmp_path: Path
) -> None:
    _, context = loopback_certificate(tmp_path)
    with serving(answer(http("200 OK")), tls=context) as server:
        connect_stella(f"https://127.0.0.1:{server.port}")
        assert "CERTIFICATE_VERIFY_FAILED" in never_left(hook)
        assert server.requests == []


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_proxy_that_opens_no_tunnel_never_let_it_leave(
    hook: StellaConnectHook, connect_stella: Any, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    with serving(answer(http(status))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        connect_stella("https://vendor.invalid")
        assert status[:3] in never_left(hook)
        assert proxy.requests[0].startswith(b"CONNECT vendor.invalid:443")
        assert b"stella-key-of-tests" not in proxy.requests[0]


def test_a_proxy_of_the_connection_is_used(hook: StellaConnectHook, connect_stella: Any) -> None:
    with serving(answer(http("502 Bad Gateway"))) as proxy:
        connect_stella("https://vendor.invalid", proxies={"https": proxy.url})
        never_left(hook)
        assert len(proxy.requests) == 1


def test_trust_env_can_be_switched_off(
    hook: StellaConnectHook, connect_stella: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answer(http("502 Bad Gateway"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        connect_stella("https://nonexistent.invalid", trust_env=False)
        never_left(hook)
        assert proxy.connections == 0


# --- perhaps taken -------------------------------------------------------------------------------------------


def unknown(hook: StellaConnectHook, server: BadServer) -> OutcomeUnknown:
    fault = fate(hook)
    assert type(fault) is OutcomeUnknown
    assert not fault.outcome_known
    assert server.connections == 1  # sent once, whatever happened
    return fault


TOO_LONG = 100


@pytest.mark.parametrize(
    "behaviour",
    [
        bad_server.hear_then_reset,
        bad_server.hear_then_close,
        bad_server.hear_then_silence,
        bad_server.silence,
        answer(b"garbage\r\n\r\n"),
        answer(b"HTTP/1.1 20"),
        answer(http("200 OK", b'{"ok"', length=TOO_LONG)),
        answer_then_reset(http("200 OK", b'{"ok"', length=TOO_LONG)),
        answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"),
        answer(http("200 OK", b"not gzip", "Content-Encoding: gzip")),
    ],
    ids=[
        "reset after the request",
        "closed without a word",
        "silence after the request",
        "silence at once",
        "garbage",
        "half a status line",
        "body cut short",
        "body reset",
        "chunk cut short",
        "no chunk at all",
        "undecodable body",
    ],
)
def test_once_connected_any_accident_leaves_the_outcome_unknown(
    hook: StellaConnectHook, connect_stella: Any, behaviour: Behaviour
) -> None:
    with serving(behaviour) as server:
        connect_stella(server.url, timeout=[0.5, 0.3])
        unknown(hook, server)


def test_a_reset_at_once_is_judged_by_whether_the_connection_came_about(
    hook: StellaConnectHook, connect_stella: Any
) -> None:
    with serving(bad_server.reset) as server:
        connect_stella(server.url)
        fault = fate(hook)
        # The reset may overtake the end of connect(): then, and only then, nothing left.
        assert isinstance(fault, NeverSent) == isinstance(fault.__cause__, transport.ConnectFailed)
        assert isinstance(fault, NeverSent | OutcomeUnknown)
        assert server.requests == []


def test_silence_in_the_middle_of_an_answer_leaves_the_outcome_unknown(
    hook: StellaConnectHook, connect_stella: Any
) -> None:
    def stop_talking(server: BadServer, connection: socket.socket) -> None:
        bad_server.hear(server, connection)
        connection.sendall(http("200 OK", b"{", length=TOO_LONG))
        server.released.wait(10)

    with serving(stop_talking) as server:
        connect_stella(server.url, timeout=[0.5, 0.3])
        unknown(hook, server)


def test_a_reset_after_the_handshake_leaves_the_outcome_unknown(
    hook: StellaConnectHook, connect_stella: Any, tmp_path: Path
) -> None:
    certificate, context = loopback_certificate(tmp_path)
    with serving(bad_server.hear_then_reset, tls=context) as server:
        connect_stella(f"https://127.0.0.1:{server.port}", verify=str(certificate))
        unknown(hook, server)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "status", ["500 Oops", "502 Bad", "503 Busy", "504 Late", "408 Slow", "302 Found", "304 Same"]
)
def test_a_status_that_promises_nothing_leaves_the_outcome_unknown(
    hook: StellaConnectHook, connect_stella: Any, status: str
) -> None:
    with serving(answer(http(status, b"<html>Jane Doe</html>"))) as server:
        connect_stella(server.url)
        assert unknown(hook, server).status == int(status[:3])


@pytest.mark.parametrize("target", ["http://other.invalid/", "//[bad", "http://[bad", "ftp://x", "/v1/requests"])
def test_a_redirect_is_never_followed(hook: StellaConnectHook, connect_stella: Any, target: str) -> None:
    with serving(answer(http("307 Elsewhere", b"", f"Location: {target}"))) as server:
        connect_stella(server.url)
        assert "never followed" in str(unknown(hook, server))


# --- connections kept open -----------------------------------------------------------------------------------


def test_a_connection_is_used_again(hook: StellaConnectHook, connect_stella: Any) -> None:
    with serving(answer(KEPT_ALIVE, times=3)) as server:
        connect_stella(server.url)
        for _ in range(3):
            hook.send(REQUEST)
        assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    hook: StellaConnectHook, connect_stella: Any
) -> None:
    with serving(answer(KEPT_ALIVE)) as server:
        connect_stella(server.url)
        hook.send(REQUEST)
        assert server.closed.acquire(timeout=5)
        assert hook.send(REQUEST) == 200
        assert server.connections == 2


def test_a_connection_that_lay_idle_for_long_is_not_trusted(
    hook: StellaConnectHook, connect_stella: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_IDLE_SECONDS", 0)
    with serving(answer(KEPT_ALIVE, times=2)) as server:
        connect_stella(server.url)
        hook.send(REQUEST)
        hook.send(REQUEST)
        assert server.connections == 2


def test_logs_hold_neither_keys_nor_customers(
    stella_server: HTTPServer, hook: StellaConnectHook, caplog: pytest.LogCaptureFixture
) -> None:
    stella_server.expect_request("/v1/requests").respond_with_data("Jane Doe", status=500)
    with caplog.at_level(logging.DEBUG):
        fate(hook)
    for secret in ("Jane", "stella-key-of-tests", "stella-secret-of-tests"):
        assert secret not in caplog.text


@pytest.mark.timeout(10)
def test_how_long_an_answer_may_take_is_the_posts_own_unless_the_connection_says_otherwise(
    hook: StellaConnectHook, connect_stella: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.stella_connect.hook.MAX_SECONDS_FOR_AN_ANSWER", 0.2)
    with serving(bad_server.silence) as server:
        connect_stella(server.url, timeout=None)
        assert isinstance(fate(hook), OutcomeUnknown)

    monkeypatch.setattr("plugins.stella_connect.hook.MAX_SECONDS_FOR_AN_ANSWER", 60)
    with serving(bad_server.silence) as server, StellaConnectHook() as other:
        connect_stella(server.url, timeout=[0.5, 0.2])
        assert isinstance(fate(other), OutcomeUnknown)
