"""*Check both vendors* against sandboxes in which each reading holds, and in which it is turned round."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowFailException

from include.interactions.settings import Settings
from include.interactions.vendor_check.findings import Unread
from include.interactions.vendor_check.readings import READINGS
from include.ledger.reports.vendor_check import VENDOR_CHECK
from include.sandbox.changes import change_conversation
from include.sandbox.faults import Fault
from plugins.pipeline.admin import carry_out, check_form
from plugins.pipeline.checking.asking import MAX_SECONDS, Asker
from plugins.pipeline.checking.vendor_check import check_vendors
from plugins.pipeline.preflight import check_configuration
from plugins.runtime.organisations import DEFAULT
from tests.plugins.pipeline.test_admin import form
from tests.scenarios.conftest import *  # noqa: F403 - the fixtures of an installation
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

QUICK = Settings(kustomer_requests_per_minute=100_000)


@pytest.fixture
def size() -> int:
    """Enough for each situation, and for the evidence that a reading needs."""
    return 100


@pytest.fixture
def check(pipeline: Any) -> Any:
    """A function that checks, and returns the lines of the readings by id."""

    def act(settings: Settings = QUICK) -> dict[str, dict[str, Any]]:
        pipeline.ledger.migrate()
        checked = check_vendors(pipeline.ledger, DEFAULT, settings)
        return {row["reading"]: row for row in checked.report["findings"] if row["reading"]}

    return act


def test_every_reading_has_a_line_and_nothing_is_sent(sandbox: Any, check: Any) -> None:
    sandbox.state.calls.clear()

    lines = check()

    assert lines.keys() == READINGS.keys()
    assert {row["verdict"] for row in lines.values()} == {"holds", "cannot be seen here"}
    assert [call for call in sandbox.state.calls if not call.startswith("GET")] == ["POST /v1/customers/search"]
    assert sandbox.state.calls.total() < 60


def test_after_a_run_data_return_is_compared_with_what_was_sent(pipeline: Any, hour: Any, check: Any) -> None:
    pipeline.run(run_of(hour))

    lines = check()

    ours = {name: lines[name]["verdict"] for name in ("data_order", "data_delay", "data_fields", "taken")}
    assert set(ours.values()) == {"holds"}


TURNED = {
    "search_criteria": {"refused_attribute": "conversation_last_done_created_at"},
    "search_bounds": {"whole_seconds": True},
    "search_total": {"overcounted_rows": 3},
    "assignees": {"hide_assignees": True},
    "merged": {"merge_mark": "mergedWith"},
    "found_by_id": {"hide_by_id": True},
    "list_of_ids": {"max_listed": 25},
    "unknown_id": {"unknown_id_status": 400},
    "deleted": {"unmarked_deleted": True},
    "customer_search": {"hide_customers": True},
    "users": {"hide_users": True},
    "addresses": {"mask_emails": True},
    "opt_outs": {"mask_custom": True},
    "token": {"require_bearer": True},
    "next_page": {"next_page_in_path": True},
    "active": {"ignore_status": True},
    "data_order": {"data_newest_first": True},
    "data_fields": {"data_without_ids": True},
}
"""Each reading, and the switch of the sandbox that turns it round."""


@pytest.mark.parametrize("reading", TURNED)
def test_a_reading_turned_round_does_not_hold(
    pipeline: Any, sandbox: Any, hour: Any, check: Any, reading: str
) -> None:
    if reading.startswith("data"):
        pipeline.run(run_of(hour))
    for name, value in TURNED[reading].items():
        setattr(sandbox.state.options, name, value)

    line = check()[reading]

    refuses = READINGS[reading].refuses
    assert (line["verdict"], line["light"]) == ("does not hold", "red" if refuses else "yellow")
    assert line["meaning"] == READINGS[reading].otherwise
    assert_runs_are_refused(hour, reading if refuses else None)


def assert_runs_are_refused(hour: datetime, reading: str | None) -> None:
    if reading is None:
        check_configuration(run_of(hour), DEFAULT)
        return
    with pytest.raises(AirflowFailException, match=f"'{reading}'.*“Check both vendors”.*make check"):
        check_configuration(run_of(hour), DEFAULT)


def test_every_reading_was_turned_round() -> None:
    in_tests_of_their_own = {"search_lag", "same_address", "data_delay", "taken"}
    assert TURNED.keys() | in_tests_of_their_own == READINGS.keys()


def test_a_closing_that_appears_after_the_overlap_does_not_hold(sandbox: Any, hour: Any, check: Any) -> None:
    closed_at = datetime.now(UTC) - timedelta(minutes=90)
    change_conversation(sandbox.state, {"closed_at": closed_at, "updated_at": closed_at})
    sandbox.state.options.late_closings = 1

    line = check()["search_lag"]

    assert (line["verdict"], "90 min" in line["found"]) == ("does not hold", True)
    assert_runs_are_refused(hour, "search_lag")

    sandbox.state.options.late_closings = 1
    line = check(QUICK.model_copy(update={"overlap_seconds": 7200}))["search_lag"]
    assert line["verdict"] == "holds"


def test_agents_with_other_addresses_at_stella_connect_do_not_match(sandbox: Any, check: Any) -> None:
    for employee in sandbox.state.organisation.employees:
        employee.email = f"other.{employee.email}"

    line = check()["same_address"]

    assert line["verdict"] == "does not hold"


def test_a_request_that_data_return_never_shows(pipeline: Any, sandbox: Any, hour: Any, check: Any) -> None:
    sandbox.state.options.visibility_lag_seconds = 86400.0
    pipeline.run(run_of(hour))

    with time_machine.travel(datetime.now(UTC) + timedelta(hours=8)):
        line = check()["data_delay"]

    assert line["verdict"] == "does not hold"


class TestWhatFailedOnce:
    def test_still_refuses_if_it_cannot_be_seen_later(self, sandbox: Any, hour: Any, check: Any) -> None:
        sandbox.state.options.mask_emails = True
        check()
        sandbox.state.faults.active = [Fault("500", "/v1/", "GET", times=100)]

        line = check()["addresses"]

        assert (line["verdict"], "earlier check" in line["found"]) == ("does not hold", True)
        assert check()["addresses"]["found"] == line["found"]
        assert_runs_are_refused(hour, "addresses")

    def test_refuses_no_run_once_it_is_seen_to_hold(self, sandbox: Any, hour: Any, check: Any) -> None:
        sandbox.state.options.require_bearer = True
        check()
        assert_runs_are_refused(hour, "token")
        sandbox.state.options.require_bearer = False
        check()

        check_configuration(run_of(hour), DEFAULT)

    def test_stops_the_release_of_what_is_planned(self, pipeline: Any, sandbox: Any, hour: Any, check: Any) -> None:
        pipeline.extract(run_of(hour))
        before = pipeline.states()
        sandbox.state.options.hide_by_id = True
        check()

        with pytest.raises(AirflowFailException, match="found_by_id"):
            pipeline.release_due(run_of(hour))
        assert pipeline.states() == before

    def test_does_not_stop_a_release_that_it_does_not_concern(
        self, pipeline: Any, sandbox: Any, hour: Any, check: Any
    ) -> None:
        pipeline.extract(run_of(hour))
        sandbox.state.options.hide_assignees = True
        check()
        sandbox.state.options.hide_assignees = False

        pipeline.release_due(run_of(hour))
        assert pipeline.sent()


@pytest.mark.parametrize("path", ["/v1/", "/v2/"])
def test_a_vendor_that_does_not_answer_is_a_red_line(sandbox: Any, check: Any, path: str, pipeline: Any) -> None:
    sandbox.state.faults.active = [Fault("500", path, "GET", times=1000)]

    check()

    report = json.loads(pipeline.ledger.get_fact(VENDOR_CHECK).value)
    red = [row["topic"] for row in report["findings"] if row["light"] == "red"]
    assert red == ["API key" if path == "/v1/" else "API key and secret"]


def test_the_action_says_what_was_found_and_names_no_address(pipeline: Any, sandbox: Any) -> None:
    pipeline.ledger.migrate()
    sandbox.state.organisation.queues["q1"] = "queue of support@example.com"
    context = form("check_vendors")
    check_form(context)

    result = carry_out(context, DEFAULT)

    assert {row["reading"] for row in result["findings"]} - {None} == READINGS.keys()
    assert "0 red (wrong)" in result["outcome"]
    remembered = pipeline.ledger.get_fact(VENDOR_CHECK).value
    assert "@" not in json.dumps(result) + remembered
    addresses = {one.email for one in sandbox.state.organisation.employees}
    assert not any(address in remembered for address in addresses)


def test_no_call_begins_after_the_time_of_a_check() -> None:
    seconds = [0.0]
    asker = Asker(now=lambda: seconds[0])

    assert asker.ask(lambda: "answer") == "answer"
    seconds[0] = MAX_SECONDS + 1
    assert asker.ask(lambda: "answer") == Unread("no time left")


def test_without_a_check_runs_are_not_refused(pipeline: Any, hour: Any) -> None:
    pipeline.ledger.migrate()
    check_configuration(run_of(hour), DEFAULT)
    assert pipeline.sandbox.state.calls.total() == 0
