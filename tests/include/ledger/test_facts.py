"""What the ledger remembers by name."""

from multiprocessing import get_context

from include.ledger import Fact, Ledger, connect
from tests.support.ledger import NOON, Clock, start_together, together


def test_a_fact_is_read_back_as_it_was_set(ledger: Ledger) -> None:
    assert ledger.get_fact("organisation") is None

    ledger.set_fact("organisation", "acme \0 äß")

    assert ledger.get_fact("organisation") == Fact("acme \N{REPLACEMENT CHARACTER} äß", NOON)


def test_a_fact_set_again_keeps_the_time_of_its_last_change(ledger: Ledger, clock: Clock) -> None:
    ledger.set_fact("alarm", "stands")
    clock.forward(hours=1)
    ledger.set_fact("alarm", "stands")
    assert ledger.get_fact("alarm") == Fact("stands", NOON)

    ledger.set_fact("alarm", "over")
    assert ledger.get_fact("alarm") == Fact("over", clock.time)


def test_a_fact_is_replaced_only_by_who_knows_what_stands_there(ledger: Ledger) -> None:
    assert not ledger.replace_fact("day", "monday", "tuesday")
    assert ledger.replace_fact("day", None, "monday")
    assert not ledger.replace_fact("day", None, "sunday")
    assert ledger.replace_fact("day", "monday", "tuesday")
    assert ledger.get_fact("day") == Fact("tuesday", NOON)


def take(url: str, name: str) -> bool:
    return Ledger(connect(url)).replace_fact("taken", None, name)


def test_of_several_processes_one_sets_a_fact_first(url: str, ledger: Ledger) -> None:
    spawning = get_context("spawn")
    barrier = spawning.Barrier(3)
    with spawning.Pool(3, start_together, [barrier]) as processes:
        took = processes.starmap(together, [(take, url, str(number)) for number in range(3)], chunksize=1)
    assert sorted(took) == [False, False, True]
