"""Fetch the next item while the caller works on the one before."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def read_ahead(items: Iterator[T]) -> Generator[T]:
    """Yield the same items; a thread fetches the next one while the caller works on the one before.

    An exception of the fetch is raised in place of the item. A caller that stops early closes the generator and
    waits for the item being fetched, so no call is left running.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as fetcher:
        coming = fetcher.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = fetcher.submit(next, items, _END)
            yield item
