"""Whether a record is a closing, who its agent is, and whether there may be a survey."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from include.interactions.addresses import greeting, has_any, survey_address, usable
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Customer, Malformed, User
from include.interactions.settings import Settings

MOST_TAGS = 20
"""Stella Connect takes at most 20 tags (fact sheet stella-connect.md, section 2.1)."""
MOST_CHARACTERS = 2000
"""Stella Connect cuts longer values of tags and custom properties itself; we cut before."""


def is_closing(record: Conversation | Malformed, closed_from: datetime, closed_to: datetime) -> bool:
    """Whether the record is a conversation closed in [closed_from, closed_to).

    Checked again in code although the search asked for it: its index lags, and a reopened conversation keeps
    its old `lastDone` (fact sheet kustomer.md, section 7). `ended` says nothing about being closed.
    """
    if record.closed_at is None or not closed_from <= record.closed_at < closed_to or record.status != "done":
        return False
    return isinstance(record, Malformed) or not (record.deleted or record.spam)


def people_at_closing(conversation: Conversation) -> list[str]:
    """The ids of those assigned when it was closed; who was assigned later changes nothing.

    `lastDone` holds a snapshot of the assignees. Where it names nobody the present ones are asked: absent, null
    and [] all occur for "no value" (fact sheet kustomer.md, section 4), so an empty snapshot proves nothing.
    """
    return conversation.assigned_at_close or conversation.assigned_now or []


def agent_of(conversation: Conversation, users: Mapping[str, User]) -> User | None:
    """The person the interaction counts for: the closer if assigned, else the first assigned.

    A user that Kustomer no longer knows counts as a person without an address, so that the row's reason
    tells that somebody was assigned.
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
    """The interaction of one closing: planned, or skipped with its reason. Needs `record.closed_at`."""
    if record.closed_at is None:
        msg = f"conversation {record.id} is not a closing"
        raise ValueError(msg)
    due_at = record.closed_at + timedelta(seconds=settings.seconds_until_send)

    def skipped(reason: Reason, detail: str | None = None, agent: User | None = None) -> Interaction:
        return Interaction(
            conversation_id=record.id,
            closed_at=closed_at,
            due_at=due_at,
            skip=reason,
            detail=detail,
            customer_id=customer.id if customer else None,
            agent_id=agent.id if agent else None,
            agent_name=agent.name if agent else None,
            agent_email=usable(agent.email) if agent else None,
        )

    closed_at = record.closed_at
    if isinstance(record, Malformed):
        return skipped(Reason.MALFORMED_RECORD, f"unreadable: {record.fields}")
    if record.merged_away:
        return skipped(Reason.MERGED)
    agent = agent_of(record, users)
    if agent is None:
        return skipped(Reason.NO_AGENT_ASSIGNED)
    agent_email = usable(agent.email)
    if agent_email is None:
        return skipped(Reason.AGENT_WITHOUT_EMAIL, agent=agent)
    if record.customer_id is None or customer is None:
        return skipped(Reason.NO_CUSTOMER_EMAIL, "customer not found", agent=agent)
    address = survey_address(customer.emails)
    if address is None:
        nothing = Reason.INVALID_CUSTOMER_EMAIL if has_any(customer) else Reason.NO_CUSTOMER_EMAIL
        return skipped(nothing, agent=agent)
    return Interaction(
        conversation_id=record.id,
        closed_at=closed_at,
        due_at=due_at,
        customer_id=customer.id,
        customer_name=greeting(customer, address),
        customer_email=address,
        agent_id=agent.id,
        agent_email=agent_email,
        agent_name=agent.name,
        tags=names_of(record.tag_ids, tag_names),
        do_not_send=record.flag(settings.do_not_send_attribute),
    )


def names_of(tag_ids: Iterable[str], tag_names: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the first 20 known tags; an unknown id is data of the vendor, not an error."""
    known = dict.fromkeys(tag_names[tag][:MOST_CHARACTERS] for tag in tag_ids if tag in tag_names)
    return tuple(known)[:MOST_TAGS]
