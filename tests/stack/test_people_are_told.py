"""A failed run and an alarm reach a person through a webhook, in the real Airflow."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer

from include.ledger import Ledger, connect
from plugins.runtime.webhook import CONNECTION
from scripts.stack.waiting import wait_until
from tests.support.installation import HOUR, SEARCH_ROLE, Installation, Runs
from tests.support.ledger import by_run, closing

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

PIPELINE, FEEDBACK = "kustomer_stella_connect", "stella_connect_feedback"


@pytest.fixture(scope="module")
def webhook(installation: Installation, runs: Runs) -> Iterator[HTTPServer]:
    """What people look at; the connection is stored in Airflow, and goes with the tests of this file."""
    with HTTPServer() as server:
        server.expect_request("/hooks/secret").respond_with_data("ok")
        connection = {"conn_type": "http", "host": server.url_for("/hooks"), "password": "secret"}
        installation.api.add_connection(CONNECTION, **connection)
        yield server
        installation.api.call("DELETE", f"connections/{CONNECTION}")


def texts(server: HTTPServer) -> list[str]:
    return [request.get_json()["text"] for request, _ in server.log]


def test_a_failed_run_is_one_message(installation: Installation, webhook: HTTPServer) -> None:
    end = installation.last_interval_end
    with installation.kustomer_key_without(SEARCH_ROLE):
        run_id = installation.trigger(end - HOUR, end)
        assert installation.wait(run_id) == "failed"

    wait_until(lambda: texts(webhook), "a message about the failed run", 90)

    (text,) = texts(webhook)
    assert text.startswith(f"The run {run_id} of the DAG {PIPELINE} has failed.")


def test_an_alarm_is_one_message_however_often_it_is_found(installation: Installation, webhook: HTTPServer) -> None:
    api, url = installation.api, f"sqlite:///{installation.stack.home}/ledger.db"
    webhook.clear_log()
    ledger, forgotten = Ledger(connect(url)), closing(1, closed_at=datetime.now(UTC) - timedelta(hours=9))
    ledger.extraction.record_closings([forgotten], by_run("test"))
    try:
        api.set_paused(FEEDBACK, paused=False)
        wait_until(lambda: api.runs(FEEDBACK), "the clock's own run", 60)
        for run_id in (api.runs(FEEDBACK)[0]["dag_run_id"], api.trigger_run(FEEDBACK)):
            assert api.wait_for_run(FEEDBACK, run_id) == "success"
    finally:
        ledger.admin.cancel(forgotten.conversation_id, None, by_run("test"), "the end of the test", dry_run=False)
        api.set_paused(FEEDBACK, paused=True)

    messages = texts(webhook)
    overdue = "ALARM: 1 planned interactions have been due for more than 10 minutes"
    assert [text.startswith(overdue) for text in messages].count(True) == 1
    assert len(messages) == len(set(messages)), "no other alarm is sent twice either"
