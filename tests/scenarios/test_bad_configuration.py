"""Wrong keys, settings and connections: one message that says what to do."""

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import KUSTOMER_KEY, STELLA_KEY
from include.sandbox.changes import change_customer
from include.sandbox.faults import Fault
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.preflight import check_configuration
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

KUSTOMER, STELLA, LEDGER = "kustomer_default", "stella_connect_default", "interaction_ledger"


def for_good(work, *arguments) -> str:
    """The one line with which the task fails without retries."""
    with pytest.raises(AirflowFailException) as caught:
        work(*arguments)
    told = str(caught.value)
    assert "\n" not in told
    assert KUSTOMER_KEY not in told
    assert STELLA_KEY not in told
    return told


@pytest.fixture
def connection(pipeline, monkeypatch):
    """A function that changes a connection; None removes it."""

    def change(conn_id: str, changes: dict[str, Any] | None) -> None:
        name = f"AIRFLOW_CONN_{conn_id.upper()}"
        if changes is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, json.dumps({**json.loads(os.environ[name]), **changes}))

    return change


class TestAKeyThatIsRefused:
    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize(
        ("call", "role"),
        [
            ("POST /v1/customers/search", "org.permission.search.create"),
            ("GET /v1/users", "org.permission.user.read"),
            ("GET /v1/users/{id}", "org.permission.user.read"),
            ("GET /v1/tags", "org.permission.tag.read"),
            ("GET /v1/customers/{id}", "org.permission.customer.read"),
        ],
    )
    def test_fails_the_extraction_at_that_call(self, pipeline, sandbox, close, hour, call, role, status):
        unindexed = sandbox.state.organisation.conversations[close(tags=["a-tag"])].customer_id
        change_customer(sandbox.state, {"id": unindexed, "unindexed": True})
        close(closing_users=["in-no-list-of-users"])
        method, path = call.split()
        sandbox.state.faults.active = [Fault(str(status), path.removesuffix("{id}"), method)]

        told = for_good(pipeline.extract, run_of(hour))

        assert f"{KUSTOMER}: {call.removesuffix('{id}')}" in told
        assert "password" in told
        assert status == 401 or f"needs {role}" in told
        assert sandbox.state.calls[call] <= (3 if "{id}" in path else 1)  # of one record, or of all?
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour  # not done

    def test_fails_every_part_by_a_role_it_really_lacks(self, pipeline, sandbox, close, hour):
        close()
        sandbox.state.kustomer_tokens[KUSTOMER_KEY] = ("org.permission.search", "org.permission.user.read")
        pipeline.extract(run_of(hour))

        told = for_good(pipeline.release_due, run_of(hour))

        assert f"{KUSTOMER}: GET /v1/conversations/" in told
        assert "needs org.permission.conversation.read" in told

    @pytest.mark.parametrize("status", [401, 403])
    def test_leaves_everything_planned_at_the_second_look(self, pipeline, sandbox, close, hour, status):
        conversations = [close(), close()]
        pipeline.extract(run_of(hour))
        sandbox.state.faults.active = [Fault(str(status), "/v1/conversations/")]

        assert KUSTOMER in for_good(pipeline.release_due, run_of(hour))

        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert sandbox.state.calls["POST /v1/requests"] == 0

    @pytest.mark.parametrize("status", [401, 403])
    def test_is_no_reason_to_skip_anybody_when_it_is_stella_connects(self, pipeline, sandbox, close, hour, status):
        conversation = close()
        pipeline.extract(run_of(hour))
        sandbox.state.faults.active = [Fault(str(status), "/v2/employees")]

        for task in (pipeline.check, pipeline.release_due):
            told = for_good(task, run_of(hour))
            assert f"{STELLA}: GET /v2/employees" in told
            assert "api_secret" in told

        assert sandbox.state.calls["GET /v2/employees"] == 2  # once a task
        assert pipeline.states() == {conversation: "planned"}

    def test_is_told_for_a_wrong_key_of_either_vendor(self, pipeline, close, hour, connection):
        close()
        connection(KUSTOMER, {"password": "another-key"})
        assert "valid key into the password" in for_good(pipeline.extract, run_of(hour))

        connection(KUSTOMER, {"password": KUSTOMER_KEY})
        pipeline.extract(run_of(hour))
        connection(STELLA, {"password": "another-key"})
        assert STELLA in for_good(pipeline.release_due, run_of(hour))


