"""The tasks that act on an unhappy answer die at every step: nothing twice or forgotten, at most one recovery."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from include.ledger import Ledger
from include.sandbox.faults import Fault
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.feedback import Feedback
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.recovering import LEASE as STEP_LEASE
from plugins.pipeline.sending import SENDING_LEASE
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from tests.support.ledger import by_run
from tests.support.pipeline import Pipeline, run_of
from tests.support.recovery_process import WRITES, extract_until_hit, recover_until_hit
from tests.support.release_process import POINTS, Hit, release, started
from tests.support.unhappy import THEN, Recoveries

pytestmark = pytest.mark.usefixtures("no_waiting")

ACTIONS = list(WRITES)
BESIDE = ("before", "after")
HITS = [
    *[(f"{when} the steps are planned", 1) for when in BESIDE],
    *[(f"{when} the {step}", n) for n in range(1, 5) for step in ("claim", "outcome") for when in BESIDE],
    *[(f"{when} the {action}", 1) for action in ACTIONS for when in BESIDE],
    *[("after the look at the conversation", n) for n in range(1, 4)],
]
"""Where the task dies; the nth claim and outcome are those of the nth action. A message needs no look."""


@pytest.fixture
def answered(pipeline: Pipeline, close: Any, hour: Any, recover: Any, unhappy: Recoveries, webhook: Any) -> Any:
    """A conversation whose customer answered badly, with every action in the settings."""
    conversation = close()
    pipeline.run(run_of(hour))
    recover(THEN)
    unhappy.answer(conversation)
    return conversation


def die(target: Callable[..., None], *arguments: object) -> None:
    """Run it in a process of its own, which kills itself."""
    with started(target, *arguments) as process:
        process.join(60)
        assert process.exitcode == -signal.SIGKILL


def is_in_doubt(point: str, number: int, action: str) -> bool:
    """Whether the claim of the action was committed and its outcome was not."""
    at = point.rpartition(" ")[2]
    if at in ("claim", "outcome"):
        return ACTIONS[number - 1] == action and point in ("after the claim", "before the outcome")
    if at == "conversation":
        return ["note", "tag", "reopen"][number - 1] == action
    return at == action


@pytest.mark.parametrize(("point", "number"), HITS)
def test_a_killed_run_does_nothing_twice_and_forgets_nothing(
    unhappy: Recoveries, answered: str, webhook: HTTPServer, environment: Any, point: str, number: int
) -> None:
    die(recover_until_hit, environment, Hit(point, signal.SIGKILL, number))

    for act in (unhappy.act, unhappy.act_after_lease, unhappy.act_after_lease):
        act()

    taken = point in ("before the outcome", "after the note", "after the webhook")
    note = not is_in_doubt(point, number, "note") or taken
    message_known = not is_in_doubt(point, number, "webhook")
    assert unhappy.steps() == {
        "note": "done" if note else "failed",
        "tag": "done",
        "webhook": "done" if message_known else "failed",
        "reopen": "done",
    }, "failed asks a person: it may have been done"
    assert unhappy.effects(answered, webhook) == {
        "note": int(note),
        "tag": 1,
        "webhook": int(message_known or taken),
        "reopen": 1,
    }


@pytest.mark.parametrize(
    ("action", "first", "second"),
    [
        ("note", "after the note", "after the look at the notes"),
        ("tag", "after the tag", "after the tag"),
        ("reopen", "after the reopen", "after the look at the conversation"),
        ("reopen", "before the reopen", "after the reopen"),
    ],
)
def test_a_run_killed_while_it_looks_what_another_did_leaves_it_to_a_third(
    unhappy: Recoveries,
    answered: str,
    recover: Any,
    webhook: HTTPServer,
    request: pytest.FixtureRequest,
    action: str,
    first: str,
    second: str,
) -> None:
    recover({action: THEN[action]})
    environment = request.getfixturevalue("environment")
    later = STEP_LEASE + timedelta(seconds=1)
    die(recover_until_hit, environment, Hit(first, signal.SIGKILL))
    die(recover_until_hit, environment, Hit(second, signal.SIGKILL), later)

    unhappy.act(2 * later)

    assert unhappy.steps() == {action: "done"}
    assert unhappy.effects(answered, webhook)[action] == 1


def test_a_conversation_closed_again_before_the_look_is_not_reopened_twice(
    unhappy: Recoveries, answered: str, webhook: HTTPServer, environment: Any
) -> None:
    die(recover_until_hit, environment, Hit("after the reopen", signal.SIGKILL))
    unhappy.close_again(answered)

    unhappy.act_after_lease()

    assert unhappy.steps()["reopen"] == "done"
    assert unhappy.effects(answered, webhook)["reopen"] == 1
    assert unhappy.recovered() == [answered]


@pytest.fixture
def reopened(answered: str, unhappy: Recoveries) -> str:
    unhappy.act()
    return answered


def check_the_recovery(unhappy: Recoveries, conversation: str) -> None:
    """At most one recovery and no second survey; what is not known to be sent is left to a person."""
    pipeline = unhappy.pipeline
    with StellaConnectHook("stella_connect_default") as hook:
        Feedback(pipeline.ledger, hook, "ask", by=by_run("feedback")).read(datetime.now(UTC))
    pipeline.release_due(run_of(datetime.now(UTC)))
    taken = unhappy.recovered()
    assert taken in ([], [conversation])
    assert pipeline.states() == {conversation: "sent" if taken else "unknown"}
    assert pipeline.sent() == [conversation], "the first survey"


@pytest.mark.parametrize("point", ["before the closing is committed", "after the closing is committed"])
def test_an_extraction_killed_beside_the_closing_after_a_reopening_still_leads_to_one_recovery(
    pipeline: Pipeline, unhappy: Recoveries, reopened: str, environment: Any, ledger_url: str, point: str
) -> None:
    start, end = unhappy.close(reopened)
    die(extract_until_hit, environment, ledger_url, start, end, Hit(point, signal.SIGKILL))

    run = run_of(start, end)
    pipeline.extract(run)
    pipeline.release_due(run)

    check_the_recovery(unhappy, reopened)
    assert unhappy.recovered() == [reopened]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_release_of_a_recovery_leads_to_one_recovery_at_most(
    pipeline: Pipeline, sandbox: Any, unhappy: Recoveries, reopened: str, environment: Any, point: str
) -> None:
    start, end = unhappy.close(reopened)
    run = run_of(start, end)
    pipeline.extract(run)
    (window,) = plan_windows(run, DEFAULT)
    if point == "before the rest is given back":
        sandbox.state.faults.active = [Fault("429", "/v1/recoveries")]
    die(release, environment, window, start, Hit(point, signal.SIGKILL))
    sandbox.state.faults.replace([])

    pipeline.release_due(run)
    over = datetime.now(UTC) + LEASE + SENDING_LEASE
    Ledger(pipeline.engine, lambda: over).releasing.recover(by=by_run("later"))
    pipeline.release_due(run)

    check_the_recovery(unhappy, reopened)
    lost = point in ("after sending is committed", "directly before the request")
    assert unhappy.recovered() == [reopened] * (not lost)
