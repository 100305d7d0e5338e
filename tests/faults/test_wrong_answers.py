"""A vendor gives answers that would end everything that is due: nothing ends, and once it is cured all goes out."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.interactions.actor import Actor
from include.interactions.evidence import MAX_REFUSALS_IN_A_ROW, REFUSALS_TRIED_AGAIN
from include.sandbox.changes import change_employee
from include.sandbox.faults import Fault
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.release import ReleaseInterrupted, SourceDoubted
from plugins.pipeline.sending import RefusedAlike
from plugins.runtime.organisations import DEFAULT
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

ADA = Actor("interaction_ledger_admin", "manual__1", "ada")


@pytest.fixture
def alarms(pipeline, hour):
    """A function that lists the alarms that stand."""

    def standing():
        context = run_of(hour)
        context["ti"].task_id, context["ti"].xcom_pull = "raise_alarms", lambda **_: None
        return raise_alarms(context, DEFAULT)["alarms"]

    return standing


@pytest.fixture
def short_timeout(monkeypatch):
    """A function that lets Kustomer's hook wait for an answer no longer than the test can."""

    def shorten() -> None:
        connection = json.loads(os.environ["AIRFLOW_CONN_KUSTOMER_DEFAULT"])
        connection["extra"]["timeout"] = [1, 0.3]
        monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", json.dumps(connection))

    return shorten


@pytest.fixture
def change_agent(sandbox):
    """A function that gives the agent of a conversation another address, at both vendors."""

    def change(conversation: str, address: str) -> None:
        organisation = sandbox.state.organisation
        agent_id = organisation.conversations[conversation].closing_users[0]
        organisation.users[agent_id] = replace(organisation.users[agent_id], email=address)
        former = organisation.conversations[conversation].expected_employee
        change_employee(sandbox.state, {"email": former, "status": "deactivated"})
        change_employee(sandbox.state, {"email": address, "status": "active"})

    return change


def posts(sandbox) -> int:
    return sandbox.state.calls["POST /v1/requests"]


def count_states(pipeline):
    states = list(pipeline.states().values())
    return {state: states.count(state) for state in set(states)}


class TestKustomerFindsNothing:
    """A wrong host, another organisation's key, or a gateway in between."""

    @pytest.mark.parametrize("number", [1, 5, 150])
    def test_ends_nothing_and_everything_goes_out_afterwards(
        self, pipeline, sandbox, planned, broken, alarms, hour, number
    ):
        conversations = planned(number)
        broken(Fault("404", "/v1/conversations"), Fault("404", "/v1/users"))

        with pytest.raises(SourceDoubted, match=r"'kustomer_default'.*another organisation.*stay planned"):
            pipeline.release_due(run_of(hour))
        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert posts(sandbox) == 0
        assert "release_stopped" in alarms()

        broken()
        pipeline.release_due(run_of(hour))
        assert sorted(pipeline.sent()) == sorted(conversations)
        assert "release_stopped" not in alarms()

    def test_with_a_web_page_says_where_to_look(self, pipeline, planned, broken, hour):
        conversations = planned(5)
        broken(Fault("404_html", "/v1/conversations"))

        with pytest.raises(ReleaseInterrupted, match=r"5 interactions are held.*check the connection's host"):
            pipeline.release_due(run_of(hour))
        assert pipeline.states() == dict.fromkeys(conversations, "planned")

    def test_of_one_window_ends_it_if_kustomer_finds_others(self, pipeline, planned, close, hour):
        gone = planned(1)[0]
        close(minute=30)
        pipeline.extract(run_of(hour))
        close(id=gone, deleted=True)

        pipeline.release_due(run_of(hour))

        assert count_states(pipeline) == {"cancelled deleted": 1, "sent": 1}

    def test_is_held_though_the_setting_says_send(self, pipeline, sandbox, planned, broken, settings, hour):
        settings(seconds_until_send=60, on_recheck_failure="send")
        planned(5)
        broken(Fault("404", "/v1/conversations"))

        with pytest.raises(SourceDoubted):
            pipeline.release_due(run_of(hour))
        assert posts(sandbox) == 0