class TestAHostWithAPath:
    @pytest.mark.parametrize("conn_id", [KUSTOMER, STELLA])
    @pytest.mark.parametrize("ending", ["/v1", "/v1/", "/?page=1", "#top"])
    def test_ends_nothing_and_all_goes_out_once_it_is_corrected(
        self, pipeline, close, hour, connection, conn_id, ending
    ):
        conversations = [close() for _ in range(5)]
        pipeline.extract(run_of(hour))
        right = json.loads(os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"])["host"]
        connection(conn_id, {"host": right + ending})

        told = for_good(pipeline.release_due, run_of(hour))

        assert conn_id in told
        assert f"write only {right}" in told
        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        connection(conn_id, {"host": right})
        pipeline.release_due(run_of(hour))
        assert pipeline.states() == dict.fromkeys(conversations, "sent")

    @pytest.mark.parametrize(("conn_id", "hook"), [(KUSTOMER, KustomerHook), (STELLA, StellaConnectHook)])
    def test_is_named_by_the_test_button(self, connection, conn_id, hook):
        right = json.loads(os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"])["host"]
        assert hook().test_connection()[0]
        connection(conn_id, {"host": f"{right}/v1"})

        works, said = hook().test_connection()

        assert (works, f"write only {right}" in said) == (False, True), said


class TestARunThatCannotBeConfigured:
    """Found before anything is asked of anybody: nobody is there to be asked."""

    @pytest.fixture
    def sandbox(self):
        return SimpleNamespace(kustomer_url="http://127.0.0.1:9", stella_url="http://127.0.0.1:9")

    @pytest.fixture(autouse=True)
    def _configured(self, pipeline):
        """The connections and settings are right until a test changes them."""

    @pytest.mark.parametrize("conn_id", [KUSTOMER, STELLA, LEDGER])
    def test_fails_when_a_connection_is_missing(self, hour, connection, conn_id):
        connection(conn_id, None)

        assert conn_id in for_good(check_configuration, run_of(hour), DEFAULT)

    @pytest.mark.parametrize(
        ("conn_id", "changes", "said"),
        [
            (KUSTOMER, {"password": ""}, ["password"]),
            (KUSTOMER, {"extra": {}}, ["web_url"]),
            (STELLA, {"extra": {}}, ["api_secret"]),
            (KUSTOMER, {"host": "http://api.kustomerapp.com"}, ["http://", "https://"]),
            (STELLA, {"host": "http://api.stellaconnect.net"}, ["http://", "https://"]),
            (KUSTOMER, {"extra": {"web_url": "http://acme.kustomerapp.com"}}, ["web_url", "https://"]),
            (STELLA, {"extra": {"api_secret": "secret", "timeout": "soon"}}, ["timeout", "seconds"]),
            (LEDGER, {"conn_type": "mysql"}, ["mysql", "'sqlite' | 'postgres'"]),
            (KUSTOMER, {"host": "https://acme.api.kustomerapp.com/v1"}, ["host", "/v1", "write only https://"]),
            (STELLA, {"host": "https://acme.api.stellaconnect.net/v1"}, ["host", "/v1", "write only https://"]),
            (
                KUSTOMER,
                {"extra": {"web_url": "https://acme.kustomerapp.com/app"}},
                ["web_url", "/app", "write only https://acme.kustomerapp.com"],
            ),
            (LEDGER, {"host": "ledger.db"}, ["absolute path"]),
        ],
    )
    def test_fails_when_a_connection_is_incomplete_or_unsafe(self, hour, connection, conn_id, changes, said):
        connection(conn_id, changes)

        told = for_good(check_configuration, run_of(hour), DEFAULT)

        assert [word for word in [conn_id, *said] if word not in told] == []

    @pytest.mark.parametrize(
        ("setting", "value", "allowed"),
        [
            ("seconds_til_send", 60, "seconds_until_send"),
            ("seconds_until_send", -1, "whole number >= 0"),
            ("seconds_until_send", "a day", "whole number >= 0"),
            ("seconds_until_send", True, "whole number >= 0"),
            ("seconds_until_send", 1.5, "whole number >= 0"),
            ("release_window_seconds", 0, "whole number >= 5 and <= 3600"),
            ("on_reopen", "ignore", "'cancel' | 'keep'"),
            ("max_releases_per_run", 0, "whole number >= 1"),
        ],
    )
    def test_fails_by_a_setting_that_is_unknown_or_not_allowed(self, hour, settings, setting, value, allowed):
        settings(**{setting: value})

        told = for_good(check_configuration, run_of(hour), DEFAULT)

        assert repr(setting) in told
        assert allowed in told

    def test_fails_by_a_setting_of_the_trigger_form(self, hour):
        assert "'seconds_until_send'" in for_good(check_configuration, run_of(hour, seconds_until_send=-5), DEFAULT)

    @pytest.mark.parametrize("variable", ["{seconds_until_send: 60}", "[]", '"60"'])
    def test_fails_by_a_variable_that_is_no_object_of_settings(self, hour, monkeypatch, variable):
        monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", variable)

        told = for_good(check_configuration, run_of(hour), DEFAULT)

        assert "kustomer_stella_connect" in told
        assert "JSON" in told

    def test_fails_by_an_interval_that_is_none(self, hour):
        run = run_of(hour, origin="manual")
        run["params"] = {"start": "yesterday"}
        run["dag_run"].data_interval_start = run["dag_run"].data_interval_end = None

        assert "'start'" in for_good(check_configuration, run, DEFAULT)

    def test_passes_otherwise(self, hour):
        check_configuration(run_of(hour), DEFAULT)
