"""Wrong records: a row with a reason, or nothing that matters."""

from datetime import timedelta
from typing import Any

import pytest

from include.sandbox.changes import change_customer
from include.sandbox.kustomer import records
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


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

        hour_with(*({"attributes": attributes} for attributes in odd))

        waits = pipeline.query(
            "SELECT interaction_event.detail, (due_at - closed_at) / 60000 AS minutes FROM interaction"
            " JOIN interaction_event ON interaction.id = interaction_id"
            " WHERE from_state IS NULL AND interaction_event.detail > ''"
        )
        assert sorted((row.detail, row.minutes) for row in waits) == [
            ("closing time is a bare date, UTC assumed", 24 * 60 + 1),  # the whole day must be over
            ("closing time without offset, UTC assumed", 1),
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
