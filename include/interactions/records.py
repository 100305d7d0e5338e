"""The parts of Kustomer's records that the pipeline reads.

Every attribute is optional and nullable (fact sheet kustomer.md, section 4); absent, null, {} and [] all mean "no
value"; unknown attributes come and go. Therefore an unreadable field is None, unless it decides: an unreadable id
or assignee makes a record malformed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    AliasPath,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SkipValidation,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from include.interactions.details import (
    ConversationDetails,
    CustomerDetails,
    read_conversation_details,
    read_customer_details,
)
from include.interactions.opt_out import OptOut, read_opt_out
from include.interactions.text import is_masked

T = TypeVar("T")


class _NoneIfUnreadable:
    """Annotates a field that is None if it cannot be read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


def _list_of_readable(value: Any) -> Any:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mappings(value: Any) -> Any:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


Harmless = Annotated[T | None, _NoneIfUnreadable()]
"""A field that is None if it cannot be read."""

Id = Annotated[str, Field(min_length=1, max_length=128)]
"""Ids are opaque; longer texts are not ids."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Deletable(_Record):
    """A record that Kustomer may still return after its deletion."""

    deleted_flag: Harmless[bool] = Field(None, validation_alias=AliasPath("attributes", "deleted"))
    deleted_at: Any = Field(None, validation_alias=AliasPath("attributes", "deletedAt"), repr=False)

    @property
    def deleted(self) -> bool:
        """Tell whether the record is deleted; one of the two marks is enough."""
        return bool(self.deleted_flag or self.deleted_at)


class Conversation(_Deletable):
    """A conversation as search and single reads return it; one that cannot be read is `Malformed`.

    Attributes:
        closed_at: the closing; None if there was none, or its time cannot be read.
        closed_within: how long after `closed_at` the closing may have been, where Kustomer gave only a date.
        assumption: what was assumed to read `closed_at`, for people.
        custom_fault: why `custom` is empty although Kustomer gave something.
    """

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
    spam: Harmless[bool] = Field(None, validation_alias=AliasPath("attributes", "spam"))
    merged_away: bool = False
    closed_within: timedelta = timedelta(0)
    assumption: str | None = None
    custom_fault: Literal["masked", "unreadable"] | None = None
    details: SkipValidation[ConversationDetails] = ConversationDetails()

    def opt_out(self, configured: str | None) -> OptOut:
        """Tell whether the customer opted out; `configured` is the setting `do_not_send_attribute`."""
        if self.custom_fault is not None:
            return "masked" if self.custom_fault == "masked" else "yes"
        return read_opt_out(self.custom or {}, configured)


class Email(_Record):
    """One of a customer's addresses, well-formed or not."""

    email: Harmless[str] = None
    verified: Harmless[bool] = None


class Customer(_Deletable):
    """A customer: addresses and name."""

    id: Id
    name: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "name"))
    display_name: Harmless[str] = Field(None, validation_alias=AliasPath("attributes", "displayName"))
    emails: Annotated[list[Email], BeforeValidator(_mappings)] = Field(
        default=[], validation_alias=AliasPath("attributes", "emails")
    )
    details: SkipValidation[CustomerDetails] = CustomerDetails()


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


def read_customer(record: Mapping[str, Any]) -> Customer | None:
    """Return the customer in a record; None if it has no usable id."""
    try:
        return Customer.model_validate({**record, "details": read_customer_details(record)})
    except ValidationError:
        return None


class Malformed(_Record):
    """A conversation record that lacks required fields, with the names of the unreadable ones.

    `closed_at` is None if the closing's time cannot be read either.
    """

    id: Id
    status: Harmless[str] = None
    closed_at: datetime | None = None
    closed_within: timedelta = timedelta(0)
    fields: str


def read_conversation(record: Mapping[str, Any]) -> Conversation | Malformed | None:
    """Return the conversation in a record; None if it has no usable id."""
    try:
        conversation = Conversation.model_validate({**record, "details": read_conversation_details(record)})
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, fault["loc"])) for fault in error.errors()}))
        return _malformed(record, fields)
    update: dict[str, Any] = {"merged_away": True} if _merged_away(record) else {}
    if conversation.closed_at is None:
        update |= read_closing_time(record)._asdict()
    if conversation.custom is None:
        update["custom_fault"] = _custom_fault(record)
    return conversation.model_copy(update=update) if any(update.values()) else conversation


def _malformed(record: Mapping[str, Any], fields: str) -> Malformed | None:
    time = read_closing_time(record)
    try:
        return Malformed(
            id=record.get("id"),
            status=_attributes(record).get("status"),
            closed_at=time.closed_at,
            closed_within=time.closed_within,
            fields=fields[:300],
        )
    except ValidationError:
        return None


class ClosingTime(NamedTuple):
    """When a conversation was closed, as far as its record says; the fields are those of `Conversation`."""

    closed_at: datetime | None = None
    closed_within: timedelta = timedelta(0)
    assumption: str | None = None


def read_closing_time(record: Mapping[str, Any]) -> ClosingTime:
    """Read the time in `lastDone.createdAt`: documented with an offset, read as UTC without one.

    A date without a time of day is read as the start of that day in UTC, uncertain by a day.
    """
    last_done = _attributes(record).get("lastDone")
    given = last_done.get("createdAt") if isinstance(last_done, Mapping) else last_done
    if not given and given != 0:
        return ClosingTime()
    try:
        return ClosingTime(_INSTANT.validate_python(given))
    except ValidationError:
        pass
    try:
        moment = datetime.fromisoformat(given.strip()) if isinstance(given, str) else None
    except ValueError:
        moment = None
    if moment is None:
        return ClosingTime()
    if moment.tzinfo is not None:
        return ClosingTime(moment)
    if len(given.strip()) <= len("2026-01-05"):
        return ClosingTime(
            moment.replace(tzinfo=UTC), timedelta(days=1), "closing time is a bare date, UTC assumed"
        )
    return ClosingTime(moment.replace(tzinfo=UTC), assumption="closing time without offset, UTC assumed")


_INSTANT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def _custom_fault(record: Mapping[str, Any]) -> Literal["masked", "unreadable"] | None:
    given = _attributes(record).get("custom")
    if not given:
        return None
    return "masked" if isinstance(given, str) and is_masked(given) else "unreadable"


def _attributes(record: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = record.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


MERGED_MARKS = frozenset(
    ["mergedInto", "mergedIntoId", "mergedTo", "mergedToId", "mergedTargetId", "mergedAt", "merged"]
)


def _merged_away(record: Mapping[str, Any]) -> bool:
    """Tell whether this conversation was merged into another.

    No public source shows how a merged conversation looks (fact sheet, section 7: the survivor has
    `mergedTarget: true`). Therefore every plausible name counts, as an attribute or a relationship. After a check
    of a real organisation this tuple can shrink.
    """
    for part in ("attributes", "relationships"):
        values = record.get(part)
        if isinstance(values, dict) and any(_has_value(values[name]) for name in MERGED_MARKS & values.keys()):
            return True
    return False


def _has_value(value: object) -> bool:
    return bool(value.get("data")) if isinstance(value, Mapping) else bool(value)
