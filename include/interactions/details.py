"""Details of Kustomer's records that only rules, mapping and send windows ask about.

Nothing in them decides whether a record can be used: what is missing or unreadable is simply absent. They are read
without a model, since an hour can hold 100,000 records (fact sheet kustomer.md, section 4).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from include.interactions.closing_facts import texts_of

Json = Mapping[str, Any]

MAX_CHARACTERS = 500
"""A longer id, channel or address is none."""


@dataclass(frozen=True, slots=True)
class ConversationDetails:
    """What a conversation says beyond its status and people. Brand, queue and so on are ids."""

    channels: tuple[str, ...] = ()
    first_channel: str | None = None
    """Of the first message; not read if there is only one channel, like the next."""
    last_channel: str | None = None
    written_from: str | None = field(default=None, repr=False)
    """The address that wrote the first message."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By source: brand, queue, team, sub_status, priority."""
    languages: tuple[str, ...] = ()
    """Where a language may stand, the likeliest first."""
    direction: Literal["in", "out"] | None = None
    messages: int | None = None


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """What a customer says beyond name and addresses."""

    tags: tuple[str, ...] = ()
    custom: Json = field(default_factory=dict, repr=False)
    languages: tuple[str, ...] = ()
    time_zone: str | None = None


def read_conversation_details(record: Json) -> ConversationDetails:
    """Read the details of a conversation as search and single reads return it."""
    attributes, relationships = _object(record.get("attributes")), _object(record.get("relationships"))
    channels = _texts(attributes.get("channels"))
    first, last = _first_and_last_channel(attributes) if len(channels) > 1 else (None, None)
    messages = attributes.get("messageCount")
    direction = attributes.get("direction")
    values = {
        "brand": _related(relationships, "brand"),
        "queue": _related(relationships, "queue"),
        "team": _teams(attributes),
        "sub_status": _related(relationships, "subStatus"),
        "priority": texts_of(attributes.get("priority")),
    }
    return ConversationDetails(
        channels=channels,
        first_channel=first,
        last_channel=last,
        written_from=_text(_object(_object(attributes.get("firstMessageIn")).get("meta")).get("from")),
        values={source: given for source, given in values.items() if given},
        languages=_languages(attributes),
        direction=direction if direction in ("in", "out") else None,
        messages=messages if isinstance(messages, int) and not isinstance(messages, bool) else None,
    )


def read_customer_details(record: Json) -> CustomerDetails:
    """Read the details of a customer."""
    attributes = _object(record.get("attributes"))
    return CustomerDetails(
        tags=_texts(attributes.get("tags")),
        custom=_object(attributes.get("custom")),
        languages=_languages(attributes),
        time_zone=_text(attributes.get("timeZone")),
    )


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}  # from JSON; Mapping would take ten times longer


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) and len(value) <= MAX_CHARACTERS else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for item in value if (text := _text(item))) if isinstance(value, list) else ()


def _related(relationships: Json, name: str) -> tuple[str, ...]:
    identity = _text(_object(_object(relationships.get(name)).get("data")).get("id"))
    return (identity,) if identity else ()


def _teams(attributes: Json) -> tuple[str, ...]:
    """Return the teams at the closing; as with people, the present ones if the snapshot names none."""
    at_closing = _object(attributes.get("lastDone")).get("assignedTeams")
    return _texts(at_closing) or _texts(attributes.get("assignedTeams"))


def _languages(attributes: Json) -> tuple[str, ...]:
    return tuple(text for name in ("defaultLang", "locale") if (text := _text(attributes.get(name))))


def _first_and_last_channel(attributes: Json) -> tuple[str | None, str | None]:
    firsts = [_object(attributes.get(name)) for name in ("firstMessageIn", "firstMessageOut")]
    lasts = [_object(attributes.get(name)) for name in ("lastMessageIn", "lastMessageOut")]
    return next(_channels(firsts), None), next(_channels(lasts, latest=True), None)


def _channels(messages: Iterable[Json], *, latest: bool = False) -> Iterator[str]:
    """Return the channels of messages in order of time; times of one record are written alike, so texts compare."""
    known = [
        (_text(message.get("sentAt")) or _text(message.get("createdAt")) or "", channel)
        for message in messages
        if (channel := _text(message.get("channel")))
    ]
    return iter(channel for _, channel in sorted(known, reverse=latest))
