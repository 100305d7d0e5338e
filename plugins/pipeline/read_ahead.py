"""Reading on while what has been read is worked on."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def read_ahead(items: Iterator[T]) -> Generator[T]:
    """The same items; the next one is fetched, by a thread, while the caller works on the one before.

    Whatever fetching raises is raised where the item would have come. A caller who stops early closes the
    generator, and waits for the item that is being fetched, however long the vendor takes: no call is left behind
    that nobody looks after.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as fetcher:
        coming = fetcher.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = fetcher.submit(next, items, _END)
            yield item
