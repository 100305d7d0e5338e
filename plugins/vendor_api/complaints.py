"""What may be repeated of a vendor's error body: a code and a short text without personal data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_LONGEST_TEXT = 160
MAX_SEARCHED_CHARACTERS = 1000
"""Vendor text beyond this is dropped before any regular expression sees it: their cost must not grow with it."""
_CODE = re.compile(r"[\w.\-]{1,60}")
# The lookbehind starts a match only where a run of characters starts, so that each run is read once.
_EMAIL = re.compile(r"(?<![^\s@<>\"'(),;:])[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")
# Vendors quote the offending value; inside words an apostrophe is no quotation mark.
_QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]*\"|'[^']*'|“[^”]*”|‘[^’]*’|`[^`]*`)(?!\w)")
# The same, and a quotation that a cut has left open.
_QUOTED_OR_OPEN = re.compile(
    r"(?<!\w)(?:\"[^\"]*(?:\"|$)|'[^']*(?:'|$)|“[^”]*(?:”|$)|‘[^’]*(?:’|$)|`[^`]*(?:`|$))(?!\w)"
)


def complaint(body: bytes, private: Iterable[str] = ()) -> tuple[str | None, str | None]:
    """Code and text of an error body, each None if it has none.

    Kustomer documents two shapes (fact sheet, section 6); Stella Connect documents none (section 2.3), so
    the usual ones are tried. Anything that is not JSON (a proxy's HTML page) yields nothing.

    Args:
        body: the answer's body.
        private: values that must not come back in the text, such as the customer's name just sent.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not text, or nested without end
        return None, None
    fault: Any = parsed
    if isinstance(parsed, dict):
        fault = parsed.get("errors") or parsed.get("error") or parsed
    if isinstance(fault, list):
        fault = fault[0] if fault else None
    if isinstance(fault, str):
        return None, without_personal_data(fault, private) or None
    if not isinstance(fault, dict):
        return None, None
    code = fault.get("code")
    text = next((t for t in map(fault.get, ("title", "message", "detail", "error")) if isinstance(t, str)), "")
    return (
        str(code) if isinstance(code, str | int) and _CODE.fullmatch(str(code)) else None,
        without_personal_data(text, private) or None,
    )


def without_personal_data(text: str, private: Iterable[str] = ()) -> str:
    """One short line of `text` without e-mail addresses, quoted values and the `private` values.

    >>> without_personal_data('Employee jo@example.com not found for "Ann Lee"')
    'Employee […] not found for […]'
    >>> without_personal_data("Ann isn't known", ["Ann Lee"])
    "[…] isn't known"
    """
    text, quoted = _cut(text)
    words = {word for value in private for word in (value, *value.split()) if len(word) > 2}
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "[…]", text, flags=re.IGNORECASE)
    text = quoted.sub("[…]", _EMAIL.sub("[…]", text))
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def _cut(text: str) -> tuple[str, re.Pattern[str]]:
    """The text on one line, cut to `MAX_SEARCHED_CHARACTERS`, and what finds the quotations in it.

    The cut drops the word that it would divide: half an address or half a name would not be recognised.
    """
    line = " ".join(text[: MAX_SEARCHED_CHARACTERS + 1].split())
    if len(text) <= MAX_SEARCHED_CHARACTERS:
        return line, _QUOTED
    return f"{line.rpartition(' ')[0]} …".strip(), _QUOTED_OR_OPEN
