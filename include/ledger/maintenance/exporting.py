"""Write a view for analysts to a file, as CSV or Parquet."""

import csv
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, column, select, table, text

from include.interactions.utc import utc_text
from include.ledger.engine import reading

DAYS = {
    "analytics_interaction": "closed_day",
    "analytics_answer": "answered_day",
    "analytics_agent_day": "closed_day",
}
"""The views, and the column by which a span is chosen."""
BATCH = 5_000
_NUMBERS = frozenset({"seconds_late", "hours_to_answer", "average_stars", "average_hours_to_answer"})
_FLAGS = frozenset({"resolved", "disputed", "is_recovery", "commented"})
_TEXTS = frozenset(
    {
        *("conversation_id", "state", "reason", "rule", "survey", "channel", "brand", "language", "country"),
        *("agent_id", "agent_name", "team_leader", "survey_uuid", "survey_name", "delivery_status"),
        *("question_type", "question", "option_text"),
    }
)
"""The other columns are whole numbers, and times and days by the end of their name."""


class ExportRefusedError(Exception):
    """The file cannot be written; the text says why."""


def export(engine: Engine, view: str, file: Path, first: date, last: date) -> int:
    """Write the rows of the days (UTC) from `first` to `last`, both included; return how many.

    Raises:
        ExportRefusedError: the file exists or has another ending than .csv and .parquet, or pyarrow is missing.
    """
    if file.suffix not in {".csv", ".parquet"}:
        raise ExportRefusedError(f"{file.name} must end with .csv or .parquet.")
    if file.exists():
        raise ExportRefusedError(f"{file} exists.")
    if file.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ExportRefusedError("Parquet needs the package pyarrow. Install it, or export to .csv.")
    with reading(engine).connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "SET LOCAL statement_timeout = 0"
            )  # a page may not wait so long, a person may
        names, batches = _read(connection, view, first, last)
        write = _write_csv if file.suffix == ".csv" else _write_parquet
        return write(file, names, batches)


def _read(
    connection: Connection, view: str, first: date, last: date
) -> tuple[list[str], Iterator[list[list[Any]]]]:
    day: ColumnElement[Any] = column(DAYS[view])
    bounds = (first, last) if connection.dialect.name == "postgresql" else (first.isoformat(), last.isoformat())
    question = (
        select("*").select_from(table(view)).where(day >= bounds[0], day <= bounds[1]).order_by(day, text("1"))
    )
    found = connection.execution_options(stream_results=True).execute(question)
    names = [name for name in found.keys()]  # noqa: SIM118, C416 - of a result, not of a mapping
    return names, ([_values(names, row) for row in rows] for rows in found.partitions(BATCH))


def _values(names: Sequence[str], row: Sequence[Any]) -> list[Any]:
    """Return the row with the same types from both databases: SQLite gives times as texts, and flags as numbers."""
    return [None if value is None else _typed(name, value) for name, value in zip(names, row, strict=True)]


def _typed(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
    if name.endswith("_day"):
        return date.fromisoformat(value) if isinstance(value, str) else value
    return bool(value) if name in _FLAGS else value


def _write_csv(file: Path, names: list[str], batches: Iterator[list[list[Any]]]) -> int:
    written = 0
    with file.open("x", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(names)
        for rows in batches:
            writer.writerows([[_cell(value) for value in row] for row in rows])
            written += len(rows)
    return written


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc_text(value)
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(file: Path, names: list[str], batches: Iterator[list[list[Any]]]) -> int:
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")  # not among our requirements

    def kind(name: str) -> Any:
        if name.endswith("_at"):
            return pyarrow.timestamp("ms", tz="UTC")
        if name.endswith("_day"):
            return pyarrow.date32()
        if name in _TEXTS:
            return pyarrow.string()
        if name in _FLAGS:
            return pyarrow.bool_()
        return pyarrow.float64() if name in _NUMBERS else pyarrow.int64()

    schema, written = pyarrow.schema([(name, kind(name)) for name in names]), 0
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in batches:
            values = [dict(zip(names, row, strict=True)) for row in rows]
            writer.write_table(pyarrow.Table.from_pylist(values, schema=schema))
            written += len(rows)
    return written