class TestOneUnreadableConversation:
    @pytest.mark.parametrize("kind", ["hang", "403", "500_before", "broken_json"])
    def test_costs_only_itself_and_past_its_expiry_on_expired_decides(
        self, pipeline, planned, broken, settings, hour, kind, short_timeout
    ):
        conversations = planned(150)
        short_timeout()
        broken(Fault(kind, "/v1/conversations", path_contains=conversations[70]))

        with pytest.raises((ReleaseInterrupted, AirflowFailException)):
            pipeline.release_due(run_of(hour))
        assert count_states(pipeline) == {"sent": 149, "planned": 1}

        settings(seconds_until_send=60, expire_after_seconds=3600, on_expired="skip")
        pipeline.release_due(run_of(hour))
        assert pipeline.states()[conversations[70]] == "skipped expired"


class TestProfiles:
    def test_an_empty_list_ends_nothing(self, pipeline, planned, broken, alarms, hour):
        conversations = planned(90)
        broken(Fault("empty_list", "/v2/employees", times=1))

        with pytest.raises(SourceDoubted, match=r"no active employee.*'stella_connect_default'.*90 due"):
            pipeline.release_due(run_of(hour))
        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert "release_stopped" in alarms()

        pipeline.release_due(run_of(hour))
        assert sorted(pipeline.sent()) == sorted(conversations)

    def test_an_address_that_changed_at_both_vendors_is_used(self, pipeline, sandbox, planned, change_agent, hour):
        (conversation,) = planned(1)
        change_agent(conversation, "new.address@example.org")

        pipeline.release_due(run_of(hour))

        (received,) = sandbox.state.received
        assert received.request["employee"]["email"] == "new.address@example.org"
        details = [event.detail for event in pipeline.ledger.history(conversation)]
        assert any(words and "present address" in words for words in details)

    def test_sent_again_by_the_former_address_it_goes_out_with_the_present_one(
        self, pipeline, sandbox, planned, change_agent, hour
    ):
        (conversation,) = planned(1)
        former = sandbox.state.organisation.conversations[conversation].expected_employee
        change_agent(conversation, "new.address@example.org")
        change_employee(sandbox.state, {"email": "new.address@example.org", "status": "deactivated"})
        pipeline.release_due(run_of(hour))
        assert pipeline.states()[conversation] == "skipped agent_profile_not_approved"
        change_employee(sandbox.state, {"email": "new.address@example.org", "status": "active"})

        pipeline.ledger.admin.send_again(former, timedelta(days=7), ADA, "approved", dry_run=False)
        pipeline.release_due(run_of(hour))

        assert sandbox.state.received[-1].request["employee"]["email"] == "new.address@example.org"

    def test_an_agent_who_cannot_be_read_again_is_no_agent_without_a_profile(
        self, pipeline, planned, change_agent, broken, hour
    ):
        (conversation,) = planned(1)
        change_agent(conversation, "new.address@example.org")
        broken(Fault("500_before", "/v1/users/"))

        with pytest.raises(ReleaseInterrupted):
            pipeline.release_due(run_of(hour))
        assert pipeline.states() == {conversation: "planned"}

        broken()
        pipeline.release_due(run_of(hour))
        assert pipeline.states() == {conversation: "sent"}

    def test_an_agent_without_a_profile_is_not_looked_up_twice(self, pipeline, sandbox, planned, close, hour):
        close(minute=40)
        conversations = planned(3)
        agent = sandbox.state.organisation.conversations[conversations[0]].expected_employee
        change_employee(sandbox.state, {"email": agent, "status": "deactivated"})

        pipeline.release_due(run_of(hour))

        assert sum(number for call, number in sandbox.state.calls.items() if "/v1/users/" in call) <= 1


