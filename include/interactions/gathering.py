"""Gathers the facts of a closing from Kustomer's records."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from include.interactions.closing_facts import (
    CUSTOM,
    CUSTOMER_CUSTOM,
    ClosingFacts,
    domain_of,
    languages_of,
    texts_of,
)
from include.interactions.mapping import is_hidden
from include.interactions.records import Conversation, Customer, User


def gather_facts(
    conversation: Conversation,
    customer: Customer,
    *,
    agent: User,
    closer: User | None,
    address: str,
    channel_of: Literal["first", "last"] | None,
    custom: Iterable[str],
) -> ClosingFacts:
    """Gather the facts of an eligible closing.

    `closer` closed it; None if Kustomer no longer knows them. The survey would go to `address`. Of the custom
    attributes only those in `custom` are kept.
    """
    values = _values_now(conversation, channel_of, custom)
    values["language"] = languages_of([*conversation.details.languages, *customer.details.languages])
    values["customer.tag"] = customer.details.tags
    for source in custom:
        if source.startswith(CUSTOMER_CUSTOM):
            values[source] = _unmasked(customer.details.custom.get(source.removeprefix(CUSTOMER_CUSTOM)))
    closed_at = conversation.closed_at
    if closed_at is None:
        raise ValueError(f"conversation {conversation.id} is not a closing")
    return ClosingFacts(
        conversation.id,
        closed_at,
        {source: given for source, given in values.items() if given},
        customer_domain=domain_of(address),
        agent=tuple(text for text in (agent.id, agent.email, agent.name) if text),
        closed_by="person" if conversation.closed_by and (closer is None or closer.is_person) else "automation",
        direction=conversation.details.direction,
        messages=conversation.details.messages,
    )


def facts_now(
    recorded: ClosingFacts,
    conversation: Conversation,
    *,
    channel_of: Literal["first", "last"] | None,
    custom: Iterable[str],
) -> ClosingFacts:
    """Return the facts of the conversation as it is now; those of customer, agent and closing stay as recorded."""
    kept = {source: given for source, given in recorded.values.items() if source.startswith("customer.")}
    values = {
        **kept,
        **_values_now(conversation, channel_of, custom),
        "language": languages_of(conversation.details.languages) or recorded.of("language"),
    }
    return replace(
        recorded,
        values={source: given for source, given in values.items() if given},
        direction=conversation.details.direction,
        messages=conversation.details.messages,
    )


def _values_now(
    conversation: Conversation,
    channel_of: Literal["first", "last"] | None,
    custom: Iterable[str],
) -> dict[str, tuple[str, ...]]:
    details = conversation.details
    listed = next(iter(details.channels), None)
    channel = {"first": details.first_channel, "last": details.last_channel}.get(channel_of or "") or listed
    values = {**details.values, "channel": (channel,) if channel else (), "tag": tuple(conversation.tag_ids)}
    attributes = conversation.custom or {}
    for source in custom:
        if source.startswith(CUSTOM):
            values[source] = _unmasked(attributes.get(source.removeprefix(CUSTOM)))
    return values


def _unmasked(value: object) -> tuple[str, ...]:
    return tuple(text for text in texts_of(value) if not is_hidden(text))
