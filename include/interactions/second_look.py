"""The second look, right before the send: does what was planned still hold?"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Malformed
from include.interactions.settings import Settings


class Veto(NamedTuple):
    """The interaction is cancelled, for this reason."""

    reason: Reason
    detail: str | None = None


Verdict = Veto | Literal["go", "unreadable"]
"""`unreadable`: Kustomer answered something that decides nothing; treated like no answer at all."""


def second_look(
    interaction: Interaction, conversation: Conversation | Malformed | None, settings: Settings
) -> Verdict:
    """Whether an interaction may go out, given its conversation as Kustomer shows it now.

    Args:
        interaction: as planned.
        conversation: as read again; None when Kustomer no longer has it.
        settings: of this run; `on_reopen` decides about reopened conversations.
    """
    if conversation is None:
        return Veto(Reason.DELETED, "no longer in Kustomer")
    if isinstance(conversation, Malformed) or conversation.status is None:
        return "unreadable"
    if conversation.deleted:
        return Veto(Reason.DELETED)
    if conversation.merged_away:
        return Veto(Reason.DELETED, "merged into another conversation")
    if conversation.spam:
        return Veto(Reason.DELETED, "marked as spam")
    if conversation.status == "done" and conversation.closed_at is None:
        return "unreadable"
    if conversation.status == "done" and _same_closing(conversation.closed_at, interaction.closed_at):
        return "go"
    if settings.on_reopen == "cancel":
        return Veto(Reason.REOPENED)
    if conversation.status == "done" and (conversation.closed_at or interaction.closed_at) > interaction.closed_at:
        # Kept surveys follow the conversation to its last closing: that one is extracted as its own interaction.
        return Veto(Reason.SUPERSEDED)
    return "go"


def _same_closing(now: datetime | None, planned: datetime) -> bool:
    # The ledger keeps milliseconds. A vendor that one day gives more digits must not cancel every survey.
    return now is not None and timedelta(0) <= now - planned < timedelta(milliseconds=1)
