"""One page of a long list, with a count that stops before it costs too much."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Key = TypeVar("Key")

COUNTED = 2_000
"""Rows that are counted and paged. To see more, narrow the filter or export."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows from number `size` × (`number` - 1) on."""

    rows: tuple[T, ...]
    number: int
    """From 1; a number past the last page gives no rows."""
    size: int
    total: int
    """Rows on all pages together, at most `COUNTED`."""
    more: bool
    """Whether there are more than `total` rows (show "more than 2,000"). No page shows the others."""

    @property
    def pages(self) -> int:
        """Return the number of pages; 1 if there are no rows."""
        return max(1, -(-self.total // self.size))


MAX_ROWS = 500
"""Rows on one page."""


def cut(keys: Sequence[Key], number: int, size: int) -> Sequence[Key]:
    """Return the keys of one page, among the first `COUNTED`.

    Raises:
        ValueError: no page has this number or size.
    """
    if number < 1 or not 1 <= size <= MAX_ROWS:
        raise ValueError(f"pages count from 1 and hold 1 to {MAX_ROWS} rows: not page {number} of {size}")
    return keys[:COUNTED][(number - 1) * size : number * size]


def paged(rows: Sequence[T], keys: Sequence[object], number: int, size: int) -> Page[T]:
    """Return the page of these rows; `keys` are those of all pages, one more than `COUNTED` if there are more."""
    return Page(tuple(rows), number, size, min(len(keys), COUNTED), len(keys) > COUNTED)
