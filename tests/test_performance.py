"""The page about speed against the figures that were measured."""

import re

import pytest

from scripts.benchmark.__main__ import LONG_ROWS, ROWS
from scripts.benchmark.figure import PAGE, Figure, keep, kept, shown_table, table

MAX_CELL = 120
FIGURE = Figure(
    "release", "a speed", "399/s", "≥ 150/s", True, "774/s", "Of 5,213.", "2026-01-05 10:00", 0.5, "m", "c"
)


def test_the_page_shows_the_table_that_the_figures_make() -> None:
    assert shown_table() == table(kept())


@pytest.mark.parametrize("figure", kept(), ids=lambda figure: f"{figure.row}: {figure.what[:40]}")
def test_a_cell_is_short_enough_to_read(figure: Figure) -> None:
    assert max(len(cell.strip()) for cell in figure.line().split("|")) <= MAX_CELL


@pytest.mark.parametrize("figure", kept(), ids=lambda figure: f"{figure.row}: {figure.what[:40]}")
def test_a_figure_says_where_and_when_it_was_measured(figure: Figure) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", figure.when)
    assert re.fullmatch(r"[0-9a-f]{7,40}", figure.commit)
    assert figure.machine
    assert figure.load >= 0


def test_every_row_that_can_be_measured_has_a_figure_and_a_word_about_it() -> None:
    measured = {figure.row for figure in kept()}
    assert set(ROWS) | set(LONG_ROWS) <= measured
    words = PAGE.read_text().partition("What the rows mean")[2]
    assert measured == set(re.findall(r"^\| (\w+) \| ", words, re.MULTILINE)) - {"Row"}


def test_new_figures_replace_those_of_the_same_row(tmp_path) -> None:
    file, page = tmp_path / "figures.json", tmp_path / "page.md"
    file.write_text("[]")
    page.write_text("Before.\n<!-- table: made from performance.json -->\n<!-- end of table -->\nAfter.\n")
    keep([FIGURE], file, page)
    other = Figure("views", "a page", "5 ms", "≤ 3 ms", False, "1 ms", "", "2026-01-05 11:00", 0.5, "m", "c")
    keep([other], file, page)
    assert kept(file) == [FIGURE, other]
    keep([other], file, page)
    assert kept(file) == [FIGURE, other]
    assert "| views | a page | 5 ms | ≤ 3 ms | **no** | 1 ms |" in page.read_text()
    assert page.read_text().startswith("Before.\n")
    assert page.read_text().endswith("\nAfter.\n")
