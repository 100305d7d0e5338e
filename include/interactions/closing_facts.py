"""The facts of one closing that rules and mapping ask about.

A fact is an id wherever Kustomer gives an id (brand, queue, team, sub-status, tag); `names.py` knows their names.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator

from include.interactions.text import trimmed

NAMED_SOURCES = ("channel", "brand", "queue", "team", "sub_status", "priority", "language", "tag", "customer.tag")
CUSTOM, CUSTOMER_CUSTOM = "custom.", "customer.custom."
"""Prefixes of a custom attribute of the conversation and of the customer."""
MAX_TEXT = 2000
"""Characters that Stella Connect takes of a custom property; of an attribute one more is looked at, no further."""


def is_custom(source: str) -> bool:
    """Tell whether the source is a custom attribute, and names one."""
    return any(source.startswith(prefix) and len(source) > len(prefix) for prefix in (CUSTOM, CUSTOMER_CUSTOM))


def check_source(source: str) -> str:
    """Return the source; raise ValueError with the list of sources if it is none."""
    if source not in NAMED_SOURCES and not is_custom(source):
        known = ", ".join(NAMED_SOURCES)
        raise ValueError(f"{source!r} is no source; the sources are {known}, custom.<name>, customer.custom.<name>")
    return source


Source = Annotated[str, AfterValidator(check_source)]
"""Where a value comes from: one of `NAMED_SOURCES`, `custom.<name>` or `customer.custom.<name>`."""


_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


@dataclass(frozen=True, slots=True)
class ClosingFacts:
    """What is known of one closing. A value that is missing or unreadable at Kustomer is absent here."""

    conversation_id: str
    closed_at: datetime
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """By source, in Kustomer's order; ids for what has an id."""
    customer_domain: str | None = None
    """The part after the @ of the address to which the survey would go."""
    agent: tuple[str, ...] = field(default=(), repr=False)
    """Id, address and name of the agent."""
    closed_by: Literal["person", "automation"] | None = None
    direction: Literal["in", "out"] | None = None
    messages: int | None = None

    def of(self, source: str) -> tuple[str, ...]:
        """Return the values of a source; empty if there is none."""
        return self.values.get(source, ())

    def to_text(self) -> str:
        """JSON for the ledger, without what its other columns hold: the closing and the agent."""
        kept = {
            "values": self.values,
            "domain": self.customer_domain,
            "closed_by": self.closed_by,
            "direction": self.direction,
            "messages": self.messages,
        }
        return _ENCODER.encode({key: value for key, value in kept.items() if value or value == 0})


def facts_from_text(
    text: str, *, conversation_id: str, closed_at: datetime, agent: tuple[str, ...]
) -> ClosingFacts:
    """Return the facts that the ledger kept, with what its other columns hold."""
    kept = json.loads(text)
    return ClosingFacts(
        conversation_id,
        closed_at,
        {source: tuple(values) for source, values in kept.get("values", {}).items()},
        customer_domain=kept.get("domain"),
        agent=agent,
        closed_by=kept.get("closed_by"),
        direction=kept.get("direction"),
        messages=kept.get("messages"),
    )


def domain_of(address: str | None) -> str | None:
    """Return the part after the @."""
    return address.rpartition("@")[2] if address else None


@lru_cache(maxsize=65536)  # the same few tags and queues, many times
def comparable(text: str) -> str:
    """Return the form in which names, ids and values are compared: trimmed, NFC and case-folded."""
    return trimmed(text).casefold()


def texts_of(value: object) -> tuple[str, ...]:
    """Return the texts of a JSON value: none for null, objects and empty text, several for a list.

    >>> texts_of(True), texts_of(3), texts_of(["a", None, 1.0]), texts_of({"a": 1})
    (('true',), ('3',), ('a', '1'), ())
    """
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, float) and value.is_integer():
        return (str(int(value)),)
    if isinstance(value, int | float):
        return (str(value),)
    if isinstance(value, str):
        text = value[: MAX_TEXT + 1].strip()
        return (text,) if text else ()
    if isinstance(value, Sequence):
        return tuple(text for item in value if not isinstance(item, list) for text in texts_of(item))
    return ()


def languages_of(candidates: Iterable[object]) -> tuple[str, ...]:
    """Return the first candidate that reads as a language: as Kustomer writes it, and as Stella Connect wants it.

    >>> languages_of([None, "zh_Hans_CN", "en"]), languages_of(["fr"]), languages_of(["US"])
    (('zh-Hans-CN', 'zh-CN'), ('fr',), ())
    """
    for text in candidates:
        if isinstance(text, str) and (language := stella_language(text)):
            return tuple(dict.fromkeys((text.strip().replace("_", "-"), language)))
    return ()


@lru_cache(maxsize=1024)
def stella_language(text: str) -> str | None:
    """Return a language as Stella Connect writes it: ISO 639-1, and the country after a hyphen; None if it is none.

    Two capital letters alone are a country: "CA" would read as Catalan.

    >>> stella_language("fr_ca"), stella_language("es_419"), stella_language("CA"), stella_language("English")
    ('fr-CA', 'es', None, None)
    """
    from babel.core import parse_locale  # takes 40 ms, which only an organisation with languages shall pay

    text = text.strip()
    if len(text) == 2 and text.isupper():
        return None
    try:
        language, territory, *_ = parse_locale(text.replace("-", "_"))
    except ValueError:
        return None
    if len(language) != 2 or not language.isascii():
        return None
    return f"{language}-{territory}" if territory and territory.isalpha() else language
