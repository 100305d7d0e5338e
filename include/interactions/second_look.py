"""The second look, right before the send: check whether the plan still holds."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Malformed
from include.interactions.settings import Settings
from include.interactions.states import REPLACING, State
from include.interactions.utc import MILLISECOND


class Veto(NamedTuple):
    """Cancel the interaction for this reason."""

    reason: Reason
    detail: str | None = None


Verdict = Veto | Literal["go", "unreadable"]
"""`unreadable`: Kustomer's answer decides nothing; it counts like no answer."""


def second_look(
    interaction: Interaction,
    conversation: Conversation | Malformed | None,
    settings: Settings,
    read_state: Callable[[str, datetime], State | None] = lambda _conversation_id, _closed_at: None,
) -> Verdict:
    """Decide whether an interaction may be sent, from its conversation as Kustomer shows it now (None: it is gone).

    `read_state` gives the state of another closing of the conversation in the ledger; None: it is not recorded.
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
    closed_at = conversation.closed_at or interaction.closed_at
    if closed_at <= interaction.closed_at:
        return "go"
    # A later closing replaces this one only if it gets a survey itself.
    later = read_state(conversation.id, closed_at)
    if later is None:
        return "unreadable"  # extraction has not judged it yet
    return Veto(Reason.SUPERSEDED) if later in REPLACING else "go"


def _same_closing(now: datetime | None, planned: datetime) -> bool:
    # The ledger keeps milliseconds. If the vendor gives more digits one day, that must not cancel a survey.
    return now is not None and timedelta(0) <= now - planned < MILLISECOND
