"""What the two pretended vendors know: plain data, kept small so that 100,000 conversations fit in memory."""

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Status = Literal["open", "snoozed", "done"]

DO_NOT_SEND = "doNotSendStellaConnectRequestBool"
"""Key of the opt-out attribute, as Kustomer builds it from the name in the official set-up guide."""

BRAND = "5f0000000000000000000002"
"""Id of the brand that every conversation has unless it says otherwise."""

PROFILE_STATUSES = ("active", "deactivated", "pending review", "confirmed", "unapproved", "created")
"""The values of Stella Connect's `status` filter (fact sheet, section 3.1); only `active` gets surveys."""


@dataclass(slots=True)
class User:
    """A user of Kustomer. `deleted_at` (ms) marks a deactivated one."""

    id: str
    name: str
    email: str | None
    user_type: Literal["user", "machine"] = "user"
    deleted_at: int | None = None
    created_at: int = 0


@dataclass(slots=True)
class Employee:
    """An employee of Stella Connect. `id` shows only in paging links, `status` in no answer at all."""

    id: int
    email: str
    custom_id: str
    first_name: str
    last_name: str
    status: str = "active"


@dataclass(slots=True)
class Customer:
    """A customer of Kustomer. `emails` holds (address, verified)."""

    id: str
    name: str | None
    display_name: str | None
    emails: tuple[tuple[str, bool], ...]
    updated_at: int = 0
    deleted: bool = False
    unindexed: bool = False
    """The search does not know this customer (yet); a single GET does."""
    attributes: Json | None = None
    """Attributes that replace the usual ones on the wire: tags, custom, timeZone, defaultLang, ..."""


@dataclass(slots=True)
class Tag:
    """A tag of Kustomer."""

    id: str
    name: str
    deleted: bool = False


@dataclass(slots=True)
class Conversation:
    """A conversation of Kustomer, and its expected outcome. Times in ms.

    `closed_at`, `closed_by` and `closing_users` are `lastDone`: they stay when the conversation opens again.
    """

    id: str
    customer_id: str
    status: Status
    channel: str
    name: str
    created_at: int
    updated_at: int
    closed_at: int | None
    closed_by: str | None
    closing_users: tuple[str, ...]
    assigned_users: tuple[str, ...]
    tags: tuple[str, ...] = ()
    custom: Json | None = None
    spam: bool = False
    deleted: bool = False
    lingers: bool = False
    """Deleted, but the search still returns it, with `deleted: true`."""
    ended: bool = False
    merged_into: str | None = None
    merged_target: bool = False
    text_length: int = 80
    """Characters of `preview`."""
    attributes: Json | None = None
    """Attributes that replace the usual ones on the wire, whatever they hold."""
    relationships: Json | None = None
    """The same for relationships."""
    indexed_before: "Conversation | None" = None
    """What the search shows until the index lag after `changed_at` is over; None: nothing."""
    changed_at: int = 0

    situation: str = "plain"
    """How it was made, in words."""
    expected: str = "sent"
    """"sent", "not_a_closing", or the reason for which the interaction is skipped or cancelled."""
    expected_do_not_send: bool = False
    expected_employee: str | None = None
    """The agent's address as Stella Connect spells it."""
    expected_customer: str | None = None
    """The customer's address to which the survey goes."""


@dataclass(slots=True)
class Schedule:
    """Business hours of Kustomer; the day "0" is Sunday."""

    id: str
    name: str
    time_zone: str
    hours: Json
    holidays: tuple[tuple[str, str, str, bool], ...] = ()
    """Name, first and last day (ISO), and whether it is enabled."""
    default: bool = False


@dataclass(slots=True)
class ManualRequest:
    """A survey that an agent sent by hand: in Data Return beside ours."""

    created_at: int
    employee: str
    customer_name: str
    customer_email: str
    ext_interaction_id: str | None


@dataclass(slots=True)
class Organisation:
    """One company at both vendors."""

    seed: int
    id: str = "5f0000000000000000000001"
    name: str = "Larkspur Outfitters"
    subdomain: str = "larkspur"
    users: dict[str, User] = field(default_factory=dict)
    employees: list[Employee] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    brands: dict[str, str] = field(default_factory=lambda: {BRAND: "Larkspur"})
    """Names by id, as with queues, teams and sub-statuses."""
    queues: dict[str, str] = field(default_factory=dict)
    teams: dict[str, str] = field(default_factory=dict)
    sub_statuses: dict[str, str] = field(default_factory=dict)
    schedules: list[Schedule] = field(default_factory=list)
    manual_requests: list[ManualRequest] = field(default_factory=list)
