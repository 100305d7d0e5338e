"""The feedback about interactions that were released."""

from datetime import UTC, datetime, timedelta

import pytest

from plugins.pipeline.feedback import Feedback
from plugins.stella_connect.hook import StellaConnectHook
from scripts.stack.waiting import wait_until
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

DAY = timedelta(days=1)


@pytest.fixture
def fault(sandbox):
    """A function that makes Stella Connect's answers to releases fail in a way."""

    def strike(kind, times=None, path="/v1/requests"):
        sandbox.state.faults.replace([{"match": {"path_prefix": path}, "kind": kind, "times": times}])

    return strike


@pytest.fixture
def feedback(pipeline):
    """A function that runs the feedback as if it were so much later."""

    def run(later=timedelta(), on_absent="ask", connection="stella_connect_default"):
        with StellaConnectHook(connection) as hook:
            return Feedback(pipeline.ledger, hook, on_absent, by=by_run("feedback")).read(datetime.now(UTC) + later)

    return run


@pytest.fixture
def calls(sandbox):
    """A function that counts the calls to Data Return so far."""
    return lambda: sum(n for call, n in sandbox.state.calls.items() if "/v2/data" in str(call))


def release(pipeline, hour):
    pipeline.release_due(run_of(hour))


@pytest.fixture
def closed(pipeline, close, hour):
    """A conversation whose interaction is planned and due."""
    conversation = close()
    pipeline.extract(run_of(hour))
    return conversation


@pytest.fixture
def unknown_later(pipeline, closed, close, hour, fault, feedback):
    """Another closing, whose request has an unknown outcome, after the first reading of answers."""
    release(pipeline, hour)
    feedback()
    conversation = close(minute=20)
    fault("500_before", times=1)
    pipeline.run(run_of(hour))
    return conversation


def events(pipeline, conversation):
    history = pipeline.ledger.history(conversation)
    return [(one.from_state, one.to_state, one.detail, str(one.by)) for one in history]


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def eventually(feedback, count, **options):
    return wait_until(lambda: feedback(**options)[count], f"the feedback to count {count}", 20, every=0.05)
