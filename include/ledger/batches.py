"""Long lists in parts: PostgreSQL takes at most 65,535 parameters in a statement."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

BATCH = 1_000
"""Also bounds memory, and, where each part is a transaction, how long other writers wait."""


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the items in their order, `BATCH` at a time."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
