"""The mapping of an interaction at Stella Connect: channel, brand, language, country, custom properties."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)

from include.interactions.closing_facts import (
    MAX_TEXT,
    ClosingFacts,
    Source,
    comparable,
    is_custom,
    stella_language,
)
from include.interactions.names import Mention, Names
from include.interactions.setting_types import SettingPart, Word
from include.interactions.utc import EPOCH

FieldName = Literal["channel", "brand", "language", "country"]
FIELDS: tuple[FieldName, ...] = get_args(FieldName)
RESERVED_PROPERTY = "closed_at"
"""Our own custom property, by which an answer finds its closing."""
MAX_PROPERTIES = 50

Text = Annotated[Word, StringConstraints(min_length=1, max_length=200)]

_COUNTRY = re.compile("[A-Z]{2}")
_MASKED = re.compile(r"[*•●]{2,}|\A[*•●…]+\Z")
"""How a masked value looks (fact sheet kustomer.md, section 1): a run of marks, or nothing else."""


class Lookup(SettingPart):
    """A field that follows a value of the closing: `{"from": "brand", "map": {...}, "default": ...}`."""

    source: Source = Field(alias="from")
    map: dict[Text, Text] | None = Field(None, min_length=1)
    """Without a map the value itself is sent, by its name."""
    default: Text | None = None
    """The text that is sent without a match; null, if it is given: the request goes without the field."""

    @property
    def may_be_left_out(self) -> bool:
        """Whether `"default": null` was written."""
        return self.default is None and "default" in self.model_fields_set


def _kind_of_field(value: Any) -> str:
    return "mapping" if isinstance(value, Mapping | Lookup) else "text"


Filed = Annotated[Annotated[Text, Tag("text")] | Annotated[Lookup, Tag("mapping")], Discriminator(_kind_of_field)]
"""A text for all, or a lookup."""


def spelling_of(name: FieldName, text: str) -> str | None:
    """Return the text as Stella Connect spells it in that field; None if it would refuse it."""
    if name == "language":
        return stella_language(text)
    if name == "country":
        return text.strip().upper() if _COUNTRY.fullmatch(text.strip().upper()) else None
    return text.strip()


def _check_spelling(name: FieldName, filed: str | Lookup) -> str | Lookup:
    texts = [filed] if isinstance(filed, str) else [*(filed.map or {}).values(), filed.default]
    for text in texts:
        if text is not None and spelling_of(name, text) is None:
            form = "a language such as 'fr' or 'fr-CA'" if name == "language" else "two letters such as 'FR'"
            raise ValueError(f"{text!r} must be {form}")
    if isinstance(filed, str):
        return spelling_of(name, filed) or filed
    return filed


def _channel_is_always_sent(filed: str | Lookup) -> str | Lookup:
    if isinstance(filed, Lookup) and filed.may_be_left_out:
        raise ValueError("default must be a text: Stella Connect refuses a request without a channel")
    return filed


Channel = Annotated[Filed, AfterValidator(_channel_is_always_sent)]
Brand = Filed
Language = Annotated[Filed, AfterValidator(lambda filed: _check_spelling("language", filed))]
Country = Annotated[Filed, AfterValidator(lambda filed: _check_spelling("country", filed))]


def _check_properties(properties: dict[str, str]) -> dict[str, str]:
    if RESERVED_PROPERTY in properties:
        raise ValueError(f"{RESERVED_PROPERTY!r} is the pipeline's own property; choose another name")
    return properties


Properties = Annotated[dict[Text, Source], Field(max_length=MAX_PROPERTIES), AfterValidator(_check_properties)]
"""Custom properties: by name, the source of the value."""


@dataclass(frozen=True, slots=True)
class Filing:
    """What one interaction is filed under. A field that is None is not sent."""

    channel: str
    brand: str | None = None
    language: str | None = None
    country: str | None = None
    custom_properties: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A field for whose value the settings have no entry."""

    name: FieldName
    detail: str
    """For people; never the value of a custom attribute."""


