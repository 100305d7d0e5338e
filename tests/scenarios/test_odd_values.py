"""Well-formed values that mean something else than they seem to: opt-outs, deletions, addresses, names."""

import pytest

from include.sandbox.changes import change_customer, change_employee, change_user
from include.sandbox.model import DO_NOT_SEND
from plugins.pipeline.release import ReleaseInterrupted
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def customer_of(sandbox):
    """A function that changes the customer of a conversation."""

    def change(conversation: str, **fields: object) -> None:
        customer_id = sandbox.state.organisation.conversations[conversation].customer_id
        change_customer(sandbox.state, {"id": customer_id, **fields})

    return change


def sent(sandbox):
    return [one.request for one in sandbox.state.received]


class TestAnOptOut:
    @pytest.mark.parametrize("value", [True, "true", "Yes", 1, [True], "please never"])
    @pytest.mark.parametrize("name", [DO_NOT_SEND, "doNotSendStellaConnectBool", "quietStr"])
    def test_is_obeyed_however_it_is_written(self, pipeline, sandbox, close, hour, settings, name, value):
        if name == "quietStr":
            settings(seconds_until_send=60, do_not_send_attribute=name)
        close(custom={name: value})

        pipeline.run(run_of(hour))

        assert [request["do_not_send"] for request in sent(sandbox)] == [True]

    @pytest.mark.parametrize(
        ("name", "custom", "warned"),
        [
            ("quietBool", {"otherBool": True}, True),
            ("quietBool", None, True),
            ("quietBool", {"quietBool": False}, False),
            (None, None, False),
        ],
    )
    def test_under_a_name_that_no_conversation_carries_is_warned_about(
        self, pipeline, close, hour, settings, caplog, name, custom, warned
    ):
        settings(seconds_until_send=60, **({"do_not_send_attribute": name} if name else {}))
        close(custom=custom)
        close()

        pipeline.extract(run_of(hour))

        warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert any("'quietBool'" in text for text in warnings) is warned

    def test_without_conversations_nothing_is_warned_about(self, pipeline, hour, settings, caplog):
        settings(do_not_send_attribute="quietBool")

        pipeline.extract(run_of(hour))

        assert not [one for one in caplog.records if "quietBool" in one.getMessage()]

    def test_that_is_masked_holds_its_interaction_and_no_other(self, pipeline, sandbox, close, hour):
        masked, other = close(custom={DO_NOT_SEND: "********"}), close()
        pipeline.extract(run_of(hour))

        with pytest.raises(ReleaseInterrupted, match="Read Sensitive"):
            pipeline.release_due(run_of(hour))

        assert pipeline.states() == {masked: "planned", other: "sent"}
        close(id=masked, custom={DO_NOT_SEND: False})  # the key has been replaced
        pipeline.release_due(run_of(hour))
        assert pipeline.sent() == [other, masked]
        assert "do_not_send" not in sent(sandbox)[-1]

    def test_that_was_masked_holds_even_where_a_failed_look_sends(self, pipeline, sandbox, close, hour, settings):
        settings(seconds_until_send=60, on_recheck_failure="send")
        masked, other = close(custom={DO_NOT_SEND: "********"}), close()
        pipeline.extract(run_of(hour))
        for one in (masked, other):
            close(id=one, attributes={"status": None})  # says nothing

        with pytest.raises(ReleaseInterrupted, match="Read Sensitive"):
            pipeline.release_due(run_of(hour))

        assert pipeline.states() == {masked: "planned", other: "sent"}

    @pytest.mark.parametrize(
        ("choice", "state"), [("count", "sent"), ("send", "sent"), ("skip", "skipped expired")]
    )
    def test_that_stays_masked_past_the_expiry_never_gets_a_survey(
        self, pipeline, sandbox, close, hour, settings, choice, state
    ):
        settings(seconds_until_send=60, expire_after_seconds=120, on_expired=choice)
        masked = close(custom={DO_NOT_SEND: "********"})

        pipeline.run(run_of(hour))

        assert pipeline.states() == {masked: state}
        assert [request["do_not_send"] for request in sent(sandbox)] == [True] * (choice != "skip")


DELETED_AT = {"deletedAt": "2026-01-05T10:00:00.000Z"}


