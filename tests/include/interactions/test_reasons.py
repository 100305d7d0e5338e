import pickle
from datetime import UTC, datetime

import pytest

from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_everything_about_itself(reason):
    assert reason == reason.value
    assert reason.state in (State.SKIPPED, State.CANCELLED)
    assert reason.label[0].isupper()
    assert not reason.because.endswith(".")  # it stands inside a sentence
    assert reason.advice.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_found_by_its_word_and_survives_pickling(reason):
    assert Reason(str(reason)) is reason
    assert pickle.loads(pickle.dumps(reason)) is reason


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.keeps_customer])
def test_a_skip_for_a_reason_that_keeps_the_customer_needs_an_address(reason):
    with pytest.raises(ValueError, match=f"{reason} keeps a customer"):
        Interaction("c1", NOON, NOON, skip=reason, agent_id="agent-1")


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.keeps_agent])
def test_a_skip_for_a_reason_that_keeps_the_agent_needs_one(reason):
    with pytest.raises(ValueError, match=f"{reason} keeps a customer or an agent"):
        Interaction("c1", NOON, NOON, skip=reason, customer_email="customer@example.com")
