"""What we read out of Kustomer's records, and nothing else of them.

Every attribute is optional and nullable at the vendor (fact sheet kustomer.md, section 4), absent, null, {} and
[] all mean "no value", and unknown attributes come and go. So a field that we can do without is None when it is
unreadable; only a field that decides (the id, the assignees) makes a record malformed.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasPath,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

T = TypeVar("T")


def _none_if_unreadable(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        return parse(value)
    except ValidationError:
        return None


def _list_of_readable(value: Any) -> Any:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mappings(value: Any) -> Any:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


Harmless = Annotated[T | None, WrapValidator(_none_if_unreadable)]
"""A field that is None when the record holds something unreadable."""

Id = Annotated[str, Field(min_length=1, max_length=128)]
"""Ids are opaque; one longer than this is not an id."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Conversation(_Record):
    """A conversation as search and single reads return it; one that cannot be read is `Malformed`."""

    id: Id
    status: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "status"))
    closed_at: Harmless[AwareDatetime] = Field(
        None, validation_alias=AliasPath("attributes", "lastDone", "createdAt")
    )
    closed_by: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "lastDone", "createdBy"))
    assigned_at_close: list[Id] | None = Field(
        None, validation_alias=AliasPath("attributes", "lastDone", "assignedUsers")
    )
    assigned_now: list[Id] | None = Field(None, validation_alias=AliasPath("attributes", "assignedUsers"))
    customer_id: Id | None = Field(None, validation_alias=AliasPath("relationships", "customer", "data", "id"))
    tag_ids: Annotated[list[str], BeforeValidator(_list_of_readable)] = Field(
        default=[], validation_alias=AliasPath("attributes", "tags")
    )
    custom: Harmless[dict[str, Any]] = Field(None, validation_alias=AliasPath("attributes", "custom"))
    deleted: Harmless[bool] = Field(None, validation_alias=AliasPath("attributes", "deleted"))
    spam: Harmless[bool] = Field(None, validation_alias=AliasPath("attributes", "spam"))
    merged_away: bool = False

    def flag(self, attribute: str | None) -> bool:
        """Whether the custom attribute of that name is true."""
        return attribute is not None and (self.custom or {}).get(attribute) is True


class Email(_Record):
    """One of a customer's addresses, well-formed or not."""

    email: Harmless[str] = None
    verified: Harmless[bool] = None


class Customer(_Record):
    """A customer: where a survey would go and how it would greet."""

    id: Id
    name: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "name"))
    display_name: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "displayName"))
    emails: Annotated[list[Email], BeforeValidator(_mappings)] = Field(
        default=[], validation_alias=AliasPath("attributes", "emails")
    )


class User(_Record):
    """A user of Kustomer: an agent, a collaborator, or the machine behind an API key."""

    id: Id
    email: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "email"))
    name: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "name"))
    user_type: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "userType"))

    @property
    def is_person(self) -> bool:
        """False only for the machine users of API keys; a deactivated agent is still a person."""
        return self.user_type != "machine"


class Malformed(_Record):
    """A conversation record that lacks what we need, with the names of the unreadable fields."""

    id: Id
    status: Harmless[str] = None
    closed_at: AwareDatetime
    fields: str


def read_conversation(record: Mapping[str, Any]) -> Conversation | Malformed | None:
    """The conversation in a record; None if it cannot even be told which closing it would be."""
    try:
        conversation = Conversation.model_validate(record)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, fault["loc"])) for fault in error.errors()}))
        return _malformed(record, fields)
    return conversation.model_copy(update={"merged_away": True}) if _merged_away(record) else conversation


def _malformed(record: Mapping[str, Any], fields: str) -> Malformed | None:
    attributes = record.get("attributes")
    attributes = attributes if isinstance(attributes, Mapping) else {}
    last_done = attributes.get("lastDone")
    closed_at = last_done.get("createdAt") if isinstance(last_done, Mapping) else None
    try:
        return Malformed(
            id=record.get("id"), status=attributes.get("status"), closed_at=closed_at, fields=fields[:300]
        )
    except ValidationError:
        return None


_MERGED_INTO = (
    "mergedInto",
    "mergedIntoId",
    "mergedTo",
    "mergedToId",
    "mergedTargetId",
    "mergedAt",
    "merged",
)


def _merged_away(record: Mapping[str, Any]) -> bool:
    """Whether this conversation was merged into another.

    No public source shows how a merged source looks (fact sheet, section 7: the survivor has
    `mergedTarget: true`, the source's mark is unknown), so every plausible name counts, as an attribute or
    a relationship. Checked against a real organisation this tuple can shrink.
    """
    for part in ("attributes", "relationships"):
        values = record.get(part)
        if isinstance(values, Mapping) and any(_has_value(values[name]) for name in _MERGED_INTO if name in values):
            return True
    return False


def _has_value(value: object) -> bool:
    return bool(value.get("data")) if isinstance(value, Mapping) else bool(value)
