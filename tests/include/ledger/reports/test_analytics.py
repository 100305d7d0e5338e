"""docs/analytics.md against the views: every column is documented, and every query gives rows."""

import re

import pytest
from sqlalchemy import text

from include.ledger.maintenance.exporting import DAYS
from scripts.analytics_pictures import PAGE, bars, columns, queries
from tests.include.ledger.reports.conftest import Filled

QUERIES = list(queries(PAGE.read_text()))


def test_the_page_answers_ten_questions() -> None:
    headings = re.findall(r"^### (\d+)\. ", PAGE.read_text(), re.MULTILINE)
    assert headings == [str(number) for number in range(1, 11)]
    assert len(QUERIES) == 10


@pytest.mark.parametrize("query", [query for query, *_ in QUERIES], ids=range(1, 11))
def test_every_query_of_the_page_gives_rows(filled: Filled, query: str) -> None:
    with filled.ledger.read() as connection:
        rows = connection.execute(text(query)).all()
    assert rows
    assert all(row[0] is not None for row in rows)
    assert all(float(row[-1]) >= -100 for row in rows)


@pytest.mark.parametrize("view", DAYS)
def test_every_column_of_a_view_is_documented_and_in_this_order(filled: Filled, view: str) -> None:
    table = PAGE.read_text().partition(f"| `{view}` | Meaning |")[2].partition("\n\n")[0]
    documented = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split(" | ")[0])]
    with filled.ledger.read() as connection:
        names = list(connection.execute(text(f"SELECT * FROM {view} LIMIT 0")).keys())
    assert sorted(documented) == sorted(names)


def test_every_picture_is_there_and_small() -> None:
    pictures = [PAGE.parent / address for _, _, address in QUERIES if address]
    assert len(pictures) == 10
    assert all(picture.stat().st_size < 10_000 for picture in pictures)


def test_a_picture_escapes_names_and_hangs_columns_below_zero() -> None:
    assert "&lt;b&gt;" in bars("Bars", [("<b>", 1), ("c", 0)])
    assert columns("Columns", [("2026-01-01", -50.0), ("2026-01-02", 100.0)]).count("<rect") == 2
