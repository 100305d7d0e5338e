"""Normal form of foreign text: NFC, without invisible characters."""

import re
import unicodedata

_MASK = re.compile("[*•●…]")
"""Kustomer can return a sensitive value masked when the key lacks "Read Sensitive" (fact sheet, section 1)."""
_BLANK_LETTERS = frozenset("\N{COMBINING GRAPHEME JOINER}\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that show nothing: fillers, the empty Braille cell."""
_VARIATION_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_JOINERS = _VARIATION_SELECTORS | frozenset("\u200c\u200d")
"""Invisible, but part of the spelling between visible characters: of names in several scripts, and of emoji."""
_NOT_SHOWN = frozenset(["Cc", "Cf", "Cs", "Zs", "Zl", "Zp"])


def is_masked(text: str) -> bool:
    """Tell whether Kustomer hides a value that exists."""
    return _MASK.search(text) is not None


def is_invisible(character: str) -> bool:
    """Tell whether a character alone is invisible: a space, a control or format character, a blank letter."""
    return (
        character in _BLANK_LETTERS
        or character in _VARIATION_SELECTORS
        or unicodedata.category(character) in _NOT_SHOWN
    )


def trimmed(text: str) -> str:
    r"""Return the text in NFC without invisible characters at its ends; "" if nothing is visible.

    >>> trimmed("\u200b email\ufeff "), trimmed("\u3164")
    ('email', '')
    """
    if text.isascii() and text.isprintable():
        return text.strip(" ")
    text = unicodedata.normalize("NFC", text)
    begin, end = 0, len(text)
    while begin < end and is_invisible(text[begin]):
        begin += 1
    while end > begin and is_invisible(text[end - 1]):
        end -= 1
    return text[begin:end]


def one_line(text: str, max_characters: int) -> str:
    r"""Return the text on one line, cut, without invisible characters; "" if nothing is left.

    >>> one_line(" Jane\u202e \n Doe", 200), one_line("\u200b\u3164", 200)
    ('Jane Doe', '')
    """
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", "".join(map(_shown, unicodedata.normalize("NFC", text))))
    return trimmed(" ".join(text.split())[:max_characters])


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    return "" if is_invisible(character) and character not in _JOINERS else character
