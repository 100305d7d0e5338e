"""Take a code and a short text without personal data from a vendor's error body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_MAX_TEXT_CHARACTERS = 160
MAX_SEARCHED_CHARACTERS = 1000
"""Vendor text beyond this is cut before any regular expression reads it, so that its cost stays bounded."""
_CODE = re.compile(r"[\w.\-]{1,60}")
# The lookbehind lets a match start only where a run of characters starts, so that each run is read once.
_EMAIL = re.compile(r"(?<![^\s@<>\"'(),;:])[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")
# Vendors quote the wrong value. An apostrophe inside a word is not a quotation mark.
_QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]*\"|'[^']*'|“[^”]*”|‘[^’]*’|`[^`]*`)(?!\w)")
# The same, also for a quotation whose end was cut off.
_QUOTED_OR_OPEN = re.compile(
    r"(?<!\w)(?:\"[^\"]*(?:\"|$)|'[^']*(?:'|$)|“[^”]*(?:”|$)|‘[^’]*(?:’|$)|`[^`]*(?:`|$))(?!\w)"
)


def complaint(body: bytes, private: Iterable[str] = ()) -> tuple[str | None, str | None]:
    """Return code and text of an error body, each None if the body has none.

    Kustomer documents two shapes (fact sheet, section 6). Stella Connect documents none (section 2.3), so the usual
    ones are tried. A body that is not JSON, such as a proxy's HTML page, gives neither.

    Args:
        body: the answer's body.
        private: values to remove from the text, such as the customer's name in the request.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not text, or nested too deeply
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
    """Return one short line of `text` without e-mail addresses, quoted values and the `private` values.

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
    return text if len(text) <= _MAX_TEXT_CHARACTERS else text[: _MAX_TEXT_CHARACTERS - 1] + "…"


def _cut(text: str) -> tuple[str, re.Pattern[str]]:
    """Return the text on one line, cut to `MAX_SEARCHED_CHARACTERS`, and the pattern for its quotations.

    The cut drops the word that it would divide, because half an address or half a name would not be recognised.
    """
    line = " ".join(text[: MAX_SEARCHED_CHARACTERS + 1].split())
    if len(text) <= MAX_SEARCHED_CHARACTERS:
        return line, _QUOTED
    return f"{line.rpartition(' ')[0]} …".strip(), _QUOTED_OR_OPEN
