"""Whatever a POST meets on its way: the state it leaves behind, and that nothing is ever sent twice."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.settings import Settings
from include.ledger import Ledger
from include.sandbox import STELLA_KEY, STELLA_SECRET
from include.sandbox.faults import Fault
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.release import MAX_PAUSES, Release, ReleaseInterrupted
from plugins.stella_connect.hook import StellaConnectHook
from tests.support import bad_server
from tests.support.bad_server import answer, http, not_accepting, serving
from tests.support.certificates import loopback_certificate
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

HOUR = timedelta(hours=1)
ELSEWHERE = "stella_connect_elsewhere"
SILENCE_SECONDS = 0.4
"""The read timeout of the tests that wait for one."""


class PostsElsewhere(StellaConnectHook):
    """Profiles from the sandbox, POSTs to the host of another connection."""

    def __init__(self) -> None:
        super().__init__(ELSEWHERE)

    def active_employees(self) -> list[str]:
        return StellaConnectHook().active_employees()


@pytest.fixture
def connect(monkeypatch):
    """A function that sets a connection of type stella_connect."""

    def connect(conn_id: str, host: str, **extra: object) -> None:
        extra = {"api_secret": STELLA_SECRET, **extra}
        connection = {"conn_type": "stella_connect", "host": host, "password": STELLA_KEY, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return connect


@pytest.fixture
def conversation(pipeline, close, hour) -> str:
    """A conversation whose interaction is planned and due."""
    planned = close()
    pipeline.extract(run_of(hour))
    return planned


@pytest.fixture
def release_elsewhere(pipeline, connect, hour):
    """A function that releases the hour by POSTs to another host."""

    def release(host: str, **extra: object) -> None:
        connect(ELSEWHERE, host, **{"timeout": [0.5, SILENCE_SECONDS], **extra})
        with KustomerHook(requests_per_minute=0) as kustomer, PostsElsewhere() as stella_connect:
            Release(pipeline.ledger, kustomer, stella_connect, Settings(), by=by_run("run")).window(
                hour, hour + 2 * HOUR
            )

    return release


@pytest.fixture
def afterwards(pipeline, sandbox, hour):
    """A function that does all that may be done to an hour again, hours later and with nothing in the way."""

    def everything_again() -> None:
        sandbox.state.faults.replace([])
        much_later = Ledger(pipeline.engine, lambda: datetime.now(UTC) + timedelta(days=1))
        pipeline.release_due(run_of(hour))  # the task's retry
        much_later.releasing.recover(by=by_run("test"))
        pipeline.run(run_of(hour))  # cleared
        pipeline.run(run_of(hour, origin="backfill"))
        pipeline.run(run_of(hour, origin="manual"))
        pipeline.run(run_of(hour + HOUR))

    return everything_again


# --- it provably never left --------------------------------------------------------------------------------------


@contextmanager
def refused_port(_) -> Iterator[tuple[str, dict[str, object]]]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}", {}


@contextmanager
def unknown_host(_):
    yield "https://nonexistent.invalid", {}


@contextmanager
def connect_timeout(_):
    with not_accepting() as port:
        yield f"http://127.0.0.1:{port}", {"timeout": [0.1, SILENCE_SECONDS]}


@contextmanager
def broken_handshake(_):
    with serving(bad_server.reset) as server:
        yield f"https://127.0.0.1:{server.port}", {}


@contextmanager
def silent_handshake(_):
    with serving(bad_server.silence) as server:
        yield f"https://127.0.0.1:{server.port}", {"timeout": [0.1, SILENCE_SECONDS]}


@contextmanager
def untrusted_certificate(folder):
    _, tls = loopback_certificate(folder)
    with serving(answer(http("200 OK")), tls=tls) as server:
        yield f"https://127.0.0.1:{server.port}", {}
        assert server.requests == []


@contextmanager
def refusing_proxy(_):
    with serving(answer(http("502 Bad Gateway"))) as proxy:
        yield "https://vendor.invalid", {"proxies": {"https": proxy.url}}
        assert [request for request in proxy.requests if not request.startswith(b"CONNECT ")] == []


@contextmanager
def absent_proxy(_):
    with refused_port(_) as (url, _extra):
        yield "https://vendor.invalid", {"proxies": {"https": url}}


@pytest.mark.parametrize(
    "obstacle",
    [
        refused_port,
        unknown_host,
        connect_timeout,
        broken_handshake,
        silent_handshake,
        untrusted_certificate,
        refusing_proxy,
        absent_proxy,
    ],
)
def test_a_request_that_never_left_is_planned_again_and_goes_out_once(
    pipeline, sandbox, conversation, release_elsewhere, afterwards, tmp_path, obstacle
):
    with (
        obstacle(tmp_path) as (host, extra),
        pytest.raises(ReleaseInterrupted, match="was not sent: no connection"),
    ):
        release_elsewhere(host, **extra)

    assert pipeline.states() == {conversation: "planned"}
    (row,) = pipeline.query("SELECT attempts, token, lease_until FROM interaction")
    assert tuple(row) == (MAX_PAUSES + 1, None, None)
    assert sandbox.state.calls["POST /v1/requests"] == 0

    afterwards()
    assert pipeline.states() == {conversation: "sent"}
    assert pipeline.sent() == [conversation]


# --- it may have been taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("hang", 0),
        ("accept_then_hang", 1),
        ("reset", 0),
        ("accept_then_reset", 1),
        ("500_before", 0),
        ("accept_then_500", 1),
        ("502", 0),
        ("503", 0),
        ("504", 0),
        ("408", 0),
        ("cut_body", 1),
        ("redirect", 0),
    ],
)
def test_a_request_that_may_have_been_taken_is_unknown_and_never_repeated(
    pipeline, sandbox, connect, conversation, afterwards, hour, kind, taken
):
    connect("stella_connect_default", sandbox.stella_url, timeout=[1, SILENCE_SECONDS])
    sandbox.state.faults.active = [Fault(kind, "/v1/requests")]

    pipeline.release_due(run_of(hour))

    assert pipeline.states() == {conversation: "unknown"}
    assert len(pipeline.sent()) == taken

    afterwards()
    assert pipeline.states() == {conversation: "unknown"}
    assert sandbox.state.calls["POST /v1/requests"] == 1
    assert len(pipeline.sent()) == taken


@pytest.mark.parametrize(
    "behaviour",
    [
        bad_server.silence,
        bad_server.hear_then_silence,
        bad_server.hear_then_close,
        bad_server.hear_then_reset,
        answer(b"HTTP/1.1 20"),
        answer(b"garbage\r\n\r\n"),
        answer(http("200 OK", b"{", length=100)),
        answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    ],
    ids=[
        "half-open connection",
        "silence after the request",
        "closed without a word",
        "reset after the request",
        "half a status line",
        "garbage",
        "body cut short",
        "chunk cut short",
    ],
)
def test_a_connection_that_breaks_leaves_the_outcome_unknown_and_is_never_tried_again(
    pipeline, sandbox, conversation, release_elsewhere, afterwards, behaviour
):
    with serving(behaviour) as server:
        release_elsewhere(server.url)
        assert server.connections == 1

    assert pipeline.states() == {conversation: "unknown"}

    afterwards()
    assert pipeline.states() == {conversation: "unknown"}
    assert sandbox.state.calls["POST /v1/requests"] == 0


# --- it was taken ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["empty_body", "not_json", "no_data", "slow"])
def test_a_2xx_is_taken_whatever_its_body(pipeline, sandbox, conversation, afterwards, hour, kind):
    sandbox.state.faults.active = [Fault(kind, "/v1/requests", seconds=0.1)]

    pipeline.release_due(run_of(hour))

    assert pipeline.states() == {conversation: "sent"}

    afterwards()
    assert pipeline.sent() == [conversation]


# --- it was not taken ---------------------------------------------------------------------------------------------


def test_a_storm_of_429_keeps_it_planned_within_a_bounded_number_of_tries(
    pipeline, sandbox, conversation, afterwards, hour
):
    sandbox.state.faults.active = [Fault("429", "/v1/requests")]

    with pytest.raises(ReleaseInterrupted, match="429"):
        pipeline.release_due(run_of(hour))

    assert pipeline.states() == {conversation: "planned"}
    assert sandbox.state.calls["POST /v1/requests"] == MAX_PAUSES + 1

    afterwards()
    assert pipeline.states() == {conversation: "sent"}
    assert pipeline.sent() == [conversation]


def test_every_try_is_in_the_history(pipeline, sandbox, conversation, hour):
    sandbox.state.faults.active = [Fault("429", "/v1/requests", times=1), Fault("accept_then_500", "/v1/requests")]

    pipeline.release_due(run_of(hour))

    steps = [(event.to_state, event.detail) for event in pipeline.ledger.history(conversation)]
    assert [state for state, _ in steps] == [
        *("planned", "claimed", "sending", "planned"),
        *("claimed", "sending", "unknown"),
    ]
    assert steps[3][1] == "RateLimited"
    assert "answered 500" in steps[-1][1]