class TestADeletion:
    @pytest.mark.parametrize("marks", [{"deleted": True}, {"attributes": DELETED_AT}], ids=str)
    def test_of_the_customer_is_a_reason(self, pipeline, sandbox, close, hour, customer_of, marks):
        sandbox.state.options.show_deleted = True
        conversation = close()
        customer_of(conversation, **marks)

        pipeline.run(run_of(hour))

        assert pipeline.states() == {conversation: "skipped no_customer_email"}
        (row,) = pipeline.query("SELECT detail FROM interaction")
        assert row.detail == "customer deleted"

    def test_of_the_conversation_makes_it_no_closing(self, pipeline, close, hour):
        close(attributes=DELETED_AT)

        assert pipeline.run(run_of(hour))["extracted"]["not_closings"] == 1
        assert pipeline.states() == {}

    @pytest.mark.parametrize("marks", [{"deleted": True}, {"attributes": DELETED_AT}], ids=str)
    def test_of_the_conversation_before_the_send_cancels_it(self, pipeline, sandbox, close, hour, marks):
        sandbox.state.options.show_deleted = True
        conversation = close()
        pipeline.extract(run_of(hour))
        close(id=conversation, **marks)

        pipeline.release_due(run_of(hour))

        assert pipeline.states() == {conversation: "cancelled deleted"}


class TestAnAddress:
    @pytest.mark.parametrize(
        ("kustomers", "stella_connects"),
        [
            ("jose\u0301@example.com", "josé@example.com"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@xn--bcher-kva.example", "ada@bücher.example"),
            ("ada@ｅｘａｍｐｌｅ.org", "Ada@example.org"),
        ],
    )
    def test_of_an_agent_is_the_same_in_every_spelling(
        self, pipeline, sandbox, close, hour, kustomers, stella_connects
    ):
        conversation = close()
        agent = sandbox.state.organisation.conversations[conversation].closed_by
        change_user(sandbox.state, {"id": agent, "email": kustomers})
        change_employee(sandbox.state, {"email": stella_connects})

        counts = pipeline.run(run_of(hour))

        assert counts["profiles"]["not_approved"] == 0
        assert [request["employee"]["email"] for request in sent(sandbox)] == [stella_connects]

    def test_of_a_customer_goes_out_in_its_normal_form(self, pipeline, sandbox, close, hour, customer_of):
        customer_of(close(), emails=[["jane@ｅｘａｍｐｌｅ.com\u200b", True]])

        pipeline.run(run_of(hour))

        assert [request["customer"]["email"] for request in sent(sandbox)] == ["jane@example.com"]

    @pytest.mark.parametrize("address", ["MAILER-DAEMON@example.com", "no-reply@example.com"])
    def test_of_a_machine_is_skipped_unless_switched_off(
        self, pipeline, close, hour, customer_of, settings, address
    ):
        first = close()
        customer_of(first, emails=[[address, True]])
        pipeline.run(run_of(hour))
        assert pipeline.states() == {first: "skipped automatic_address"}

        settings(seconds_until_send=60, on_automatic_address="send")
        second = close()
        customer_of(second, emails=[[address, True]])
        pipeline.run(run_of(hour))
        assert pipeline.states()[second] == "sent"

    def test_of_the_agent_is_skipped_unless_switched_off(
        self, pipeline, sandbox, close, hour, customer_of, settings
    ):
        first = close()
        own = sandbox.state.organisation.conversations[first].expected_employee
        customer_of(first, emails=[[own.upper(), True]])
        pipeline.run(run_of(hour))
        assert pipeline.states() == {first: "skipped own_address"}

        settings(seconds_until_send=60, on_own_address="send")
        second = close()
        customer_of(second, emails=[[own, True]])
        pipeline.run(run_of(hour))
        assert pipeline.states()[second] == "sent"


def test_a_name_that_nobody_sees_gives_way_to_the_address(pipeline, sandbox, close, hour, customer_of):
    for name in ("\u3164", "\u200b\u2800"):
        customer_of(close(), name=name, display_name=None, emails=[["jane.d@example.com", True]])

    pipeline.run(run_of(hour))

    assert [request["customer"]["name"] for request in sent(sandbox)] == ["jane.d", "jane.d"]


def test_a_channel_copied_with_spaces_is_the_channel(pipeline, sandbox, close, hour, settings):
    settings(seconds_until_send=60, channel=" email\u200b ")
    close()

    pipeline.run(run_of(hour))

    assert [request["channel"] for request in sent(sandbox)] == ["email"]
