"""Wrong keys, settings, connections and records: one message that says what to do, or a row with a reason."""

import json
import os
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import KUSTOMER_KEY, STELLA_KEY
from include.sandbox.changes import change_customer
from include.sandbox.faults import Fault
from include.sandbox.kustomer import records
from plugins.pipeline.preflight import check_configuration
from plugins.runtime.organisations import DEFAULT
from tests.scenarios.conftest import HOUR
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


class TestRecords:
    """Odd records lie between two ordinary ones, which go out whatever the odd ones are."""

    @pytest.fixture
    def hour_with(self, pipeline, close, hour):
        """Runs an hour with these conversations; returns the state of each, and the counts."""

        def run(*odd: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
            before, *conversations, after = [close(10), *(close(11, **fields) for fields in odd), close(12)]
            result = pipeline.run(run_of(hour))["extracted"]
            states = pipeline.states()
            assert (states[before], states[after]) == ("sent", "sent")
            assert pipeline.ledger.extraction.read_watermark().covered_until == hour + HOUR  # done
            return [states.get(conversation, "ignored") for conversation in conversations], result

        return run

    def test_whose_customer_is_unreadable_get_a_row_with_that_reason(self, hour_with, pipeline):
        odd = [{"id": 17}, {"id": ""}, {"id": ["a"]}]

        states, _ = hour_with(*({"relationships": {"customer": {"data": data}}} for data in odd))

        assert states == ["skipped malformed_record"] * len(odd)
        details = pipeline.query("SELECT DISTINCT detail FROM interaction WHERE reason = 'malformed_record'")
        assert [row.detail for row in details] == ["unreadable: relationships.customer.data.id"]

    def test_whose_assignees_are_unreadable_get_a_row_with_that_reason(self, hour_with):
        odd = ["agent", {"id": "agent"}, [17], [None]]

        states, result = hour_with(*({"attributes": {"assignedUsers": assigned}} for assigned in odd))

        assert states == ["skipped malformed_record"] * len(odd)
        assert result["skipped"] == {"malformed_record": len(odd)}

    def test_without_a_customer_are_skipped_for_the_address(self, hour_with):
        states, _ = hour_with(*({"relationships": {"customer": odd}} for odd in (None, {}, "somebody")))

        assert states == ["skipped no_customer_email"] * 3

    def test_that_do_not_say_when_they_were_closed_are_deferred(self, hour_with):
        odd = [
            {"status": None},
            {"status": 7},
            {"lastDone": None},
            {"lastDone": "today"},
            {"lastDone": {"createdAt": "yesterday"}},
            {"lastDone": {"createdAt": "********"}},
        ]

        states, result = hour_with(*({"attributes": attributes} for attributes in odd))

        assert states == ["ignored"] * len(odd)
        assert (result["deferred"], result["not_closings"]) == (len(odd), 0)

    def test_closed_at_a_time_without_offset_or_hour_get_a_row_that_says_so(self, hour_with, pipeline, hour):
        naive = (hour + timedelta(minutes=11)).replace(tzinfo=None).isoformat()
        odd = [
            {"lastDone": {"createdAt": text, "assignedUsers": [], "createdBy": None}}
            for text in (naive, f"{hour:%F}")
        ]

        states, _ = hour_with(*({"attributes": attributes} for attributes in odd))

        assert states == ["sent", "planned"]  # of a bare date the whole day must be over
        rows = pipeline.query("SELECT detail FROM interaction_event WHERE from_state IS NULL AND detail > ''")
        assert [row.detail for row in rows] == [
            "closing time without offset, UTC assumed",
            "closing time is a bare date, UTC assumed",
        ]

    def test_with_oddities_where_we_need_nothing_go_out(self, hour_with):
        odd = [
            {"newField": {"of": ["any", "shape"]}, "another": None},
            {"custom": "text"},
            {"custom": [1, 2]},
            {"channels": 5, "satisfaction": "good", "spam": {}, "deleted": {}, "firstDone": 3},
            {"tags": "vip"},
            {"tags": [1, None, {"id": "vip"}]},
            {"lockedAt": "never", "name": None, "preview": {"html": "<p>"}},
            {"name": "<p>" * 700_000},
        ]

        states, _ = hour_with({"text_length": 2_000_000}, *({"attributes": attributes} for attributes in odd))

        assert states == ["sent"] * (len(odd) + 1)

    def test_with_an_unknown_tag_go_out_with_the_known_ones(self, hour_with, sandbox):
        tag = next(iter(sandbox.state.organisation.tags.values()))

        states, result = hour_with({"tags": ["no-such-tag", tag.id]})

        assert (states, result["unknown_tags"]) == (["sent"], 1)
        assert [one.request["tags"] for one in sandbox.state.received if "tags" in one.request] == [[tag.name]]


class TestRowsOfAnAnswer:
    """Rows that are no records, beside real ones."""

    JUNK = (None, 5, [], "text", {}, {"id": None}, {"id": ["a"]}, {"id": {"a": 1}})

    @pytest.fixture
    def spoil(self, monkeypatch):
        """A function that makes the sandbox write junk in place of these records."""

        def spoil(kind: str, ids: list[str]) -> None:
            junk, write = dict(zip(ids, self.JUNK, strict=False)), getattr(records, f"{kind}_record")
            monkeypatch.setattr(
                records,
                f"{kind}_record",
                lambda one, *more: junk[one.id] if one.id in junk else write(one, *more),
            )

        return spoil

    @pytest.mark.parametrize("kind", ["conversation", "user", "tag"])
    def test_that_are_none_stop_nothing(self, pipeline, sandbox, close, hour, spoil, kind):
        organisation = sandbox.state.organisation
        conversation = close(tags=[next(iter(organisation.tags))])
        for _ in self.JUNK:
            close()
        spoil(kind, list(getattr(organisation, f"{kind}s"))[1:])

        pipeline.run(run_of(hour))

        assert pipeline.states()[conversation] == "sent"

    def test_that_are_no_customers_are_asked_for_singly(self, pipeline, sandbox, close, hour, monkeypatch):
        conversations, junk, write = [close() for _ in self.JUNK], list(self.JUNK), records.customer_record
        monkeypatch.setattr(records, "customer_record", lambda one: junk.pop() if junk else write(one))

        pipeline.run(run_of(hour))

        assert pipeline.states() == dict.fromkeys(conversations, "sent")
        assert sandbox.state.calls["GET /v1/customers/{id}"] == len(conversations)


class TestACustomersName:
    @pytest.fixture
    def names_sent(self, pipeline, sandbox, close, hour):
        """Runs an hour with customers of these names; returns the names that went out, in order of closing."""

        def send(*names: str | None) -> list[str]:
            conversations = [close(minute) for minute, _ in enumerate(names)]
            for conversation, name in zip(conversations, names, strict=True):
                owner = sandbox.state.organisation.conversations[conversation].customer_id
                change_customer(sandbox.state, {"id": owner, "name": name})
            pipeline.run(run_of(hour))
            sent = {one.request["ext_interaction_id"]: one.request["customer"] for one in sandbox.state.received}
            return [sent[conversation]["name"] for conversation in conversations if conversation in sent]

        return send

    def test_goes_out_on_one_line_of_bearable_length_html_or_not(self, names_sent):
        html = "<script>alert('Ann')</script> & Co"

        assert names_sent(html, "Ann\r\n\tLee", "Ann " * 500_000) == [html, "Ann Lee", ("Ann " * 50).strip()]

    def test_that_is_none_gives_way_to_the_address(self, names_sent):
        assert [name[:13] for name in names_sent(None, "", "  ")] == ["late.customer"] * 3

    def test_goes_out_without_control_characters(self, names_sent):
        assert names_sent("Ann\x07 Lee", "Bob") == ["Ann Lee", "Bob"]

    def test_with_an_address_that_stella_connect_refuses_is_a_row_with_the_reason(
        self, pipeline, sandbox, close, hour
    ):
        owner = sandbox.state.organisation.conversations[close()].customer_id
        change_customer(sandbox.state, {"id": owner, "name": "Bob", "emails": [["josé@example.com", True]]})
        second = close(11)

        pipeline.run(run_of(hour))

        assert pipeline.sent() == [second]
        row = pipeline.query("SELECT state, http_status, detail FROM interaction ORDER BY closed_at")[0]
        assert tuple(row) == ("rejected", 400, "Invalid customer")
