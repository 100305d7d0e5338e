"""The views for analysts, and their export."""

import csv
import sys
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from include.interactions.answers import Answer
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import Ledger
from include.ledger.maintenance import exporting
from include.ledger.maintenance.command_line import main
from include.ledger.maintenance.exporting import DAYS
from include.ledger.schema import interaction
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)
ANSWERS = (
    Answer("agent_star_rating", "How did we do?", 2, ("2 stars",), "Call me: customer1@example.com"),
    Answer("areas_of_improvement", "What could be better?", None, ("Speed", "Clarity \ud800\0"), None),
    Answer("own", "What else?", None, (), "I am Customer 1"),
    Answer("fcr", "Resolved?", None, (), None),
)


@pytest.fixture
def answered(ledger: Ledger, clock: Clock) -> None:
    """Two interactions of one agent; the customer of the first has answered. A third was never sent."""
    ledger.extraction.record_closings([closing(number) for number in (1, 2, 3)], by_run("extraction"))
    clock.forward(hours=1)
    for one in ledger.releasing.claim(NOON, clock(), 2, LEASE, by_run("run")):
        ledger.releasing.start_sending(one, LEASE, REQUEST)
        ledger.releasing.settle(one, State.SENT, 200)
    known = {"conversation_id": closing(1).conversation_id, "closed_at": NOON, "requested_via": "API"}
    sent = {"delivery_status": "Sent", "request_created_at": NOON + HOUR, "request_sent_at": NOON + HOUR}
    said = {"rating": 2, "nps": 3, "resolved": False, "comment": "customer1@example.com", "answers": ANSWERS}
    at = {"response_received_at": NOON + 3 * HOUR, "team_leader": "Ines", "channel": "email", "brand": "Larkspur"}
    ledger.feedback.record_responses([SurveyResponse(uuid="u1", sequence_id=1, **known, **sent, **said, **at)])


def rows(engine: Engine, view: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {view} ORDER BY 1, 2")).mappings()]


@pytest.mark.usefixtures("answered")
def test_one_row_for_each_interaction_with_its_answer(engine: Engine) -> None:
    first, second, third = rows(engine, "analytics_interaction")
    assert (first["stars"], first["nps"], bool(first["resolved"]), first["hours_to_answer"]) == (2, 3, False, 2)
    assert (first["state"], first["survey"], first["seconds_late"]) == ("sent", "survey", second["seconds_late"])
    assert (first["agent_name"], first["team_leader"], first["brand"]) == ("Agent", "Ines", "Larkspur")
    assert (str(first["closed_day"]), str(first["answered_day"])) == ("2026-03-02", "2026-03-02")
    assert (second["answered_at"], third["state"], third["sent_at"]) == (None, "planned", None)


@pytest.mark.usefixtures("answered")
def test_one_row_for_each_chosen_option_and_each_comment(engine: Engine) -> None:
    found = {(row["question_type"], row["option_text"]): row for row in rows(engine, "analytics_answer")}
    assert sorted(map(str, found)) == sorted(
        str(key)
        for key in (
            ("agent_star_rating", "2 stars"),
            ("areas_of_improvement", "Speed"),
            ("areas_of_improvement", "Clarity ?\N{REPLACEMENT CHARACTER}"),
            ("own", None),
        )
    )
    assert found["agent_star_rating", "2 stars"]["value"] == 2
    assert [bool(row["commented"]) for row in found.values()].count(True) == 2


@pytest.mark.usefixtures("answered")
def test_one_row_for_each_agent_and_day(engine: Engine) -> None:
    (day,) = rows(engine, "analytics_agent_day")
    assert (day["closed"], day["planned"], day["sent"], day["delivered"], day["answered"]) == (3, 1, 2, 1, 1)
    assert (day["average_stars"], day["detractors"], day["resolved"], day["resolution_answers"]) == (2, 1, 0, 1)
    assert day["average_hours_to_answer"] == 2


@pytest.mark.usefixtures("answered")
def test_no_view_names_a_customer(engine: Engine) -> None:
    with engine.connect() as connection:
        row = connection.execute(select(interaction)).mappings().first()
    assert row is not None
    secret = [row["customer_id"], row["customer_name"], row["customer_email"], row["agent_email"], *row["tags"]]
    shown = "".join(str(line) for view in DAYS for line in rows(engine, view))
    assert [word for word in (*secret, "customer1@", "I am Customer") if str(word) in shown] == []


@pytest.mark.usefixtures("answered")
def test_erasing_leaves_the_numbers_of_an_answer_and_none_of_its_words(engine: Engine, ledger: Ledger) -> None:
    ledger.admin.erase_customer("customer-1", by_run("run"), "ticket", dry_run=False)
    assert rows(engine, "analytics_answer") == []
    assert rows(engine, "analytics_interaction")[0]["stars"] == 2


@pytest.mark.usefixtures("answered")
def test_a_span_is_exported_as_csv_with_the_same_texts_from_both_databases(url: str, tmp_path: Path) -> None:
    file = tmp_path / "interactions.csv"
    command = ["export", url, "analytics_interaction", str(file), "--from", "2026-03-02", "--to", "2026-03-02"]
    assert main(command) == 0
    with file.open(newline="") as read:
        first, *others = csv.DictReader(read)
    assert len(others) == 2
    assert (first["closed_at"], first["closed_day"]) == ("2026-03-02T12:00:00.000Z", "2026-03-02")
    assert (first["resolved"], first["stars"], first["hours_to_answer"], first["reason"]) == (
        "false",
        "2",
        "2.0",
        "",
    )


@pytest.mark.usefixtures("answered")
def test_days_outside_the_span_are_left_out(engine: Engine, tmp_path: Path) -> None:
    day = NOON.date()
    for name, number in DAYS.items():
        assert exporting.export(engine, name, tmp_path / f"{name}.csv", day, day) > 0
        later = day + timedelta(days=1)
        assert exporting.export(engine, name, tmp_path / f"{name}-later.csv", later, later) == 0, number


def test_what_cannot_be_written_is_refused_before_anything_is_read(
    url: str, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    for name, words in (("a.xlsx", "must end with .csv or .parquet"), ("there.csv", "exists")):
        command = ["export", url, "analytics_answer", str(tmp_path / name)]
        assert main([*command, "--from", "2026-03-02", "--to", "2026-03-02"]) == 1
        assert words in capsys.readouterr().err
    assert (tmp_path / "there.csv").read_text() == "mine"


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("view", DAYS)
def test_parquet_holds_the_rows_of_the_view(url: str, engine: Engine, tmp_path: Path, view: str) -> None:
    file = tmp_path / f"{view}.parquet"
    assert main(["export", url, view, str(file), "--from", "2026-03-02", "--to", "2026-03-02"]) == 0
    assert import_module("pyarrow.parquet").read_table(file).num_rows == len(rows(engine, view)) > 0


@pytest.mark.usefixtures("answered")
def test_without_pyarrow_parquet_is_refused_with_the_reason(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    file = tmp_path / "answers.parquet"
    command = ["export", url, "analytics_answer", str(file), "--from", "2026-03-02", "--to", "2026-03-02"]
    assert (main(command), file.exists()) == (1, False)
    assert "Parquet needs the package pyarrow" in capsys.readouterr().err
