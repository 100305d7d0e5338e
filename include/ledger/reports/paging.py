"""One page of something long, with a count that stops before it costs too much."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Key = TypeVar("Key")

COUNTED = 2_000
"""Rows that are counted and can be paged through; who wants to see more of them narrows the filter or exports."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows number `size` × (`number` - 1) and following."""

    rows: tuple[T, ...]
    number: int
    """From 1; a number past the last page gives no rows."""
    size: int
    total: int
    """Rows on all pages together, at most `COUNTED`."""
    more: bool
    """There are more than `total` rows: say "more than 2,000". No page shows the others."""

    @property
    def pages(self) -> int:
        """How many pages there are; one, if there is nothing to show."""
        return max(1, -(-self.total // self.size))


MOST = 500
"""Rows on one page."""


def cut(keys: Sequence[Key], number: int, size: int) -> Sequence[Key]:
    """The keys on one page of the first `COUNTED` of them.

    Raises:
        ValueError: there is no page of this number or size.
    """
    if number < 1 or not 1 <= size <= MOST:
        raise ValueError(f"pages count from 1 and hold 1 to {MOST} rows: not page {number} of {size}")
    return keys[:COUNTED][(number - 1) * size : number * size]


def paged(rows: Sequence[T], keys: Sequence[object], number: int, size: int) -> Page[T]:
    """The page of these rows; `keys` are those of all pages, one more than `COUNTED` if there are more."""
    return Page(tuple(rows), number, size, min(len(keys), COUNTED), len(keys) > COUNTED)
