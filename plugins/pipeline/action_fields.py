"""The fields of the form of `interaction_ledger_admin`: how each looks, and what it may hold.

A message about a field never repeats its value, which may be personal data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from include.interactions.reasons import Reason
from include.interactions.states import State

WHICH, HOW = "To which interactions", "How"
"""Sections of the form."""
MAX_REASON_LENGTH = 200
MAX_DAYS_BACK = 90


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `read` gives the value of what a person wrote; its ValueError says what is wrong with it."""

    name: str
    title: str
    description: str
    section: str = WHICH
    read: Callable[[str], Any] = str
    choices: Mapping[str, str] = field(default_factory=dict)
    """Allowed words, each as the form shows it; empty: any text."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON schema of the Param, such as `format`."""

    def value_of(self, text: str) -> Any:
        """Return the field's value. Raises ValueError if the text is not allowed."""
        if self.choices and text not in self.choices:
            raise ValueError(f"is not one of {', '.join(self.choices)}")
        return self.read(text)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time; allowed: ISO 8601, such as 2026-01-05T10:00:00Z") from None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)


def _address(text: str) -> str:
    if "@" not in text:
        raise ValueError("is not an e-mail address")
    return text


def _words_without_address(text: str) -> str:
    if "@" in text:
        raise ValueError("holds an e-mail address; write nothing about a person")
    return text


def _rules(text: str) -> list[Any]:
    try:
        rules = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    return rules if isinstance(rules, list) else [rules]


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_DAYS_BACK:
        raise ValueError(f"is not a whole number from 1 to {MAX_DAYS_BACK}")
    return int(text)


_ALL = (
    Field(
        "conversation_id",
        "Conversation id",
        "As Kustomer has it.",
    ),
    Field(
        "closed_at",
        "Closed at",
        "Only if a conversation was closed several times and the action asks for it: the time of the closing, as "
        "the history shows it.",
        read=_time,
        form={"format": "date-time"},
    ),
    Field(
        "agent_email",
        "Agent's e-mail address",
        "As Kustomer or Stella Connect has it.",
        read=_address,
    ),
    Field(
        "closed_from",
        "Closed from",
        "Closings from this time on, UTC.",
        read=_time,
        form={"format": "date-time"},
    ),
    Field(
        "closed_until",
        "Closed before",
        "Closings before this time, UTC. Empty: up to now.",
        read=_time,
        form={"format": "date-time"},
    ),
    Field(
        "ended_as",
        "Ended as",
        "Only interactions in this state.",
        read=State,
        choices={state: state.capitalize() for state in (State.SKIPPED, State.CANCELLED, State.REJECTED)},
    ),
    Field(
        "ended_for",
        "Ended for",
        "Only interactions that ended for this reason.",
        read=Reason,
        choices={reason: reason.label for reason in Reason if not reason.final},
    ),
    Field(
        "detail",
        "Detail",
        "Only interactions whose detail contains this text, such as a part of Stella Connect's answer.",
    ),
    Field(
        "customer",
        "Customer",
        "Kustomer's customer id, or an e-mail address. The person's other ids and addresses are found from either. "
        "Prefer the id: Airflow keeps and shows what you write here.",
    ),
    Field(
        "settle_as",
        "Settle as",
        "What Stella Connect shows. Look it up there first.",
        section=HOW,
        read=State,
        choices={
            str(State.SENT): "sent: Stella Connect has it",
            str(State.PLANNED): "planned: Stella Connect does not have it, send it again",
            str(State.CANCELLED): "cancelled: Stella Connect does not have it, do not send it",
        },
    ),
    Field(
        "outside_window",
        "Outside the send window",
        "Whether it may be sent although the send window is closed. Empty: no.",
        section=HOW,
        choices={"yes": "yes, send it outside the window"},
    ),
    Field(
        "rules",
        "Rules",
        "JSON, as in the setting rules. Empty: the rules of the settings.",
        section=HOW,
        read=_rules,
        form={"format": "multiline"},
    ),
    Field(
        "days_back",
        "Days back",
        f"Closings of the last days: how many days, at most {MAX_DAYS_BACK}. Empty: 7.",
        section=HOW,
        read=_days,
    ),
    Field(
        "reason",
        "Reason",
        "Why, for people who read the history later. Do not name the customer; a ticket number helps.",
        section=HOW,
        read=_words_without_address,
        form={"maxLength": MAX_REASON_LENGTH},
    ),
)
FIELDS: Mapping[str, Field] = {field.name: field for field in _ALL}
