"""One item is fetched while the one before is worked on."""

import threading
from collections.abc import Iterator

import pytest

from plugins.pipeline.read_ahead import read_ahead

SECONDS = 10


def test_all_items_come_in_their_order() -> None:
    assert list(read_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(read_ahead(iter(()))) == []


def test_the_next_item_is_fetched_while_the_caller_works_and_no_further_one() -> None:
    fetched = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(fetched):
            event.set()
            yield number

    coming = read_ahead(items())
    assert next(coming) == 0
    assert fetched[1].wait(SECONDS)
    assert not fetched[2].is_set()
    assert list(coming) == [1, 2]


def test_a_failure_comes_after_what_had_been_fetched_before_it() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ConnectionError("gone")

    coming = read_ahead(items())
    assert next(coming) == 0
    with pytest.raises(ConnectionError, match="gone"):
        next(coming)


def test_a_caller_who_stops_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    coming = read_ahead(iter(range(5)))
    next(coming)
    coming.close()
    assert threading.active_count() == before
