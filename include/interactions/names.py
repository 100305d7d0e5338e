"""The names that people use in the settings for what Kustomer's records hold as ids."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from include.interactions.closing_facts import comparable, is_custom

Kind = Literal["brand", "queue", "team", "sub_status", "tag"]
"""What Kustomer keeps a list of, with names."""
KIND_OF: Mapping[str, Kind] = {
    "brand": "brand",
    "queue": "queue",
    "team": "team",
    "sub_status": "sub_status",
    "tag": "tag",
    "customer.tag": "tag",
}
"""The list that gives a source's names; the values of other sources are texts as they stand."""

_ID = re.compile("[0-9a-fA-F]{24}")


class Names:
    """Kustomer's names, as far as a run has read them. Settings may say the name or the id.

    Args:
        lists: by kind, the names by id. A kind that is absent was not read: only ids can be compared.
    """

    def __init__(self, lists: Mapping[Kind, Mapping[str, str]] | None = None) -> None:
        self.lists = dict(lists or {})
        self._ids: dict[Kind, dict[str, set[str]]] = {}
        for kind, names in self.lists.items():
            ids = self._ids.setdefault(kind, {})
            for identity, name in names.items():
                ids.setdefault(comparable(name), set()).add(comparable(identity))
                ids.setdefault(comparable(identity), set()).add(comparable(identity))

    def accepted(self, source: str, text: str) -> set[str]:
        """Return the comparable values that `text` stands for: all ids of that name, else the text itself."""
        key = comparable(text)
        if source == "language":
            return {key.replace("_", "-")}
        kind = KIND_OF.get(source)
        return {key} if kind is None else self._ids.get(kind, {}).get(key, {key})

    def name_of(self, source: str, value: str) -> str:
        """Return the name that people use for a value of a source; the value itself if it has none."""
        kind = KIND_OF.get(source)
        return value if kind is None else self.lists.get(kind, {}).get(value, value)

    def is_unknown(self, source: str, text: str) -> bool:
        """Tell whether Kustomer's list was read and holds neither this name nor this id."""
        kind = KIND_OF.get(source)
        return kind is not None and kind in self.lists and comparable(text) not in self._ids[kind]


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of the settings that mentions a source."""

    place: str
    """For people: "rule 'fraud', when.tag"."""
    source: str
    texts: tuple[str, ...] = ()
    """The names or ids that are compared with it."""
    shown: bool = False
    """The value itself is sent, so its name is needed."""


def kinds_needed(mentions: Iterable[Mention]) -> dict[Kind, str]:
    """Return the lists that must be read, each with the first place that needs it. Ids alone need no list."""
    needed: dict[Kind, str] = {}
    for mention in mentions:
        kind = KIND_OF.get(mention.source)
        if kind is not None and (mention.shown or not all(map(_ID.fullmatch, mention.texts))):
            needed.setdefault(kind, mention.place)
    return needed


def unknown_names(mentions: Iterable[Mention], names: Names) -> list[str]:
    """Return one sentence for each name or id of the settings that Kustomer does not have."""
    return [
        f"{mention.place}: Kustomer has no {KIND_OF[mention.source].replace('_', '-')} {text!r}"
        for mention in mentions
        for text in mention.texts
        if names.is_unknown(mention.source, text)
    ]


def custom_sources(mentions: Iterable[Mention]) -> frozenset[str]:
    """Return the custom attributes that the settings mention: the only ones that are kept of a closing."""
    return frozenset(mention.source for mention in mentions if is_custom(mention.source))
