from datetime import timedelta

import pytest

from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Malformed
from include.interactions.second_look import second_look
from include.interactions.settings import Settings
from include.interactions.states import State
from tests.include.interactions.conftest import CLOSED_AT

INTERACTION = Interaction("c", CLOSED_AT, CLOSED_AT)
CANCEL, KEEP = Settings(), Settings(on_reopen="keep")


def test_a_conversation_still_closed_goes_out(conversation):
    assert second_look(INTERACTION, conversation(), CANCEL) == "go"


def test_digits_beyond_the_ledgers_milliseconds_make_no_other_closing(conversation):
    finer = {"lastDone": {"createdAt": (CLOSED_AT + timedelta(microseconds=999)).isoformat()}}
    later = {"lastDone": {"createdAt": (CLOSED_AT + timedelta(milliseconds=1)).isoformat()}}

    assert second_look(INTERACTION, conversation(**finer), CANCEL) == "go"
    assert second_look(INTERACTION, conversation(**later), CANCEL).reason is Reason.REOPENED


def test_a_conversation_kustomer_no_longer_has_is_cancelled():
    assert second_look(INTERACTION, None, CANCEL).reason is Reason.DELETED


@pytest.mark.parametrize(
    "attributes",
    [{"deleted": True}, {"deletedAt": "2026-01-05T11:00:00Z"}, {"mergedInto": "other"}, {"spam": True}],
)
@pytest.mark.parametrize("settings", [CANCEL, KEEP])
def test_a_conversation_deleted_merged_or_spam_is_cancelled(conversation, attributes, settings):
    assert second_look(INTERACTION, conversation(**attributes), settings).reason is Reason.DELETED


def test_a_reopened_conversation_is_cancelled_or_kept_as_configured(conversation):
    assert second_look(INTERACTION, conversation(status="open"), CANCEL).reason is Reason.REOPENED
    assert second_look(INTERACTION, conversation(status="open"), KEEP) == "go"


def test_a_conversation_closed_again_is_another_closing(conversation):
    closed_again = conversation(last_done={"createdAt": "2026-01-05T12:00:00.000Z"})

    assert second_look(INTERACTION, closed_again, CANCEL).reason is Reason.REOPENED
    assert second_look(INTERACTION, closed_again, KEEP) == "unreadable"
    assert second_look(INTERACTION, closed_again, KEEP, lambda *_: State.PLANNED).reason is Reason.SUPERSEDED
    assert second_look(INTERACTION, closed_again, KEEP, lambda *_: State.SKIPPED) == "go"


def test_reassignment_after_the_closing_changes_nothing(conversation):
    assert second_look(INTERACTION, conversation(assignedUsers=["somebody else"]), CANCEL) == "go"


def test_an_unreadable_answer_decides_nothing(conversation):
    malformed = conversation(last_done={"assignedUsers": 3})

    assert isinstance(malformed, Malformed)
    assert second_look(INTERACTION, malformed, CANCEL) == "unreadable"
    assert second_look(INTERACTION, conversation(status=None), CANCEL) == "unreadable"


@pytest.mark.parametrize("time", [None, "yesterday", "********"])
def test_a_closed_conversation_whose_time_is_unreadable_decides_nothing(conversation, time):
    assert second_look(INTERACTION, conversation(last_done={"createdAt": time}), CANCEL) == "unreadable"
    assert second_look(INTERACTION, conversation(last_done={"createdAt": time}), KEEP) == "unreadable"


def test_a_time_that_lost_its_offset_is_the_same_closing(conversation):
    assert (
        second_look(INTERACTION, conversation(last_done={"createdAt": "2026-01-05T10:15:00.250"}), CANCEL) == "go"
    )
