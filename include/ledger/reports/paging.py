"""One page of something long, with a count that stops before it costs too much."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

COUNTED = 10_000
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
    """There are more than `total` rows: say "more than 10,000". No page shows the others."""

    @property
    def pages(self) -> int:
        """How many pages there are; one, if there is nothing to show."""
        return max(1, -(-self.total // self.size))
