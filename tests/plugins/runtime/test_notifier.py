"""A failed run and an alarm reach people over a real socket, and only if somebody has switched it on."""

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from pytest_httpserver import HTTPServer
from werkzeug import Response

from plugins.runtime.notifier import notify_failure, send_message
from plugins.runtime.webhook import ATTEMPTS, CONNECTION, AlarmWebhookHook

FAILED_RUN: Any = {"dag": SimpleNamespace(dag_id="kustomer_stella_connect"), "run_id": "scheduled__1"}
VARIABLE = f"AIRFLOW_CONN_{CONNECTION.upper()}"


@pytest.fixture
def webhook(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A server behind the connection of the notifier; the rest of its path is a secret."""
    connection = {"conn_type": "http", "host": httpserver.url_for("/hooks"), "password": "T0/s3cret"}
    monkeypatch.setenv(VARIABLE, json.dumps(connection))
    return httpserver


def texts(server: HTTPServer) -> list[str]:
    return [request.get_json()["text"] for request, _ in server.log]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "plugins.runtime.notifier"]


def test_a_failed_run_is_one_message_with_its_name_and_address(
    webhook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/")
    webhook.expect_request("/hooks/T0/s3cret", method="POST").respond_with_data("ok")

    notify_failure(FAILED_RUN)

    assert texts(webhook) == [
        "The run scheduled__1 of the DAG kustomer_stella_connect has failed. "
        "https://airflow.example.com/dags/kustomer_stella_connect/runs/scheduled__1"
    ]


@pytest.mark.parametrize(
    "connection",
    [
        "http://{host}/services/T000/B000/XXXX",
        "http://http%3A%2F%2F{host}/services%2FT000%2FB000%2FXXXX",
        "alarm-webhook://{host}/services/T000/B000/XXXX",
        "alarm-webhook://:B000%2FXXXX@{host}/services%2FT000",
        '{{"conn_type": "http", "host": "http://{host}/services/T000/B000/XXXX"}}',
        '{{"conn_type": "http", "host": "{host}/services/T000", "schema": "http", "password": "/B000/XXXX"}}',
        '{{"conn_type": "alarm_webhook", "host": "http://{host}/services/", "password": "T000/B000/XXXX"}}',
    ],
)
def test_the_connection_may_be_written_in_any_of_its_forms(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, connection: str
) -> None:
    httpserver.expect_request("/services/T000/B000/XXXX", method="POST").respond_with_data("ok")
    monkeypatch.setenv(VARIABLE, connection.format(host=f"{httpserver.host}:{httpserver.port}"))

    assert send_message("ALARM: 3 of 4")

    assert texts(httpserver) == ["ALARM: 3 of 4"]


def test_the_query_of_a_webhooks_uri_is_part_of_its_address(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/v1/spaces", query_string="key=a%2Fb&token=c").respond_with_data("ok")
    address = f"http://{httpserver.host}:{httpserver.port}/v1/spaces?key=a%2Fb&token=c&timeout=5"
    monkeypatch.setenv(VARIABLE, address)

    assert send_message("ALARM: 3 of 4")


def test_without_the_connection_no_message_is_sent_and_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        notify_failure(FAILED_RUN)

    assert f"there is no connection '{CONNECTION}'" in caplog.text


def test_a_webhook_that_stumbles_is_tried_again(webhook: HTTPServer) -> None:
    answers = iter([Response(status=500), Response(status=200)])
    webhook.expect_request("/hooks/T0/s3cret").respond_with_handler(lambda _: next(answers))

    assert send_message("ALARM: 3 of 4")

    assert texts(webhook) == ["ALARM: 3 of 4"] * 2


@pytest.mark.parametrize(("status", "cause"), [(404, "it answered 404"), (301, "it answered 301")])
def test_a_webhook_that_refuses_is_named_with_the_cause_and_fails_nothing(
    webhook: HTTPServer, caplog: pytest.LogCaptureFixture, status: int, cause: str
) -> None:
    webhook.expect_request("/hooks/T0/s3cret").respond_with_data("s3cret", status=status)

    assert not send_message("ALARM: 3 of 4")

    assert len(webhook.log) == ATTEMPTS
    assert errors(caplog) == [f"No message was sent: the webhook of connection '{CONNECTION}' failed: {cause}."]


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        ("http://127.0.0.1:9/s3cret", "Connection refused"),
        ("http://s3cret.invalid", "gaierror"),
        ("http://[s3cret", "has no usable address in host"),
        ("", "has no usable address in host"),
        ("ftp://s3cret", "has no usable address in host"),
    ],
)
def test_an_address_that_leads_nowhere_is_named_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, host: str, cause: str
) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "http", "host": host, "password": "s3cret"}))

    assert not send_message("ALARM: 3 of 4")

    (error,) = errors(caplog)
    assert f"'{CONNECTION}'" in error
    assert cause in error
    assert "s3cret" not in caplog.text


def test_the_test_button_sends_a_message(webhook: HTTPServer) -> None:
    webhook.expect_request("/hooks/T0/s3cret").respond_with_data("ok")
    connection = Connection(
        conn_id="new", conn_type="alarm_webhook", host=webhook.url_for("/hooks"), password="T0/s3cret"
    )

    works, message = connection.test_connection()

    assert (works, len(texts(webhook))) == (True, 1), message
    assert texts(webhook)[0].startswith("Test message of the Kustomer to Stella Connect pipeline")


def test_the_test_button_says_why_it_does_not_work(webhook: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AlarmWebhookHook().test_connection() == (False, "it answered 500")
    monkeypatch.delenv(VARIABLE)
    works, message = AlarmWebhookHook().test_connection()
    assert (works, "does not exist" in message) == (False, True)
