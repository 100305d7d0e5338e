"""A ledger moves from SQLite to PostgreSQL: all of it, or nothing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, LedgerRefusedError, connect
from include.ledger.maintenance.command_line import main
from include.ledger.schema import metadata
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

pytestmark = pytest.mark.postgres

LATER = NOON + timedelta(hours=2)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Engine]:
    """A ledger in SQLite with something in every table, and every state that lasts."""
    engine = connect(f"sqlite:///{tmp_path}/ledger.db")
    clock = Clock()
    ledger = Ledger(engine, clock)
    ledger.enter("interaction_ledger")
    ledger.extraction.record_closings([closing(number) for number in range(1, 8)], by_run("run"))
    ledger.extraction.record_closings([closing(8, skip=Reason.MERGED)], by_run("run"))
    ledger.extraction.advance_watermark(NOON, LATER)
    ledger.feedback.note_reread(NOON, LATER)
    ledger.set_fact("organisation", "acme")
    clock.forward(hours=2)
    sent, refused, lost, vetoed, *held = ledger.releasing.claim(NOON, LATER, 6, LEASE, by_run("release"))
    for one in (sent, refused, lost):
        ledger.releasing.start_sending(one, LEASE, REQUEST)
    ledger.releasing.settle(sent, State.SENT, 200)
    ledger.releasing.settle(refused, State.REJECTED, 422, "Ein Tippfehler: ä, \\N, \t und 'so weiter'")
    ledger.releasing.settle(lost, State.UNKNOWN, None, None)
    ledger.releasing.veto(vetoed, State.CANCELLED, Reason.REOPENED)
    assert held  # their lease has long been over by the real clock
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO survey_response (uuid, sequence_id, interaction_id, rating, comment, read_at) "
                "VALUES ('u1', 7, :row, 5, 'Merci 🙂', 1)"
            ),
            {"row": sent.id},
        )
    yield engine
    engine.dispose()


def everything(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return {
            table.name: connection.execute(table.select().order_by(*table.primary_key)).all()
            for table in metadata.sorted_tables
            if table.name != "ledger_use"
        }


def test_every_row_arrives_as_it_was_and_life_goes_on(
    old: Engine, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(old)
    assert len({row.state for row in before["interaction"]}) == 7

    assert main(["copy", str(old.url), postgres_url]) == 0

    new = connect(postgres_url)
    assert everything(new) == before
    ledger = Ledger(new)
    ledger.enter("interaction_ledger")
    assert ledger.extraction.record_closings([closing(1), closing(9)], by_run("run")).planned == 1, (
        "the next ids are free ones"
    )
    assert (
        ledger.releasing.recover(by_run("run")).planned,
        str(ledger.history(closing(9).conversation_id)[0].by),
    ) == (
        2,
        "run",
    )
    with pytest.raises(Exception, match="begins planned or skipped"), new.begin() as connection:
        connection.execute(text("INSERT INTO interaction SELECT * FROM interaction WHERE state = 'sent'"))
    assert "9 interaction" not in capsys.readouterr().out


def test_the_old_ledger_lets_nobody_send_from_it_any_more(old: Engine, postgres_url: str) -> None:
    assert main(["copy", str(old.url), postgres_url]) == 0

    with pytest.raises(LedgerRefusedError, match="moved to PostgreSQL"):
        Ledger(old).enter("interaction_ledger")


def test_a_ledger_that_is_not_empty_is_not_written_to(
    old: Engine, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Ledger(connect(postgres_url))
    there.migrate()
    there.extraction.record_closings([closing(99)], by_run("run"))

    assert main(["copy", str(old.url), postgres_url]) == 1

    assert "not empty" in capsys.readouterr().err
    assert sum(there.counts().values()) == 1
    Ledger(old).enter("interaction_ledger")  # and the old one is still in use


def test_a_ledger_that_is_sending_is_not_moved(
    old: Engine, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(old)
    ledger.releasing.recover(by_run("run"))
    ledger.releasing.claim(NOON, LATER, 1, LEASE, by_run("release"))

    assert main(["copy", str(old.url), postgres_url]) == 1

    assert "1 interactions are being sent" in capsys.readouterr().err


def test_what_goes_wrong_half_way_leaves_nothing_behind(old: Engine, postgres_url: str) -> None:
    Ledger(connect(postgres_url)).migrate()
    with connect(postgres_url).begin() as connection:  # the last table to be filled
        connection.execute(text("ALTER TABLE interaction_event ADD CHECK (id < 5)"))

    assert main(["copy", str(old.url), postgres_url]) == 1

    assert not any(everything(connect(postgres_url)).values())
    Ledger(old).enter("interaction_ledger")
