"""What every read has in common, tried on one call of Kustomer's hook."""

import logging
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from structlog.testing import capture_logs

from plugins.kustomer.hook import KustomerHook
from plugins.vendor_api import hook as vendor_hook
from plugins.vendor_api.errors import (
    BrokenAnswer,
    KeyFault,
    NeverSent,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    VendorApiError,
)
from tests.support import bad_server
from tests.support.bad_server import Behaviour, answer, answer_then_reset, http, serving

GOOD = http("200 OK", b'{"data": []}')


@pytest.mark.parametrize(
    "accident",
    [
        bad_server.reset,
        bad_server.hear_then_reset,
        bad_server.hear_then_close,
        bad_server.hear_then_silence,
        answer(http("200 OK", b'{"da', length=50)),
        answer_then_reset(http("200 OK", b'{"da', length=50)),
        answer(http("200 OK", b"<html>")),
        answer(http("200 OK", b"{}")),
        answer(http("200 OK", b'{"data": null}')),
        answer(http("200 OK", b"[]")),
        answer(http("204 No Content")),
        answer(http("429 Slow down", b"", "Retry-After: 1")),
        answer(http("500 Oops")),
        answer(http("503 Busy")),
        answer(http("408 Slow")),
    ],
)
def test_a_read_gets_over_an_accident(connect_kustomer: Any, accident: Behaviour) -> None:
    with serving(accident, answer(GOOD)) as server:
        connect_kustomer(server.url, timeout=[0.5, 0.3])
        assert KustomerHook().list_names("tag") == {}
        assert server.connections == 2


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (http("429 Slow down"), RateLimited),
        (http("500 Oops"), OutcomeUnknown),
        (http("302 Found", b"", "Location: http://other.invalid/"), OutcomeUnknown),
        (http("200 OK", b"{}"), BrokenAnswer),
    ],
)
def test_a_read_gives_up_after_five_attempts(
    connect_kustomer: Any, raw: bytes, expected: type[VendorApiError]
) -> None:
    with serving(answer(raw)) as server:
        connect_kustomer(server.url)
        with pytest.raises(expected) as given_up:
            KustomerHook().list_names("tag")
        assert server.connections == vendor_hook.READ_ATTEMPTS == 5
        assert str(given_up.value).startswith("kustomer_default: GET /v1/tags answered ")


def test_a_dead_host_is_given_up_too(connect_kustomer: Any) -> None:
    connect_kustomer("https://nonexistent.invalid")
    with pytest.raises(NeverSent, match=r"GET /v1/tags was not sent: no connection to https://nonexistent.invalid"):
        KustomerHook().list_names("tag")


@pytest.mark.parametrize(
    ("status", "expected"), [(400, Refused), (401, KeyFault), (403, KeyFault), (404, NotFound)]
)
def test_what_cannot_get_better_is_not_tried_again(
    kustomer_server: HTTPServer, status: int, expected: type[VendorApiError]
) -> None:
    kustomer_server.expect_request("/v1/tags").respond_with_json({"errors": []}, status=status)
    with pytest.raises(expected):
        KustomerHook().list_names("tag")
    assert len(kustomer_server.log) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"code": "bad_request", "message": "pageSize is wrong for jo@example.com", "meta": {}},
        {
            "status": "400",
            "code": "bad_request",
            "title": "pageSize is wrong for jo@example.com",
            "source": {"parameter": "x"},
        },
    ],
)
def test_both_documented_error_shapes_read_alike(kustomer_server: HTTPServer, error: dict[str, Any]) -> None:
    kustomer_server.expect_request("/v1/tags").respond_with_json({"errors": [error]}, status=400)
    with pytest.raises(Refused) as refused:
        KustomerHook().list_names("tag")
    assert str(refused.value) == (
        "kustomer_default: GET /v1/tags answered 400 bad_request (pageSize is wrong for […])."
    )
    assert refused.value.call == "GET /v1/tags"
    assert (refused.value.status, refused.value.code) == (400, "bad_request")


def test_every_further_attempt_is_told_in_the_log_without_secrets(
    connect_kustomer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(answer(http("500 Oops", b"jo@example.com")), answer(GOOD)) as server:
        connect_kustomer(server.url)
        with capture_logs() as ours, caplog.at_level(logging.DEBUG):
            KustomerHook().list_names("tag")
    assert len(ours) == 1
    told = ours[0]["event"]
    assert told.startswith("kustomer_default: GET /v1/tags answered 500. Waiting ")
    for log in (told, caplog.text):
        assert "kustomer-key-of-tests" not in log
        assert "jo@example.com" not in log


def test_a_traceback_shows_no_body(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_request("/v1/tags").respond_with_data("<html>jo@example.com</html>")
    with pytest.raises(BrokenAnswer) as broken:
        KustomerHook().list_names("tag")
    assert broken.value.__cause__ is None


def test_the_connection_is_looked_up_once(kustomer_server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    kustomer_server.expect_request("/v1/tags").respond_with_json({"data": []})
    hook = KustomerHook()
    hook.list_names("tag")
    monkeypatch.delenv("AIRFLOW_CONN_KUSTOMER_DEFAULT")
    assert hook.list_names("tag") == {}
