"""README and docs against the code: what they name exists, and what exists is named."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from include.interactions.reasons import Reason
from include.interactions.settings import Settings
from include.interactions.states import State
from plugins.pipeline.alarms import NAMES
from scripts.reference import PAGES, TABLES, filled

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
RELIABILITY = ROOT / "docs" / "reliability.md"
DOCS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROMISE = "at most one POST per interaction by itself; an unknown outcome is looked up, never repeated on a timer."

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(?:^|`)(?:[A-Z_]+=\S+ )?make ([a-z]+)\b", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """The text without its code blocks, in which brackets mean other things."""
    return _FENCE.sub("", path.read_text())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def row(page: str, key: str) -> list[str]:
    """The cells after a table row's first one, which is `key`."""
    found = re.search(rf"^\| `{re.escape(key)}` \|(.*)\|$", page, re.MULTILINE)
    return [cell.strip() for cell in found[1].split("|")] if found else []


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_tables_are_those_of_the_code(page):
    written = (ROOT / page).read_text()

    assert filled(written) == written, "run `make reference`"


def test_every_reference_table_stands_on_a_page():
    pages = "".join((ROOT / page).read_text() for page in PAGES)

    assert re.findall(r"<!-- reference: (\w+) -->\n\|", pages) == list(TABLES)


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_setting_stands_in_the_readme_with_its_default(key):
    cells = row(README.read_text(), key)
    default = Settings.model_fields[key].default

    assert cells, f"README, 'Settings': a row for {key}"
    assert cells[0].strip("`") == ("none" if default in (None, (), {}) else str(default))


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_limit_of_a_setting_stands_in_the_readme(key):
    allowed = row(README.read_text(), key)[1]
    schema = Settings.model_json_schema()["properties"][key]
    limits = next(option for option in schema.get("anyOf", [schema]) if option["type"] != "null")

    assert set(limits.get("enum", [])) == set(re.findall(r"`(\w+)`", allowed))
    expected = {str(limits[bound]) for bound in ("minimum", "maximum") if bound in limits}
    assert set(re.findall(r"\d+", allowed)) == expected


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_in_the_readme(reason):
    assert row(README.read_text(), reason), f"README, 'What is not surveyed': a row for {reason}"


def test_every_reason_in_the_readme_exists():
    section = README.read_text().partition("## What is not surveyed")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(Reason)


@pytest.mark.parametrize("state", State)
def test_every_state_stands_in_the_diagram(state):
    diagram = ARCHITECTURE.read_text().partition("## States")[2].partition("## ")[0]

    assert state in diagram


def test_every_make_target_that_the_docs_name_exists():
    commands = {command for path in DOCS for command in _COMMAND.findall(path.read_text())}

    assert {"demo", "test", "help"} <= commands
    assert commands <= make_targets()


@pytest.mark.parametrize("target", sorted(make_targets()))
def test_every_make_target_is_documented(target):
    pages = README.read_text() + (ROOT / "docs" / "development.md").read_text()

    assert f"`make {target}" in pages


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_every_relative_link_leads_somewhere(path):
    broken = []
    for link in _LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        page, _, anchor = unquote(link).partition("#")
        target = (path.parent / page).resolve() if page else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("path", [path for path in DOCS if path.parent.name == "decisions"], ids=named)
def test_every_decision_is_listed(path):
    assert path.name == "README.md" or f"({path.name})" in (path.parent / "README.md").read_text()


@pytest.mark.parametrize("path", [README, ARCHITECTURE, RELIABILITY], ids=named)
def test_the_promise_stands_in_its_own_words(path):
    words = " ".join(path.read_text().split())

    assert PROMISE.casefold() in words.casefold()


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_nothing_more_is_promised(path):
    assert not re.search(r"exactly[\s-]+once", path.read_text(), re.IGNORECASE)


def words_before(path: Path, heading: str) -> int:
    return len(prose(path).partition(heading)[0].split())


def test_a_reader_in_a_hurry_reads_at_most_a_thousand_words_before_the_reference():
    assert words_before(README, "\n# Reference") <= 1_000


def test_architecture_reads_in_ten_minutes():
    assert words_before(ARCHITECTURE, "\n## Read on") <= 2_200


def test_where_things_are_is_true():
    table = ARCHITECTURE.read_text().partition("## Where things are")[2].partition("\n## ")[0]
    answers = re.findall(r"^\| Where .*\? \| (.*) \|$", table, re.MULTILINE)
    places = [re.findall(r"`(\w+)` in `([\w/]+\.py)`", answer) for answer in answers]

    assert len(answers) >= 5
    assert all(0 < len(found) <= 2 for found in places)
    for name, path in (place for found in places for place in found):
        assert re.search(rf"^ *(?:def |class )?{name}\b", (ROOT / path).read_text(), re.MULTILINE), (
            f"{name} in {path}"
        )


def test_the_connections_in_the_readme_are_json():
    connections = re.findall(r"^(?:export )?AIRFLOW_CONN_\w+='(.*)'$", README.read_text(), re.MULTILINE)

    assert {json.loads(text)["conn_type"] for text in connections} == {"kustomer", "stella_connect", "sqlite"}


def test_the_table_of_what_happens_before_the_send_names_a_file_that_exists():
    named_tests = re.findall(r"`(tests/[\w/]+\.py)`", "".join(path.read_text() for path in DOCS))

    assert named_tests
    assert all((ROOT / path).exists() for path in named_tests)


def test_every_test_that_the_docs_name_exists():
    named_tests = set(re.findall(r"`(test_\w+)`", "".join(path.read_text() for path in DOCS)))
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named_tests) > 20
    assert named_tests <= set(re.findall(r"^ *def (test_\w+)\(", tests, re.MULTILINE))


def test_every_alarm_says_in_the_docs_what_to_do():
    assert all(row(RELIABILITY.read_text(), name) for name in NAMES)
