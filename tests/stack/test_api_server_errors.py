"""Airflow's API server answers 500 to tasks that read a Variable or a connection: they retry, and send nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from include.sandbox.changes import change_conversation
from scripts.stack.connections import DAG_ID
from scripts.stack.waiting import wait_until
from tests.support.gateway import Gateway, before
from tests.support.installation import Installation

pytestmark = [pytest.mark.stack, pytest.mark.soak, pytest.mark.timeout(900)]

EXTRACT, URL = "extract_closed_conversations", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
BOUND = 400


@pytest.fixture(scope="module")
def gateway(installation: Installation) -> Iterator[Gateway]:
    """What stands between the tasks and the API server."""
    stack = installation.stack
    direct = stack.env[URL]
    with before(stack.url) as gateway:
        for address in (f"{gateway.url}/execution/", direct):
            stack.env[URL] = address
            stack.end("scheduler")
            stack.start("scheduler")
            stack.wait_healthy()
            if address != direct:
                installation.api.set_paused(DAG_ID, paused=False)
                yield gateway


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/execution/variables/", "could not read the Variable 'kustomer_stella_connect'"),
        ("/execution/connections/", "could not read the connection"),
    ],
)
def test_what_cannot_be_read_is_retried_and_never_a_default(
    installation: Installation, gateway: Gateway, path: str, said: str
) -> None:
    received, now = installation.sandbox.state.received, datetime.now(UTC)
    at = now - timedelta(minutes=5)
    closed = change_conversation(installation.sandbox.state, {"closed_at": at, "updated_at": at}).id
    gateway.broken = (path,)
    run_id = installation.trigger(now - timedelta(minutes=6), now)

    def extraction() -> dict[str, object]:
        return next(one for one in installation.tasks(run_id) if one["task_id"] == EXTRACT)

    wait_until(lambda: extraction()["state"] == "up_for_retry", "a try to fail", BOUND)
    log = json.dumps(installation.log(run_id, extraction()))
    sent_meanwhile = [one for one in received if one.request["ext_interaction_id"] == closed]
    gateway.broken = ()

    assert gateway.failed > 0
    assert said in log
    assert sent_meanwhile == []
    assert installation.api.wait_for_run(DAG_ID, run_id, BOUND) == "success"
    assert [one.request["ext_interaction_id"] for one in received].count(closed) == 1
