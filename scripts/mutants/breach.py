"""What a breach is."""

from dataclasses import dataclass

SQLITE_ONLY = ("-m", "not postgres and not soak")
"""Enough for most breaches: they are not about the database."""


@dataclass(frozen=True)
class Breach:
    """A way to break the promise.

    `changes`: (file, text, the text in its place), all of them together; `test`: what is to turn red, with
    `options` for pytest.
    """

    name: str
    test: str
    changes: tuple[tuple[str, str, str], ...]
    options: tuple[str, ...] = SQLITE_ONLY