class Filer:
    """Files closings: the settings' mapping, with Kustomer's names already looked up.

    A field is a text for all, a lookup, or None if it is not sent; of a custom property the source is given.
    """

    def __init__(
        self, fields: Mapping[FieldName, str | Lookup | None], properties: Mapping[str, str], names: Names
    ) -> None:
        self._fields = dict(fields)
        self._properties = dict(properties)
        self._names = names
        self._maps: dict[FieldName, dict[str, str]] = {
            name: {
                accepted: text for key, text in filed.map.items() for accepted in names.accepted(filed.source, key)
            }
            for name, filed in self._fields.items()
            if isinstance(filed, Lookup) and filed.map is not None
        }
        follows_closing = self._properties or any(isinstance(filed, Lookup) for filed in self._fields.values())
        self._same_for_all = None if follows_closing else self._file(ClosingFacts("", EPOCH))

    def file(self, facts: ClosingFacts) -> Filing | Unmapped:
        """Return what the closing is filed under, or the first field for which the settings have no entry."""
        return self._same_for_all or self._file(facts)

    def _file(self, facts: ClosingFacts) -> Filing | Unmapped:
        found: dict[FieldName, str | None] = {}
        for name, filed in self._fields.items():
            text = self._text_of(name, filed, facts) if isinstance(filed, Lookup) else filed
            if text is None and isinstance(filed, Lookup) and not filed.may_be_left_out:
                return Unmapped(name, _explain(name, filed, facts, self._names))
            found[name] = None if text is None else spelling_of(name, text)
        return Filing(
            channel=str(found["channel"]),  # a channel cannot be left out
            brand=found.get("brand"),
            language=found.get("language"),
            country=found.get("country"),
            custom_properties=self._custom_properties(facts),
        )

    def _text_of(self, name: FieldName, lookup: Lookup, facts: ClosingFacts) -> str | None:
        values = facts.of(lookup.source)
        if lookup.map is not None:
            entries = self._maps[name]
            found = next((entries[key] for value in values if (key := comparable(value)) in entries), None)
        else:
            shown = (self._names.name_of(lookup.source, value) for value in values)
            found = next((text for value in shown if (text := _sendable(name, value))), None)
        return lookup.default if found is None else found

    def _custom_properties(self, facts: ClosingFacts) -> dict[str, str]:
        sent = {}
        for name, source in self._properties.items():
            values = facts.of(source)[-1:] if source == "language" else facts.of(source)
            shown = [text for value in values if not is_hidden(text := self._names.name_of(source, value))]
            if shown:
                sent[name] = ", ".join(shown)[:MAX_TEXT]
        return sent


def is_hidden(text: str) -> bool:
    """Tell whether Kustomer hid the value because the key lacks "Read Sensitive".

    >>> is_hidden("****1234"), is_hidden("•"), is_hidden("a 5* hotel")
    (True, True, False)
    """
    return _MASKED.search(text) is not None


def _sendable(name: FieldName, value: str) -> str | None:
    return None if is_hidden(value) or len(value) > MAX_TEXT else spelling_of(name, value)


def _explain(name: FieldName, lookup: Lookup, facts: ClosingFacts, names: Names) -> str:
    values = facts.of(lookup.source)
    if not values:
        return f"{name}: the closing has no value of {lookup.source}"
    if is_custom(lookup.source):
        return f"{name}: no entry for this value of {lookup.source}"
    shown = ", ".join(repr(names.name_of(lookup.source, value)) for value in values[:3])
    return f"{name}: no entry for {lookup.source} {shown}"


def mentions_of(
    place: str, fields: Mapping[FieldName, str | Lookup | None], properties: Mapping[str, str]
) -> Iterator[Mention]:
    """Yield where a mapping mentions sources.

    `place` is empty for the settings' own mapping, "rule 'fraud', then." for that of a rule.
    """
    for name, filed in fields.items():
        if isinstance(filed, Lookup) and filed.map is None:
            yield Mention(f"{place}{name}.from", filed.source, shown=True)
        elif isinstance(filed, Lookup):
            yield Mention(f"{place}{name}.map", filed.source, tuple(filed.map or ()))
    for key, source in properties.items():
        yield Mention(f"{place}custom_properties.{key}", source, shown=True)
