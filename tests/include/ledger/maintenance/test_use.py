"""A ledger serves one organisation, known by the connection it is reached through."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from include.ledger import Ledger, LedgerRefusedError, connect


def test_who_uses_a_ledger_first_may_use_it_again(empty_url: str) -> None:
    for _ in range(2):
        Ledger(connect(empty_url)).enter("interaction_ledger")


def test_a_second_organisation_is_refused_with_both_names(ledger: Ledger) -> None:
    ledger.enter("interaction_ledger_acme")

    with pytest.raises(
        LedgerRefusedError, match=r"'interaction_ledger_zeta' leads to .* 'interaction_ledger_acme'"
    ):
        ledger.enter("interaction_ledger_zeta")
    ledger.enter("interaction_ledger_acme")


def test_of_two_that_come_together_one_gets_the_ledger(engine: Engine) -> None:
    def enter(number: int) -> bool:
        try:
            Ledger(engine).enter(f"interaction_ledger_{number}")
        except LedgerRefusedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(enter, range(4))) == [False, False, False, True]
