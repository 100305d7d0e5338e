"""The table against a plain reading of all rows."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger
from include.ledger.reports import listing
from include.ledger.reports.listing import Filter, Sort
from include.ledger.reports.paging import COUNTED
from include.ledger.reports.people import list_agents
from include.ledger.schema import interaction
from tests.include.ledger.reports.conftest import NOW, Filled
from tests.support.ledger import by_run, closing

AN_AGENT = "5e1f" + f"{5:020x}"
texts = st.sampled_from(
    [
        "",
        " ",
        "66aa000000000001009e3779b1",
        "65cc00000000010312201e13",
        "julia",
        "JULIA.",
        " Jul ",
        "ju",
        "mila",
        "Kim",
        "support.example",
        "@example.com",
        "%",
        "%%%",
        "___",
        "jul_a",
        "julia%",
        "\\\\\\",
        "' OR 1=1 --",
        "jul\0ia",
        "\ud800\ud800\ud800",
    ]
)
instants = st.none() | st.integers(-8 * 24, 24).map(lambda hours: NOW + timedelta(hours=hours))
filters = st.builds(
    Filter,
    text=texts | st.integers(1, 2_100).map(lambda n: f"66aa{n:012x}{n * 2654435761 % 2**32:08x}"),
    states=st.frozensets(st.sampled_from(State), max_size=3),
    reasons=st.frozensets(st.sampled_from(Reason), max_size=2),
    agent_id=st.none() | st.sampled_from([AN_AGENT, "nobody"]),
    closed_from=instants,
    closed_until=instants,
    channel=st.none() | st.sampled_from(["email", "sms", "fax"]),
    overdue_at=instants,
)


def holds(chosen: Filter, row: Any, filled: Filled, agents_found: set[str]) -> bool:
    text = chosen.text.strip()
    reported = filled.newest_response.get(row.id)
    return all(
        (
            not text
            or text in (row.conversation_id, row.customer_id)
            or (len(text) >= 3 and (row.customer_email or "").lower().startswith(text.lower()))
            or row.agent_id in agents_found,
            not chosen.states or row.state in chosen.states,
            not chosen.reasons or row.reason in chosen.reasons,
            chosen.agent_id in (None, row.agent_id),
            chosen.closed_from is None or row.closed_at >= chosen.closed_from,
            chosen.closed_until is None or row.closed_at < chosen.closed_until,
            chosen.channel is None or (reported is not None and chosen.channel == reported.channel),
            chosen.overdue_at is None or (row.state == State.PLANNED and row.due_at < chosen.overdue_at),
        )
    )


def plainly(filled: Filled, chosen: Filter) -> list[Any]:
    """What the filter leaves, latest closing first."""
    text = chosen.text.strip().casefold()
    names = {row.agent_id: f"{row.agent_name}\n{row.agent_email}" for row in filled.interactions if row.agent_id}
    found = {agent for agent, name in names.items() if len(text) >= 3 and text in name.casefold()}
    rows = [row for row in filled.interactions if holds(chosen, row, filled, found)]
    return sorted(rows, key=lambda row: (row.closed_at, row.id), reverse=True)


def in_order(rows: list[Any], sort: Sort, *, descending: bool, agents: list[str | None]) -> list[int]:
    def sorted_by(key: Callable[[Any], Any]) -> list[Any]:
        have = [row for row in rows if key(row) is not None]
        return sorted(have, key=key, reverse=descending) + [row for row in rows if key(row) is None]

    match sort:
        case Sort.CLOSED_AT | Sort.DUE_AT:
            rows = sorted(rows, key=lambda row: (getattr(row, sort), row.id), reverse=descending)
        case Sort.SENT_AT:
            rows = sorted_by(lambda row: (row.sent_at, row.id) if row.sent_at else None)
        case Sort.STATE:
            rows = sorted_by(lambda row: list(State).index(row.state))
        case Sort.AGENT:
            rows = sorted_by(lambda row: agents.index(row.agent_id) if row.agent_id else None)
    return [row.id for row in rows]


@settings(max_examples=40)
@given(
    chosen=filters | st.just(Filter()),
    sort=st.sampled_from(Sort),
    descending=st.booleans(),
    size=st.integers(300, 500),
)
def test_paging_shows_each_interaction_of_the_filter_once_and_in_order(
    filled: Filled, chosen: Filter, sort: Sort, descending: bool, size: int
) -> None:
    rows = plainly(filled, chosen)
    with filled.ledger.read() as connection:
        agents = [agent.id for agent in list_agents(connection)]
        pages = [listing.page(connection, chosen, sort, descending=descending, size=size)]
        pages += (
            listing.page(connection, chosen, sort, descending=descending, number=number, size=size)
            for number in range(2, pages[0].pages + 2)
        )
    expected = in_order(rows, sort, descending=descending, agents=agents)
    assert [line.id for page in pages for line in page.rows] == expected[:COUNTED]
    assert not pages[-1].rows
    assert {(page.total, page.more) for page in pages} == {(min(len(rows), COUNTED), len(rows) > COUNTED)}


@pytest.mark.parametrize("descending", [False, True])
def test_sorting_by_agent_gives_the_same_however_many_there_are(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    seen = []
    for many in (1, 10_000):
        monkeypatch.setattr(listing, "_MANY", many)
        with filled.ledger.read() as connection:
            page = listing.page(connection, Filter(), Sort.AGENT, descending=descending, size=500, number=2)
        seen.append([line.id for line in page.rows])
    assert seen[0] == seen[1]


@settings(max_examples=10)
@given(filters | st.just(Filter()))
def test_an_export_is_everything_filtered_with_the_latest_closing_first(filled: Filled, chosen: Filter) -> None:
    exported = [line.id for line in listing.export(filled.ledger.read, chosen)]
    assert exported == [row.id for row in plainly(filled, chosen)]


def test_an_export_has_no_connection_between_its_parts(filled: Filled) -> None:
    rest = listing.export(filled.ledger.read, Filter())
    next(rest)
    with filled.ledger.read():  # SQLite has one connection only: this would wait for ever
        pass
    assert sum(1 for _ in rest) == 2_099


def test_a_line_tells_what_the_newest_record_of_data_return_says(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        lines = listing.page(connection, Filter(), Sort.SENT_AT, descending=True, size=500).rows
    for line in lines:
        told = filled.newest_response.get(line.id)
        assert (line.delivery_status, line.answered_at, line.rating, line.channel) == (
            (told.delivery_status, told.response_received_at, told.rating, told.channel) if told else (None,) * 4
        )


def test_the_channels_on_offer_are_those_that_occur(filled: Filled) -> None:
    with filled.ledger.read() as connection:
        assert listing.channels(connection) == sorted({row.channel for row in filled.responses})


@pytest.mark.parametrize(("number", "size"), [(0, 50), (-1, 50), (1, 0), (1, 501)])
def test_a_page_that_cannot_be_is_refused(filled: Filled, number: int, size: int) -> None:
    with filled.ledger.read() as connection, pytest.raises(ValueError, match="pages count from 1"):
        listing.page(connection, Filter(), Sort.STATE, descending=False, number=number, size=size)


def found(ledger: Ledger, text: str) -> list[str]:
    with ledger.read() as connection:
        page = listing.page(connection, Filter(text=text), Sort.CLOSED_AT, descending=False)
    return [line.conversation_id for line in page.rows]


def test_the_search_box_takes_what_people_paste(ledger: Ledger) -> None:
    ledger.extraction.record_closings(
        [closing(1), closing(2, agent_email="Old@example.com"), closing(30)], by_run("run")
    )
    one, two, thirty = (closing(number).conversation_id for number in (1, 2, 30))
    assert found(ledger, f" {one}\n") == [one]
    assert found(ledger, f"https://acme.kustomerapp.com/app/customers/c/event/{one}?tab=x") == [one]
    assert found(ledger, "customer-2") == [two]
    assert found(ledger, "CUSTOMER3") == [thirty]  # the e-mail's beginning
    assert found(ledger, "gent@EXAMPLE") == [one, two, thirty]  # an agent is known by the latest address
    assert found(ledger, "old@example") == []
    assert found(ledger, "omer1@example.com") == []
    assert found(ledger, "cu") == []


def test_what_means_something_to_a_database_is_just_text(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1), closing(2)], by_run("run"))
    for text in (
        "customer_@example.com",
        "customer%",
        "%",
        "customer\\",
        "'; DROP TABLE interaction; --",
        "\0\0\0",
    ):
        assert found(ledger, text) == []


def test_a_reader_cannot_write(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    with pytest.raises(Exception, match=r"read.?only"), ledger.read() as connection:
        connection.execute(interaction.update().values(detail="x"))
    assert (
        ledger.extraction.record_closings([closing(2)], by_run("run")).planned == 1
    )  # the connection writes again
