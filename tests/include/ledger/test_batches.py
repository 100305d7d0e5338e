"""A statement takes so many parameters and no more; a ledger may hold, and a restore may doubt, far more rows."""

from collections import Counter
from datetime import timedelta

from sqlalchemy import Engine, select

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger
from include.ledger.feedback import UnknownOutcome
from include.ledger.schema import interaction
from include.ledger.transition import note
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

MORE_THAN_A_STATEMENT_TAKES = 70_000


def test_any_number_of_erased_interactions_is_noted(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))

    with engine.begin() as connection:
        (known,) = connection.execute(select(interaction.c.id)).scalars()
        ids = [known] * MORE_THAN_A_STATEMENT_TAKES
        note(connection, clock.time, ids, State.CANCELLED, Reason.ERASED, "asked for", by_run("admin"))

    notes = Counter(one.reason for one in ledger.history(closing(1).conversation_id))
    assert notes == {None: 1, Reason.ERASED: MORE_THAN_A_STATEMENT_TAKES}


def test_any_number_of_absent_interactions_is_planned_again_at_once(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    clock.forward(hours=2)
    (claimed,) = ledger.releasing.claim(NOON, clock.time, 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, State.UNKNOWN, 500, "broken")
    (unknown,) = ledger.feedback.list_unknown_outcomes()
    gone = UnknownOutcome(0, "gone", clock.time, clock.time - timedelta(hours=1), None, "gone", NOON)

    assert ledger.feedback.resend_absent([gone] * MORE_THAN_A_STATEMENT_TAKES + [unknown], by_run("feedback")) == 1
