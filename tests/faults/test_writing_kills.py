"""The task that writes answers dies at every step: each answer is written once to each target, and none is left."""

import signal
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from include.interactions.write_back import Target
from plugins.pipeline.answer_writer import NOTE_GRACE
from tests.support.answers import WRITE_BACK, Answers, write_once
from tests.support.release_process import Hit, started
from tests.support.writing_process import STEPS, write_answers_until_hit

pytestmark = pytest.mark.usefixtures("no_waiting")


def number_for(point: str) -> int:
    """A bulk job needs some answers."""
    return 6 if "bulk" in point else 2


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("point", STEPS)
def test_a_killed_writer_leaves_nothing_twice_and_nothing_out(
    pipeline, sandbox, settings, close, point: str, time: int, request
) -> None:
    settings(write_back=WRITE_BACK)
    answers = Answers.of(pipeline, sandbox)
    conversations = [close() for _ in range(number_for(point))]
    for conversation in conversations:
        answers.give(conversation, 3)
    environment = request.getfixturevalue("environment")

    with started(write_answers_until_hit, environment, Hit(point, signal.SIGKILL, time)) as process:
        process.join(60)
    died = process.exitcode == -signal.SIGKILL
    assert died or (time == 2 and process.exitcode == 0), "one bulk job is all there is"

    write_once()
    with time_machine.travel(datetime.now(UTC) + NOTE_GRACE + timedelta(minutes=1)):
        write_once()
        in_doubt = [one for (one, _), state in answers.states().items() if state == "failed"]
        assert len(in_doubt) == (died and point == "before a note is created")
        pipeline.ledger.writing.write_again(None, "looked", dry_run=False)
        write_once()

    assert answers.states() == {(one, target): "written" for one in conversations for target in Target}
    assert sorted(answers.objects()) == sorted((f"uuid-{one}", 3) for one in conversations)
    assert {one: len(answers.notes(one)) for one in conversations} == dict.fromkeys(conversations, 1)
    assert sandbox.state.written.updates == dict.fromkeys(conversations, 1)
