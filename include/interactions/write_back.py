"""The setting `write_back`: what of a customer's answer is written to Kustomer, and where."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from include.interactions.links import link_to
from include.interactions.setting_types import SettingPart
from include.interactions.utc import utc_text

MAX_ATTRIBUTE = 1024
"""Characters that Kustomer takes of a text attribute (fact sheet kustomer.md, section 8)."""
MAX_ATTRIBUTES = 100
MAX_NOTE = 10_240
MAX_TITLE = 255
"""Characters of a custom object's title; Kustomer's own limit is unknown."""

Kind = Literal["number", "yes_no", "instant", "text", "url"]
Value = bool | int | str | datetime | None

SOURCES: dict[str, Kind] = {
    "stars": "number",
    "nps": "number",
    "resolved": "yes_no",
    "comment": "text",
    "answered_at": "instant",
    "disputed": "yes_no",
    "reward": "text",
    "channel": "text",
    "brand": "text",
    "language": "text",
    "survey": "text",
    "agent": "text",
    "team_leader": "text",
    "url": "url",
    "uuid": "text",
}
"""What can be written of an answer, by name. `url` leads to the conversation, `uuid` is Stella Connect's id."""

_SUFFIXES: dict[str, tuple[Kind, ...]] = {
    "Str": ("number", "yes_no", "instant", "text", "url"),
    "Txt": ("number", "yes_no", "instant", "text", "url"),
    "Num": ("number",),
    "At": ("instant",),
    "Bool": ("yes_no",),
    "Url": ("url",),
}
"""The suffix with which the name of Kustomer's attribute says its type, and what may be written to it."""
_NAME = re.compile(r"\w+?(" + "|".join(_SUFFIXES) + ")")


class Target(StrEnum):
    """Where an answer is written."""

    ATTRIBUTES = "conversation_attributes"
    KOBJECT = "kobject"
    NOTE = "note"


class WriteState(StrEnum):
    """What became of one answer at one target."""

    PENDING = "pending"
    WRITTEN = "written"
    FAILED = "failed"
    """A person must look: Kustomer refuses it, or it is unknown whether it took the note."""
    GONE = "gone"
    """The conversation was deleted, or merged into another."""


def _check_source(source: str) -> str:
    if source not in SOURCES:
        raise ValueError(f"{source!r} is no part of an answer; known are {', '.join(SOURCES)}")
    return source


def _check_attributes(attributes: dict[str, str]) -> dict[str, str]:
    for name, source in attributes.items():
        kind = SOURCES[_check_source(source)]
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} must end in the type of Kustomer's attribute: {', '.join(_SUFFIXES)}")
        if kind not in _SUFFIXES[match[1]]:
            raise ValueError(f"{name!r} cannot hold {source!r}, which is no {match[1]}")
    return attributes


def _check_template(text: str) -> str:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"the text is no template ({error}); write {{{{ and }}}} for braces") from None
    for _, name, form, conversion in parts:
        if name is not None:
            _check_source(name)
            if form or conversion:
                raise ValueError(f"{{{name}}} takes no format")
    return text


Attributes = Annotated[
    dict[str, str], Field(min_length=1, max_length=MAX_ATTRIBUTES), AfterValidator(_check_attributes)
]
"""By the name of Kustomer's attribute, the part of the answer."""
Template = Annotated[str, StringConstraints(min_length=1, max_length=5000), AfterValidator(_check_template)]
"""Text with parts of the answer in braces: "{stars} stars"."""


class Kobject(SettingPart):
    """A custom object for each answer; the class must exist in Kustomer."""

    klass: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=100)]
    title: Template = "Survey answer"
    attributes: Attributes


class Note(SettingPart):
    """A note for each answer, beside its conversation."""

    text: Template


class WriteBack(SettingPart):
    """What is written to Kustomer; a target that is not named is off."""

    conversation_attributes: Attributes | None = None
    kobject: Kobject | None = None
    note: Note | None = None
    per_minute: Annotated[int, Field(strict=True, ge=1, le=600)] = 60
    """Limit for the calls of the task that writes."""

    @model_validator(mode="after")
    def _has_a_target(self) -> "WriteBack":
        if not self.targets:
            raise ValueError(f"at least one of {', '.join(Target)} is needed")
        return self

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets that are on."""
        return tuple(target for target in Target if getattr(self, target) is not None)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a customer, as far as it can be written."""

    uuid: str
    conversation_id: str
    customer_id: str | None
    values: Mapping[str, Value] = field(repr=False)
    """By name of `SOURCES`; a part that the answer lacks is missing or None."""

    def with_link(self, web_url: str) -> "Answer":
        """Return the answer with its `url`; None if its customer is unknown."""
        url = link_to(web_url, self.customer_id, self.conversation_id) if self.customer_id else None
        return replace(self, values={**self.values, "url": url})


def content_of(answer: Answer, write_back: WriteBack, target: Target) -> dict[str, Any]:
    """Return what is to be written to a target that is on: the body of Kustomer's call."""
    if target is Target.ATTRIBUTES and write_back.conversation_attributes is not None:
        return {"custom": _attributes(answer, write_back.conversation_attributes)}
    if target is Target.KOBJECT and (kobject := write_back.kobject) is not None:
        content: dict[str, Any] = {
            "title": cut_units(fill_template(kobject.title, answer), MAX_TITLE),
            "externalId": answer.uuid,
            "custom": _attributes(answer, kobject.attributes),
        }
        return content | ({"customer": answer.customer_id} if answer.customer_id else {})
    if target is Target.NOTE and write_back.note is not None:
        end = f"\n{note_marker(answer.uuid)}"
        return {"body": cut_units(fill_template(write_back.note.text, answer), MAX_NOTE - len(end)) + end}
    raise ValueError(f"the target {target} is off")


def note_marker(uuid: str) -> str:
    """Return the last line of a note, by which it is found again."""
    return f"[survey answer {uuid}]"


def content_hash(content: Mapping[str, Any]) -> str:
    """Return a short hash: equal for equal content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _attributes(answer: Answer, mapping: Mapping[str, str]) -> dict[str, Any]:
    # A part that is missing is written as null: the conversation may still hold an earlier answer's.
    return {name: _convert(name, answer.values.get(source)) for name, source in mapping.items()}


def _convert(name: str, value: Value) -> bool | int | str | None:
    match = _NAME.fullmatch(name)
    if value is None or (match is not None and match[1] in ("Num", "Bool")):
        return None if isinstance(value, datetime) else value
    return cut_units(_text(value), MAX_ATTRIBUTE)


def fill_template(template: str, answer: Answer) -> str:
    """Return the template with the parts of the answer in place."""
    return template.format_map({name: _text(answer.values.get(name)) for name in SOURCES}).strip()


def cut_units(text: str, max_units: int) -> str:
    """Cut to so many UTF-16 units: JavaScript counts an emoji as two."""
    return text.encode("utf-16-le")[: 2 * max_units].decode("utf-16-le", "ignore")


def _text(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return utc_text(value)
    return str(value)
