"""Decide whether a record is a closing, who its agent is, and whether there may be a survey."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from include.interactions.addresses import greeting, has_any, is_automatic, same_address, survey_addresses, usable
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Customer, Malformed, User
from include.interactions.settings import Settings

MAX_TAGS = 20
"""Stella Connect takes at most 20 tags (fact sheet stella-connect.md, section 2.1)."""
MAX_CHARACTERS = 2000
"""Stella Connect cuts longer values of tags and custom properties itself; we cut before."""


def is_closing(
    record: Conversation | Malformed, closed_from: datetime, closed_to: datetime, *, any_status: bool = False
) -> bool:
    """Tell whether the record is a conversation closed in [closed_from, closed_to).

    The code checks what the search asked for: the search's index lags, and a reopened conversation keeps its old
    `lastDone` (fact sheet kustomer.md, section 7). `ended` does not mean closed. A closing with only a date is in
    every window of its day.

    Args:
        record: as the search returned it.
        closed_from: first instant of the window.
        closed_to: first instant after it.
        any_status: the last closing counts although the conversation is open again (`on_reopen: keep`).
    """
    is_closed = any_status or record.status == "done"
    return is_closed and _may_lie_in(record, closed_from, closed_to) and not _is_gone(record)


def doubt_of(record: Conversation | Malformed, closed_from: datetime, closed_to: datetime) -> str | None:
    """Say why a returned record may be an unreadable closing of the window; None if it is not.

    The search found it by status and time, but one of them is missing or unreadable in the record.
    """
    if _is_gone(record):
        return None
    if record.closed_at is None and record.status in ("done", None):
        return "closing time unreadable"
    if record.status is None and _may_lie_in(record, closed_from, closed_to):
        return "status unreadable"
    return None


def _may_lie_in(record: Conversation | Malformed, closed_from: datetime, closed_to: datetime) -> bool:
    if record.closed_at is None or record.closed_at >= closed_to:
        return False
    return record.closed_at >= closed_from or record.closed_at > closed_from - record.closed_within


def _is_gone(record: Conversation | Malformed) -> bool:
    return isinstance(record, Conversation) and bool(record.deleted or record.spam)


def people_at_closing(conversation: Conversation) -> list[str]:
    """Return the ids of the users assigned at the closing; later assignments do not count.

    `lastDone` holds a snapshot of the assignees. If it is empty, the present assignees count. An empty snapshot
    proves nothing, because absent, null and [] all occur for "no value" (fact sheet kustomer.md, section 4).
    """
    return conversation.assigned_at_close or conversation.assigned_now or []


def agent_of(conversation: Conversation, users: Mapping[str, User]) -> User | None:
    """Return the person for whom the interaction counts: the closer if assigned, else the first assigned.

    A user that Kustomer no longer knows counts as a person without an address, so that the reason says that a
    person was assigned.
    """
    people = [
        user
        for user_id in people_at_closing(conversation)
        if (user := users.get(user_id) or User(id=user_id)).is_person
    ]
    closer = [user for user in people if user.id == conversation.closed_by]
    return next(iter(closer + people), None)


def judge(
    record: Conversation | Malformed,
    customer: Customer | None,
    users: Mapping[str, User],
    tag_names: Mapping[str, str],
    settings: Settings,
) -> Interaction:
    """Return the interaction of a closing: planned, or skipped with its reason. Needs `record.closed_at`."""
    if record.closed_at is None:
        raise ValueError(f"conversation {record.id} is not a closing")
    known: dict[str, Any] = {
        "conversation_id": record.id,
        "closed_at": record.closed_at,
        "due_at": record.closed_at + record.closed_within + timedelta(seconds=settings.seconds_until_send),
        "customer_id": customer.id if customer else None,
    }
    if isinstance(record, Malformed):
        return Interaction(**known, skip=Reason.MALFORMED_RECORD, detail=f"unreadable: {record.fields}")
    if record.merged_away:
        return Interaction(**known, skip=Reason.MERGED)
    agent = agent_of(record, users)
    if agent is None:
        return Interaction(**known, skip=Reason.NO_AGENT_ASSIGNED)
    agent_email = usable(agent.email)
    known |= {"agent_id": agent.id, "agent_name": agent.name, "agent_email": agent_email}
    if agent_email is None:
        return Interaction(**known, skip=Reason.AGENT_WITHOUT_EMAIL)
    if record.customer_id is None or customer is None:
        return Interaction(**known, skip=Reason.NO_CUSTOMER_EMAIL, detail="customer not found")
    address = choose_address(customer, agent_email, settings, record.details.written_from)
    if isinstance(address, Unsuitable):
        return Interaction(**known, skip=address.reason, detail=address.detail)
    return Interaction(
        **known,
        detail=record.assumption,
        customer_name=greeting(customer, address),
        customer_email=address,
        tags=names_of(record.tag_ids, tag_names),
        do_not_send={"yes": True, "no": False, "masked": None}[record.opt_out(settings.do_not_send_attribute)],
    )


class Unsuitable(NamedTuple):
    """Why none of a customer's addresses may get the survey."""

    reason: Reason
    detail: str | None = None


def choose_address(
    customer: Customer, agent_email: str, settings: Settings, written_from: str | None = None
) -> str | Unsuitable:
    """Return the survey's address: the first usable one that is not automatic and not the agent's.

    `written_from` wrote the conversation's first message. It comes first if `survey_address` says so and it
    belongs to the customer.
    """
    if customer.deleted:
        return Unsuitable(Reason.NO_CUSTOMER_EMAIL, "customer deleted")
    unsuitable: Unsuitable | None = None
    addresses = survey_addresses(customer.emails)
    if settings.survey_address == "conversation" and written_from:
        addresses.sort(key=lambda address: same_address(address) != same_address(written_from))
    for address in addresses:
        if settings.on_automatic_address == "skip" and is_automatic(address):
            reason = Reason.AUTOMATIC_ADDRESS
        elif settings.on_own_address == "skip" and same_address(address) == same_address(agent_email):
            reason = Reason.OWN_ADDRESS
        else:
            return address
        unsuitable = unsuitable or Unsuitable(reason)
    nothing = Reason.INVALID_CUSTOMER_EMAIL if has_any(customer) else Reason.NO_CUSTOMER_EMAIL
    return unsuitable or Unsuitable(nothing)


def names_of(tag_ids: Iterable[str], tag_names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the first 20 known tags; an unknown id is not an error."""
    known = dict.fromkeys(tag_names[tag][:MAX_CHARACTERS] for tag in tag_ids if tag in tag_names)
    return tuple(known)[:MAX_TAGS]
