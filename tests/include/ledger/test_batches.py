"""A statement takes so many parameters and no more; a ledger may hold, and a restore may doubt, far more rows."""

from datetime import timedelta

from include.ledger import Ledger
from include.ledger.settling import UnknownOutcome
from tests.support.ledger import LEASE, NOON, Clock, closing

MORE_THAN_A_STATEMENT_TAKES = 70_000


def test_any_number_of_absent_interactions_is_planned_again_at_once(ledger: Ledger, clock: Clock) -> None:
    ledger.record([closing(1)], "run")
    clock.forward(hours=2)
    (claimed,) = ledger.claim(NOON, clock.time, 1, LEASE, "run")
    ledger.start_sending(claimed, LEASE)
    ledger.unknown(claimed, 500, "broken")
    (unknown,) = ledger.unknown_outcomes()
    gone = UnknownOutcome(0, "gone", clock.time, clock.time - timedelta(hours=1), None)

    assert ledger.resend_absent([gone] * MORE_THAN_A_STATEMENT_TAKES + [unknown], "feedback") == 1