class TestEverythingIsRefused:
    @pytest.mark.parametrize("kind", ["400", "404", "404_html", "422"])
    def test_stops_after_ten_and_everything_else_goes_out_afterwards(
        self, pipeline, sandbox, planned, broken, alarms, hour, kind
    ):
        planned(250)
        broken(Fault(kind, "/v1/requests"))

        told = rf"'stella_connect_default'.*the last answer was {kind[:3]}.*channel 'email'"
        with pytest.raises(RefusedAlike, match=told):
            pipeline.release_due(run_of(hour))
        assert posts(sandbox) <= MAX_REFUSALS_IN_A_ROW
        assert count_states(pipeline) == {"rejected": 1, "planned": 249}
        assert "release_stopped" in alarms()

        before = posts(sandbox)
        with pytest.raises(RefusedAlike):
            pipeline.release_due(run_of(hour))
        assert posts(sandbox) - before <= REFUSALS_TRIED_AGAIN
        assert count_states(pipeline) == {"rejected": 1, "planned": 249}

        broken()
        pipeline.release_due(run_of(hour))
        assert count_states(pipeline) == {"rejected": 1, "sent": 249}
        assert sandbox.state.duplicates == 0
        assert "release_stopped" not in alarms()

    def test_in_the_middle_of_a_window_too(self, pipeline, sandbox, planned, broken, settings, hour):
        settings(seconds_until_send=60, max_senders=8)
        planned(150)
        broken(Fault("400", "/v1/requests", after=60))

        with pytest.raises(RefusedAlike):
            pipeline.release_due(run_of(hour))

        assert posts(sandbox) <= 60 + MAX_REFUSALS_IN_A_ROW
        assert count_states(pipeline) == {"sent": 60, "rejected": 1, "planned": 89}

    def test_bad_interactions_among_good_ones_are_rejected_each(
        self, pipeline, sandbox, planned, close, broken, hour
    ):
        conversations = planned(30)
        bad = conversations[::5]
        broken(*(Fault("400", "/v1/requests", body_contains=one) for one in bad))

        pipeline.release_due(run_of(hour))
        good = set(conversations) - set(bad)
        assert {pipeline.states()[one] for one in good} == {"sent"}

        # What was refused last had nothing to compare with: another one decides.
        another = close(minute=50)
        pipeline.run(run_of(hour))
        assert pipeline.states() == dict.fromkeys([*conversations, another], "sent") | dict.fromkeys(
            bad, "rejected"
        )
        assert sandbox.state.duplicates == 0


class TestOneBlockedRequest:
    @pytest.mark.parametrize("place", [0, 3, 6])
    def test_is_put_aside_and_the_rest_goes_out(self, pipeline, sandbox, planned, broken, hour, place):
        conversations = planned(7)
        blocked = conversations[place]
        broken(Fault("403", "/v1/requests", body_contains=blocked))

        pipeline.release_due(run_of(hour))

        expected = dict.fromkeys(conversations, "sent") | {blocked: "skipped request_blocked"}
        assert pipeline.states() == expected
        assert posts(sandbox) == len(conversations)

    def test_alone_in_its_window_stops_no_later_run_for_ever(self, pipeline, close, planned, broken, hour):
        (blocked,) = planned(1)
        broken(Fault("403", "/v1/requests", body_contains=blocked))
        with pytest.raises(AirflowFailException, match="valid API key"):
            pipeline.release_due(run_of(hour))
        assert pipeline.states() == {blocked: "planned"}

        close(minute=50)
        pipeline.run(run_of(hour))

        assert count_states(pipeline) == {"sent": 1, "skipped request_blocked": 1}

    @pytest.mark.parametrize("places", [(0, 1), (0, 3)])
    def test_beside_another_one_stops_no_later_run_for_ever(self, pipeline, sandbox, planned, broken, hour, places):
        conversations = planned(7)
        blocked = [conversations[place] for place in places]
        broken(*(Fault("403", "/v1/requests", body_contains=one) for one in blocked))

        for _ in range(3):
            with suppress(AirflowFailException):
                pipeline.release_due(run_of(hour))

        expected = dict.fromkeys(conversations, "sent") | dict.fromkeys(blocked, "skipped request_blocked")
        assert pipeline.states() == expected
        assert sandbox.state.duplicates == 0

    def test_that_is_always_alone_is_put_aside_once_another_window_was_sent(
        self, pipeline, close, planned, broken, hour
    ):
        (blocked,) = planned(1)
        broken(Fault("403", "/v1/requests", body_contains=blocked))
        with pytest.raises(AirflowFailException):
            pipeline.release_due(run_of(hour))
        due_at = hour + timedelta(seconds=60)
        other = close(minute=50)
        pipeline.extract(run_of(hour))
        later = {
            "due_from": (due_at + timedelta(minutes=1)).isoformat(),
            "due_until": (hour + 2 * HOUR).isoformat(),
        }
        pipeline.release(run_of(hour), later)
        assert pipeline.states() == {blocked: "planned", other: "sent"}

        pipeline.release_due(run_of(hour))

        assert pipeline.states() == {blocked: "skipped request_blocked", other: "sent"}

    def test_a_refused_key_leaves_everything_planned(self, pipeline, sandbox, planned, broken, alarms, hour):
        conversations = planned(50)
        broken(Fault("403", "/v1/requests"))

        with pytest.raises(AirflowFailException, match="valid API key"):
            pipeline.release_due(run_of(hour))

        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert posts(sandbox) <= 3
        assert "release_stopped" in alarms()
