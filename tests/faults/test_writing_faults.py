"""Every fault at every call that writes an answer: it is written once, or a person decides about a note."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowException

from include.interactions.write_back import Target
from plugins.vendor_api.errors import VendorApiError
from tests.support.answers import WRITE_BACK, Answers, write_once

pytestmark = pytest.mark.usefixtures("no_waiting")

ATTRIBUTES, KOBJECT, NOTE = Target
FAULTS = (
    "500_before",
    "accept_then_500",
    "accept_then_reset",
    "reset",
    "cut_body",
    "not_json",
    "broken_json",
    "no_data",
    "empty_body",
    "redirect",
    "408",
    "429",
    "403",
    "404",
    "503",
)
CALLS = {
    ATTRIBUTES: [{"method": "PATCH"}, {"method": "PUT"}, {"path_prefix": "/v1/bulk"}],
    KOBJECT: [{"method": "POST"}, {"path_prefix": "/v1/klasses", "method": "GET"}],
    NOTE: [{"method": "POST"}, {"path_contains": "/notes", "method": "GET"}],
}


def write_until_done(runs: int = 6) -> None:
    """Run the task as often as its DAG would, an hour apart; a failed try is one too."""
    for hours in range(runs):
        with time_machine.travel(datetime.now(UTC) + hours * timedelta(hours=1)):
            try:
                write_once()
            except (VendorApiError, AirflowException):
                continue


@pytest.mark.parametrize(
    ("target", "match", "number"),
    [
        (target, match, number)
        for target in CALLS
        for match in CALLS[target]
        for number in ((6,) if "bulk" in str(match) or match == {"method": "PUT"} else (1,))
    ],
)
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_ends_with_one_write_or_with_a_person(
    pipeline, sandbox, settings, close, kind, target, match, number
) -> None:
    settings(write_back={target: WRITE_BACK[target], "per_minute": 600})
    answers = Answers.of(pipeline, sandbox)
    conversations = [close() for _ in range(number)]
    for conversation in conversations:
        answers.give(conversation, 3)
    sandbox.state.faults.replace([{"kind": kind, "times": 2, "match": match}])

    write_until_done()

    states = answers.states()
    assert set(states.values()) <= {"written", "failed"}
    for conversation in conversations:
        done = states[conversation, target] == "written"
        notes, updates = answers.notes(conversation), sandbox.state.written.updates.get(conversation, 0)
        assert len(notes) == (target == NOTE and done)
        assert updates == (target == ATTRIBUTES)
    assert sorted(answers.objects()) == sorted((f"uuid-{one}", 3) for one in conversations if target == KOBJECT)
    if target != NOTE or match["method"] == "GET":
        assert set(states.values()) == {"written"}
