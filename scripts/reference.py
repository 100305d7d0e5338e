"""`make reference`: write the reference tables of README and docs from the code that they describe.

A page marks each table with `<!-- reference: NAME -->` above and `<!-- end of reference -->` below. What stands
between the marks is replaced. `tests/test_docs.py` fails while a table differs from the code.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from include.interactions.reasons import Reason
from include.interactions.settings import Settings
from include.interactions.vendor_check.readings import READINGS
from plugins.pipeline.action_fields import FIELDS
from plugins.pipeline.actions import ACTIONS
from plugins.runtime.metrics import METRICS
from scripts.mutants.breaches import BREACHES, HISTORIES

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/operations.md", "docs/reliability.md", "docs/vendors.md")

_BLOCK = re.compile(r"(<!-- reference: (\w+) -->\n).*?(<!-- end of reference -->)", re.DOTALL)


def settings_table() -> str:
    """Return every setting with its default, what is allowed, and what it does."""
    schemas = Settings.model_json_schema()["properties"]
    rows = [
        (f"`{key}`", _default(field.default), _allowed(schemas[key]), field.description or "")
        for key, field in Settings.model_fields.items()
    ]
    return _table(("Key", "Default", "Allowed", "What it does"), rows)


def reasons_table() -> str:
    """Return every reason with the state in which it ends, its meaning, and what to do."""
    rows = [(f"`{reason}`", reason.state, _sentence(reason.because), reason.advice) for reason in Reason]
    return _table(("Reason", "State", "Meaning", "What to do"), rows)


def actions_table() -> str:
    """Return every action with the fields that it needs and what it does."""
    rows = [
        (action.title, ", ".join(FIELDS[name].title for name in action.needs) or "–", action.explanation)
        for action in ACTIONS.values()
    ]
    return _table(("Action", "Needs", "What it does"), rows)


def metrics_table() -> str:
    """Return every metric with its kind and its meaning."""
    rows = [(f"`airflow.{metric.name}`", metric.kind, metric.meaning) for metric in METRICS]
    return _table(("Metric (StatsD)", "Kind", "What it counts or shows"), rows)


def readings_table() -> str:
    """Return every reading of what the vendors leave open, and what happens if it does not hold."""
    rows = [
        (
            f"`{reading.id}`",
            reading.question,
            f"{reading.answer}",
            f"{reading.refuses} is refused" if reading.refuses else "–",
        )
        for reading in READINGS.values()
    ]
    return _table(("Id", "Question", "Our reading", "If it does not hold"), rows)


def breaches_table() -> str:
    """Return every breach of `make mutants` with the test that must see it; those of every history have no row."""
    rows = [
        (breach.name, f"`{breach.test.rpartition('::')[2]}`") for breach in BREACHES if breach.test != HISTORIES
    ]
    return _table(("Breach", "Test that must fail"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "reasons": reasons_table,
    "actions": actions_table,
    "metrics": metrics_table,
    "breaches": breaches_table,
    "readings": readings_table,
}


def filled(page: str) -> str:
    """Return the page with every marked table written anew.

    Raises:
        KeyError: a mark names a table that does not exist.
    """
    return _BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]]()}\n{block[3]}", page)


def main() -> int:
    """Write the tables into the pages and name the pages that changed."""
    for name in PAGES:
        path = ROOT / name
        before = path.read_text()
        if (after := filled(before)) != before:
            path.write_text(after)
            print(f"{name}: written")
    return 0


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _default(value: object) -> str:
    if value in (None, (), {}):
        return "none"
    return f"`{value}`" if isinstance(value, str) else str(value)


def _allowed(schema: Mapping[str, Any]) -> str:
    option = next((kind for kind in schema.get("anyOf", []) if kind["type"] != "null"), schema)
    if any(kind["type"] == "object" for kind in schema.get("anyOf", [])) and option["type"] == "string":
        return "text, or a [mapping](docs/who-is-surveyed.md#mapping)"
    if "enum" in option:
        return ", ".join(f"`{word}`" for word in option["enum"])
    if option.get("type") != "integer":
        return {"string": "text", "boolean": "true, false"}.get(str(option.get("type")), "JSON")
    if "maximum" in option:
        return f"{option['minimum']}–{option['maximum']}"
    return f"≥ {option['minimum']}"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


if __name__ == "__main__":
    sys.exit(main())
