"""A ledger is lost, and an older copy takes its place: nobody gets a second survey, and nothing is forgotten."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.ledger import Ledger, connect
from include.ledger.maintenance.command_line import main
from plugins.pipeline.feedback import GRACE, Feedback
from plugins.stella_connect.hook import StellaConnectHook
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def feedback(pipeline):
    """A function that reads Data Return as if it were so much later."""

    def read(later):
        now = datetime.now(UTC) + later
        with StellaConnectHook() as hook:
            return Feedback(
                Ledger(connect(pipeline.ledger_url), lambda: now), hook, "resend", by=by_run("feedback")
            ).read(now)

    return read


@pytest.mark.parametrize(
    ("found_out", "properties"),
    [(timedelta(), True), (timedelta(days=5), False)],
    ids=["at once", "days later, and Data Return gives no custom properties"],
)
def test_an_older_ledger_sends_nothing_twice_and_forgets_nothing(
    pipeline, sandbox, hour, close, feedback, tmp_path, found_out, properties
):
    file, backup = Path(pipeline.ledger_url.removeprefix("sqlite:///")), tmp_path / "backup.db"
    in_backup, never_sent = close(), close(20)
    pipeline.extract(run_of(hour))
    assert main(["backup", pipeline.ledger_url, str(backup)]) == 0
    close(status="open", id=never_sent)
    after_backup = close(30)
    pipeline.run(run_of(hour))
    sent = sorted([in_backup, after_backup])
    assert sorted(pipeline.sent()) == sent
    if not properties:
        for one in sandbox.state.received:
            one.request.pop("custom_properties")

    pipeline.engine.dispose()
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    shutil.copy(backup, file)
    restored_at = datetime.now(UTC) + found_out
    Ledger(connect(pipeline.ledger_url), lambda: restored_at).admin.mark_restored(
        restored_at, by=by_run("a person")
    )
    closed_again = close(20, status="done", id=never_sent)

    # The restored ledger knows one of them as planned and the other not at all; both are due.
    pipeline.run(run_of(hour))
    pipeline.run(run_of(hour, origin="backfill"))
    assert sorted(pipeline.sent()) == sent
    assert set(pipeline.states().values()) == {"unknown"}

    feedback(found_out)
    feedback(found_out + GRACE / 2)
    pipeline.release_due(run_of(hour))
    assert sorted(pipeline.sent()) == sent, "what is not shown yet may still come to be"

    feedback(found_out + GRACE + timedelta(minutes=1))
    pipeline.release_due(run_of(hour))
    assert sorted(pipeline.sent()) == sorted([*sent, closed_again]), "only what was never sent is sent now"
    assert set(pipeline.states().values()) == {"sent"}
