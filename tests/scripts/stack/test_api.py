"""The questions to Airflow's REST API on a machine that has too much to do."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import requests
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from scripts.stack.api import AirflowApi
from scripts.stack.ports import HOST, free_port


@contextmanager
def api(server: HTTPServer) -> Iterator[AirflowApi]:
    opened = AirflowApi(server.url_for("").rstrip("/"))
    yield opened
    opened.close()


class Breaks:
    """Breaks the connection without an answer, the first time."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: Request) -> Response:
        self.asked += 1
        if self.asked == 1:
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return Response('{"state": "running", "dag_run_id": "by hand"}', content_type="application/json")


def test_a_question_without_an_answer_is_asked_again(httpserver: HTTPServer) -> None:
    breaks = Breaks()
    httpserver.expect_request("/api/v2/dags/pipeline/dagRuns/one").respond_with_handler(breaks)
    with api(httpserver) as asking:
        assert asking.run_state("pipeline", "one") == "running"
    assert breaks.asked == 2


def test_a_question_that_a_locked_database_keeps_from_its_answer_is_asked_again(httpserver: HTTPServer) -> None:
    question = "/api/v2/dags/pipeline/dagRuns/one"
    httpserver.expect_ordered_request(question).respond_with_data("Database error", status=500)
    httpserver.expect_ordered_request(question).respond_with_json({"state": "running"})
    with api(httpserver) as asking:
        assert asking.run_state("pipeline", "one") == "running"


def test_a_backfill_that_a_locked_database_refuses_is_ordered_again(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/api/v2/backfills").respond_with_data("Database error", status=500)
    httpserver.expect_ordered_request("/api/v2/backfills").respond_with_json({"id": 7})
    with api(httpserver) as ordering:
        assert ordering.backfill("pipeline", datetime.now(UTC), datetime.now(UTC)) == 7


def test_an_order_without_an_answer_is_not_given_again(httpserver: HTTPServer) -> None:
    breaks = Breaks()
    httpserver.expect_request("/api/v2/dags/pipeline/dagRuns", method="POST").respond_with_handler(breaks)
    with api(httpserver) as ordering, pytest.raises(requests.ConnectionError):
        ordering.trigger_run("pipeline")
    assert breaks.asked == 1


def test_that_nobody_listens_is_told_at_once() -> None:
    nobody = AirflowApi(f"http://{HOST}:{free_port()}")
    with pytest.raises(requests.ConnectionError, match="refused"):
        nobody.health()
