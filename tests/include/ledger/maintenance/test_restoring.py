"""A ledger restored from an older copy repeats nothing that the lost one may have sent."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, LedgerRefusedError, connect
from include.ledger.maintenance.command_line import main
from scripts.stack.postgres import PostgresServer, program
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)


def states(ledger: Ledger) -> dict[State, int]:
    return {state: number for (state, _), number in ledger.counts().items()}


def test_what_was_due_is_unknown_and_what_was_not_waits(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings(
        [closing(1), closing(2), closing(3, delay=5 * HOUR), closing(4, skip=Reason.MERGED)], by_run("run")
    )
    clock.forward(hours=2)
    claimed, sending = ledger.releasing.claim(NOON, clock.time, 2, LEASE, by_run("the lost one"))
    ledger.releasing.start_sending(sending, LEASE, REQUEST)

    assert ledger.admin.mark_restored(NOON + 2 * HOUR, by_run("a person")) == 2

    assert states(ledger) == {State.UNKNOWN: 2, State.PLANNED: 1, State.SKIPPED: 1}
    assert ledger.releasing.claim(NOON, clock.time, 9, LEASE, by_run("run")) == []
    story = [(one.from_state, one.to_state) for one in ledger.history(claimed.interaction.conversation_id)]
    assert story[1:] == [("planned", "claimed"), ("claimed", "sending"), ("sending", "unknown")]
    assert ledger.releasing.settle(sending, State.SENT, 200), "the true outcome is still welcome"


def test_a_closing_that_the_copy_does_not_hold_is_not_planned_either(ledger: Ledger, clock: Clock) -> None:
    clock.forward(hours=2)
    ledger.admin.mark_restored(clock.time, by_run("a person"))

    ledger.extraction.record_closings(
        [closing(1), closing(2, delay=5 * HOUR), closing(3, skip=Reason.MERGED)], by_run("backfill")
    )

    assert states(ledger) == {State.UNKNOWN: 1, State.PLANNED: 1, State.SKIPPED: 1}


def test_nor_is_what_a_person_sends_again_after_an_approval(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1, skip=Reason.AGENT_PROFILE_NOT_APPROVED)], by_run("run"))
    clock.forward(hours=2)
    ledger.admin.mark_restored(clock.time, by_run("a person"))

    counts = ledger.admin.send_again("agent@example.com", 9 * HOUR, by_run("a person"), "approved", dry_run=False)

    assert counts == {"planned": 0, "unknown": 1, "left": 0}
    assert states(ledger) == {State.UNKNOWN: 1}


def test_what_was_found_absent_is_sent_and_not_doubted_again(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    clock.forward(hours=2)
    ledger.admin.mark_restored(clock.time, by_run("a person"))
    (doubtful,) = ledger.feedback.list_unknown_outcomes()
    assert (doubtful.earliest_at, doubtful.attempted_at) == (NOON, clock.time), "since when to look, and until when"

    assert ledger.feedback.resend_absent([doubtful], by_run("feedback")) == 1
    ledger.extraction.record_closings([closing(2, closed_at=NOON + HOUR, delay=9 * HOUR)], by_run("run"))

    assert [one.attempts for one in ledger.releasing.claim(NOON, clock.time, 9, LEASE, by_run("run"))] == [1]


@pytest.mark.postgres
def test_a_dump_of_postgresql_comes_back_whole(
    postgres_server: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, url = postgres_server.create_database(), postgres_server.create_database()
    ledger = Ledger(connect(lost))
    ledger.enter("interaction_ledger")
    ledger.extraction.record_closings([closing(1), closing(2)], by_run("run"))
    dump, address = tmp_path / "ledger.dump", {name: libpq(name) for name in (lost, url)}
    subprocess.run([program("pg_dump"), "--format=custom", f"--file={dump}", address[lost]], check=True)
    Ledger(connect(lost), lambda: NOON + 2 * HOUR).releasing.claim(
        NOON, NOON + HOUR, 9, LEASE, by_run("after the backup")
    )

    for place, options in ((url, ["--no-owner", "--exit-on-error"]), (lost, ["--clean"])):
        subprocess.run([program("pg_restore"), *options, f"--dbname={address[place]}", dump], check=True)
        with pytest.raises(LedgerRefusedError, match=r"ledger restored"):
            Ledger(connect(place)).enter("interaction_ledger")
    assert main(["restored", url]) == 0

    assert "2 interactions due by" in capsys.readouterr().out
    restored = Ledger(connect(url))
    restored.enter("interaction_ledger")
    assert states(restored) == {State.UNKNOWN: 2}
    assert (
        restored.extraction.record_closings([closing(3, closed_at=NOON + 1000 * 24 * HOUR)], by_run("run")).planned
        == 1
    )


def test_a_backup_of_a_file_is_whole_while_others_write(
    tmp_path: Path, ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    ledger = Ledger(connect(ledger_url))
    ledger.enter("interaction_ledger")
    ledger.extraction.record_closings([closing(1)], by_run("run"))

    assert main(["backup", ledger_url, str(backup)]) == 0
    ledger.extraction.record_closings([closing(2)], by_run("after the backup"))

    assert backup.stat().st_mode & 0o077 == 0, "it holds personal data"
    assert main(["backup", ledger_url, str(backup)]) == 1, "no backup is overwritten"
    for part in tmp_path.glob("ledger.db*"):
        part.unlink()
    shutil.copy(backup, file)
    with pytest.raises(LedgerRefusedError, match=r"ledger restored"):
        Ledger(connect(ledger_url)).enter("interaction_ledger")
    assert main(["restored", ledger_url, "--due-until", "2026-03-02T12:30:00Z"]) == 0
    Ledger(connect(ledger_url)).enter("interaction_ledger")
    assert states(Ledger(connect(ledger_url))) == {State.PLANNED: 1}, "due at 13:00, when nothing was sent any more"


@pytest.mark.parametrize("command", [["backup", "copy.db"], ["restored"], ["copy", "postgres://127.0.0.1:1/new"]])
def test_a_mistyped_name_makes_no_ledger(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = command

    assert main([name, f"sqlite:///{tmp_path}/mistyped.db", *rest]) == 1

    assert "no file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")
