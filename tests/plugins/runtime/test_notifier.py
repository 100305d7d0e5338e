"""A failed run and an alarm reach people over a real socket, and only if somebody has switched it on."""

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from plugins.runtime.notifier import ATTEMPTS, CONNECTION, notify_failure, tell

FAILED_RUN: Any = {"dag": SimpleNamespace(dag_id="kustomer_stella_connect"), "run_id": "scheduled__1"}


@pytest.fixture
def webhook(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A server behind the connection of the notifier; the rest of its path is a secret."""
    connection = {"conn_type": "http", "host": httpserver.url_for("/hooks"), "password": "T0/s3cret"}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(connection))
    return httpserver


def texts(server: HTTPServer) -> list[str]:
    return [request.get_json()["text"] for request, _ in server.log]


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


def test_without_the_connection_nobody_is_told_and_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        notify_failure(FAILED_RUN)

    assert f"there is no connection '{CONNECTION}'" in caplog.text


def test_a_webhook_that_stumbles_is_tried_again(webhook: HTTPServer) -> None:
    answers = iter([Response(status=500), Response(status=200)])
    webhook.expect_request("/hooks/T0/s3cret").respond_with_handler(lambda _: next(answers))

    tell("ALARM: 3 of 4")

    assert texts(webhook) == ["ALARM: 3 of 4"] * 2


@pytest.mark.parametrize("gone", [False, True])
def test_a_broken_webhook_is_logged_without_its_address_and_fails_nothing(
    webhook: HTTPServer, caplog: pytest.LogCaptureFixture, gone: bool
) -> None:
    webhook.expect_request("/hooks/T0/s3cret").respond_with_data("no such hook", status=404)
    if gone:
        webhook.stop()

    tell("ALARM: 3 of 4")

    assert gone or len(webhook.log) == ATTEMPTS
    (error,) = [one.getMessage() for one in caplog.records if one.name == "plugins.runtime.notifier"]
    assert "s3cret" not in error
    assert f"the webhook of connection '{CONNECTION}' failed" in error
    if gone:
        webhook.start()
