"""Build the feedback request of an interaction."""

from datetime import datetime, timedelta
from typing import Any, Literal

from include.interactions.interaction import Interaction
from include.interactions.links import link_to
from include.interactions.mapping import RESERVED_PROPERTY
from include.interactions.settings import DEFAULT_CHANNEL, Settings


def feedback_request(
    interaction: Interaction, *, employee_email: str, web_url: str, channel: str, do_not_send: bool
) -> dict[str, Any]:
    """Return the body of `POST /v1/requests`, or of `POST /v1/recoveries` (fact sheet, sections 2.1 and 4.6).

    The second asks the same customer again after a reopening of ours. It names the first survey by the
    conversation's id: whether its own id is that of Data Return is unknown. What it takes over from the first
    survey is left out: channel, customer, brand, language, country and custom properties.

    Args:
        interaction: an eligible one, with a customer and an address.
        employee_email: the agent's address as Stella Connect spells it.
        web_url: the organisation's Kustomer URL.
        channel: as set up in the Stella Connect account: `channel_for`.
        do_not_send: the interaction counts, the customer gets no survey.
    """
    is_first = interaction.recovers_uuid is None
    request: dict[str, Any] = {}
    if is_first:
        request["channel"] = channel
        request["customer"] = {"name": interaction.customer_name, "email": interaction.customer_email}
    request["employee"] = {"email": employee_email}
    request["ext_interaction_id"] = interaction.conversation_id
    request["external_url"] = link_to(web_url, interaction.customer_id or "", interaction.conversation_id)
    if is_first:
        request |= _filing(interaction)
    if interaction.tags:
        request["tags"] = list(interaction.tags)
    if do_not_send:
        request["do_not_send"] = True
    return request


def _filing(interaction: Interaction) -> dict[str, Any]:
    """Return what a service recovery takes over from the survey before it."""
    fields: dict[str, Any] = {
        # Stella Connect cannot tell two closings of one conversation apart; this can, when it gives the row back.
        "custom_properties": {
            **interaction.custom_properties,
            RESERVED_PROPERTY: interaction.closed_at.isoformat(),
        },
    }
    for name in ("brand", "language", "country"):
        if text := getattr(interaction, name):
            fields[name] = text
    return fields


def channel_for(interaction: Interaction, settings: Settings) -> str:
    """Return the channel fixed when the closing was recorded, else the setting."""
    if interaction.channel:
        return interaction.channel
    return settings.channel if isinstance(settings.channel, str) else settings.channel.default or DEFAULT_CHANNEL


def is_expired(interaction: Interaction, now: datetime, settings: Settings) -> bool:
    """Tell whether the interaction is past its expiry."""
    first_due_at = interaction.first_due_at or interaction.due_at
    return now > first_due_at + timedelta(seconds=settings.expire_after_seconds)


def at_expiry(interaction: Interaction, now: datetime, settings: Settings) -> Literal["send", "count", "skip"]:
    """Return what to do with a due interaction: `send` before its expiry, else what `on_expired` says."""
    return settings.on_expired if is_expired(interaction, now, settings) else "send"
