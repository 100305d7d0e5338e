"""What happens between the plan and the send: docs/reliability.md has the same table for readers."""

from datetime import UTC, datetime

import pytest

from include.sandbox.changes import change_customer, change_employee
from plugins.pipeline.release import ReleaseInterrupted
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import run_of


@pytest.fixture
def planned(pipeline, close, hour):
    """A conversation whose interaction is planned and due."""
    conversation = close()
    pipeline.extract(run_of(hour))
    assert pipeline.states() == {conversation: "planned"}
    return conversation


def release(pipeline, hour):
    pipeline.release_due(run_of(hour + HOUR))


def agent_of(sandbox, conversation):
    return sandbox.state.organisation.conversations[conversation].expected_employee


def test_a_conversation_reopened_before_its_send_is_cancelled(pipeline, planned, close, hour):
    close(id=planned, status="open")

    release(pipeline, hour)

    assert pipeline.states() == {planned: "cancelled reopened"}
    assert pipeline.sent() == []


def test_a_conversation_reopened_before_its_send_is_kept_if_so_configured(pipeline, planned, close, hour, settings):
    settings(seconds_until_send=60, on_reopen="keep")
    close(id=planned, status="open")

    release(pipeline, hour)

    assert pipeline.states() == {planned: "sent"}


@pytest.mark.parametrize("change", [{"deleted": True}, {"merged_into": "another"}, {"spam": True}])
def test_a_conversation_deleted_merged_or_spam_before_its_send_is_cancelled(pipeline, planned, close, hour, change):
    close(id=planned, **change)

    release(pipeline, hour)

    assert pipeline.states() == {planned: "cancelled deleted"}
    assert pipeline.sent() == []


def test_a_conversation_reassigned_before_its_send_counts_for_the_agent_who_had_it(
    pipeline, sandbox, planned, close, hour
):
    agent = agent_of(sandbox, planned)
    other = next(user for user in sandbox.state.organisation.users.values() if user.email != agent)
    close(id=planned, assigned_users=[other.id])

    release(pipeline, hour)

    assert [one.request["employee"]["email"] for one in sandbox.state.received] == [agent]


def test_a_later_closing_replaces_the_planned_one(pipeline, planned, close, hour):
    close(id=planned, closed_at=hour + 1.5 * HOUR)

    pipeline.run(run_of(hour + HOUR))

    events = pipeline.query("SELECT state, reason FROM interaction ORDER BY closed_at")
    assert [tuple(row) for row in events] == [("cancelled", "superseded"), ("sent", None)]
    assert pipeline.sent() == [planned]


class TestOnReopenKeep:
    @pytest.fixture(autouse=True)
    def _keep(self, pipeline, settings):
        settings(seconds_until_send=60, on_reopen="keep")

    def test_a_conversation_reopened_before_the_hourly_read_is_recorded_from_its_last_closing(
        self, pipeline, close, hour
    ):
        conversation = close()
        close(id=conversation, status="open")

        pipeline.run(run_of(hour))

        assert pipeline.sent() == [conversation]

    def test_a_later_closing_without_a_survey_replaces_nothing(self, pipeline, close, hour):
        conversation = close()
        pipeline.extract(run_of(hour))
        close(id=conversation, closed_at=hour + 1.5 * HOUR, closing_users=[], assigned_users=[])

        pipeline.run(run_of(hour + HOUR))

        rows = pipeline.query("SELECT state, reason FROM interaction ORDER BY closed_at")
        assert [tuple(row) for row in rows] == [("sent", None), ("skipped", "no_agent_assigned")]
        assert pipeline.sent() == [conversation]

    def test_a_later_closing_is_judged_first(self, pipeline, close, hour):
        conversation = close()
        pipeline.extract(run_of(hour))
        close(id=conversation, closed_at=hour + 1.5 * HOUR)
        with pytest.raises(ReleaseInterrupted, match="1 interactions are held"):
            pipeline.release_due(run_of(hour))

        pipeline.run(run_of(hour + HOUR))

        rows = pipeline.query("SELECT state, reason FROM interaction ORDER BY closed_at")
        assert [tuple(row) for row in rows] == [("cancelled", "superseded"), ("sent", None)]


def test_a_second_closing_after_the_send_is_a_new_interaction(pipeline, planned, close, hour):
    release(pipeline, hour)
    close(id=planned, closed_at=hour + 1.5 * HOUR)

    pipeline.run(run_of(hour + HOUR))

    assert pipeline.sent() == [planned, planned]


def test_an_agent_whose_profile_is_approved_in_time_gets_the_interaction(pipeline, sandbox, planned, hour):
    agent = agent_of(sandbox, planned)
    change_employee(sandbox.state, {"email": agent, "status": "pending review"})
    warned = pipeline.check(run_of(hour))
    change_employee(sandbox.state, {"email": agent, "status": "active"})

    release(pipeline, hour)

    assert warned == {"agents": 1, "not_approved": 1, "interactions_at_risk": 1}
    assert pipeline.sent() == [planned]


def test_an_agent_who_loses_the_approved_profile_is_skipped(pipeline, sandbox, planned, hour):
    pipeline.check(run_of(hour))
    change_employee(sandbox.state, {"email": agent_of(sandbox, planned), "status": "pending review"})

    release(pipeline, hour)

    assert pipeline.states() == {planned: "skipped agent_profile_not_approved"}


def test_a_later_change_of_address_is_not_looked_for(pipeline, sandbox, planned, hour):
    customer = sandbox.state.organisation.conversations[planned].customer_id
    before = sandbox.state.organisation.customers[customer].emails[0][0]
    change_customer(sandbox.state, {"id": customer, "emails": [["new@example.com", True]]})

    release(pipeline, hour)

    assert [one.request["customer"]["email"] for one in sandbox.state.received] == [before]


def test_an_opt_out_set_before_the_send_is_obeyed(pipeline, sandbox, planned, close, hour, settings):
    settings(seconds_until_send=60, do_not_send_attribute="quietBool")
    close(id=planned, custom={"quietBool": True})

    release(pipeline, hour)

    assert sandbox.state.received[0].request["do_not_send"] is True


@pytest.mark.parametrize(
    ("choice", "state", "do_not_send"),
    [("count", "sent", True), ("send", "sent", None), ("skip", "skipped expired", None)],
)
def test_an_interaction_past_its_expiry_follows_the_setting(
    pipeline, sandbox, planned, hour, settings, choice, state, do_not_send
):
    settings(seconds_until_send=60, expire_after_seconds=120, on_expired=choice)

    release(pipeline, hour)

    assert pipeline.states() == {planned: state}
    assert [one.request.get("do_not_send") for one in sandbox.state.received] == [do_not_send] * (choice != "skip")


def test_every_step_is_in_the_history(pipeline, planned, hour):
    release(pipeline, hour)

    history = pipeline.ledger.history(planned)
    assert [event.to_state for event in history] == ["planned", "claimed", "sending", "sent"]
    assert all(event.at <= datetime.now(UTC) for event in history)
    assert {str(event.by) for event in history} == {"scheduled__run"}
