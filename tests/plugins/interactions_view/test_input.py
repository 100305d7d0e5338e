"""What people, vendors and attackers write: escaped in pages, harmless in exports, refused where it is nonsense."""

import csv
import io

import pytest
from structlog.testing import capture_logs

from tests.plugins.interactions_view.conftest import FORMULA, SCRIPT, Filled, Get

METACHARACTERS = (
    "' OR 1=1 --",
    '"; DROP TABLE interaction; --',
    "%",
    "_",
    "\\",
    "')",
    "a" * 200,
    "\N{PILE OF POO}",
)


def test_html_and_script_in_names_tags_and_comments_is_escaped(filled: Filled, get: Get) -> None:
    for path in ("list", f"one/{filled.ids['nasty']}", f"one/{filled.ids['sent']}", "agents", "responses"):
        text = get(path).text
        assert "<script>alert" not in text
        assert "<img src=x>" not in text
    assert "&lt;script&gt;alert" in get(f"one/{filled.ids['nasty']}").text
    assert "&lt;script&gt;alert" in get("responses").text


def test_what_is_searched_for_is_in_no_log(filled: Filled, get: Get) -> None:
    with capture_logs() as lines:
        assert get("list", search_secret="customer1@example.com").status == 200
    assert any(line.get("path") == "/interactions/list" for line in lines)
    assert "customer1" not in str(lines)


def test_what_is_searched_for_is_escaped(filled: Filled, get: Get) -> None:
    assert '"><script>' not in get("list", search_secret='"><script>alert(1)</script>').text


def test_no_cell_of_the_export_is_a_formula(filled: Filled, get: Get) -> None:
    rows = list(csv.DictReader(io.StringIO(get("list.csv").text.removeprefix("\ufeff"))))
    assert len(rows) == 7
    nasty = next(row for row in rows if row["conversation_id"] == f"{3:024x}")
    assert nasty["agent_name"] == f"'{FORMULA}"
    assert nasty["tags"] == f"{SCRIPT}, {FORMULA}"
    for row in rows:
        assert [cell for cell in row.values() if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


def test_the_export_holds_what_is_filtered(filled: Filled, get: Get) -> None:
    rows = list(csv.DictReader(io.StringIO(get("list.csv", state="skipped").text.removeprefix("\ufeff"))))
    assert {row["state"] for row in rows} == {"skipped"}
    assert len(rows) == 2


@pytest.mark.parametrize("text", METACHARACTERS)
def test_sql_metacharacters_stand_for_themselves_in_every_filter(text: str, filled: Filled, get: Get) -> None:
    everything = get("list").text.count('class="id"')
    for name in ("search_secret", "agent", "channel"):
        answer = get("list", **{name: text})
        assert answer.status == 200
        assert answer.text.count('class="id"') == 0
    for path, name in (("responses", "agent"), ("action", "conversation_id"), ("action", "agent")):
        assert get(path, **{name: text}).status == 200
    assert get(f"agents/{text.replace('/', '')}").status == 404
    assert get("list").text.count('class="id"') == everything


@pytest.mark.parametrize(
    ("path", "query", "allowed"),
    [
        ("list", {"state": "x"}, "one of planned, claimed"),
        ("list", {"reason": "' OR 1=1"}, "one of merged"),
        ("list", {"page": "0"}, "a whole number from 1"),
        ("list", {"page": "999999999999999999999"}, "a whole number from 1"),
        ("list", {"page": "1; DROP TABLE"}, "a whole number from 1"),
        ("list", {"size": "1000000"}, "25, 50, 100 or 200"),
        ("list", {"sort": "customer_email"}, "one of closed_at"),
        ("list", {"order": "sideways"}, "asc or desc"),
        ("list", {"from": "yesterday"}, "a day such as"),
        ("list", {"to": "9999-12-31"}, "a day such as"),
        ("list", {"search_secret": "x" * 201}, "at most 200 characters"),
        ("list", {"search_secret": "nul\0"}, "at most 200 characters"),
        ("list", {"agent": "x" * 5000}, "at most 200 characters"),
        ("list", {"state": ["planned"] * 50}, "one of planned"),
        ("list", {"unheard_of": "1"}, "this parameter does not exist"),
        ("list.csv", {"state": "x"}, "one of planned"),
        ("", {"span": "century"}, "one of today"),
        ("agents", {"days": "-1"}, "7, 30 or 90"),
        ("responses", {"stars": "6"}, "1, 2, 3, 4 or 5"),
        ("action", {"action": "drop_everything"}, "one of show_history"),
        ("action", {"closed_at": "x"}, "a time such as"),
        ("one/abc", {}, ""),
    ],
)
def test_a_parameter_that_is_not_allowed_gets_422_and_what_is(
    path: str, query: dict[str, object], allowed: str, filled: Filled, get: Get
) -> None:
    answer = get(path, **query)
    assert answer.status == 422
    assert allowed in answer.text
    assert get(path, accept="application/json", **query).status == 422


@pytest.mark.parametrize("number", ["0", "-1", "99999", "99999999999999999999999999"])
def test_an_interaction_that_does_not_exist_is_not_found(number: str, filled: Filled, get: Get) -> None:
    assert get(f"one/{number}").status == 404


def test_what_a_form_leaves_empty_is_not_chosen(filled: Filled, get: Get) -> None:
    answer = get("list", search_secret="", state="", reason="", agent="", channel="", **{"from": "", "to": ""})
    assert answer.status == 200
    assert answer.text.count('class="id"') == 7
