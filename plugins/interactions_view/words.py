"""What people read about states and outcomes: one sentence that answers, one that says what to do.

The words of a reason are its own: `include.interactions.reasons`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from include.interactions.reasons import Reason
from include.interactions.settings import Settings
from include.interactions.states import State
from include.ledger.reports.agents import Profile
from include.ledger.reports.listing import Line
from include.ledger.reports.overview import OVERDUE
from include.ledger.reports.story import Step

STATES: dict[State, str] = {
    State.PLANNED: "Planned",
    State.CLAIMED: "Being released",
    State.SENDING: "Sending",
    State.SENT: "Sent",
    State.REJECTED: "Rejected",
    State.UNKNOWN: "Unknown",
    State.CANCELLED: "Cancelled",
    State.SKIPPED: "Skipped",
}

PROFILES: dict[Profile, str] = {
    Profile.APPROVED: "Approved",
    Profile.NOT_APPROVED: "Not approved",
    Profile.UNKNOWN: "Not looked at yet",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What happened, in one sentence, and what to do about it (None: nothing)."""

    sentence: str
    advice: str | None = None


def answer(line: Line, now: datetime, settings: Settings) -> Answer:
    """Why the customer got a survey, or none, or none yet."""
    match line.state:
        case State.PLANNED:
            return _planned(line, now, settings)
        case State.CLAIMED:
            return Answer("Being released at this moment.")
        case State.SENDING:
            return Answer("Being sent at this moment.")
        case State.SENT:
            return _sent(line)
        case State.REJECTED:
            status = f" (HTTP {line.http_status})" if line.http_status else ""
            return Answer(
                f"Not sent: Stella Connect refused it{status}.",
                "See its words in the timeline and its API status page.",
            )
        case State.UNKNOWN:
            return Answer(
                "Nobody knows: the request left, and no clear answer came.",
                "Stella Connect is asked every quarter of an hour. What is still unknown after six hours "
                "is for a person to look up and settle.",
            )
        case State.CANCELLED | State.SKIPPED:
            if line.reason is None:
                return Answer("Not sent: the ledger holds no reason.")
            if line.reason is Reason.AGENT_PROFILE_NOT_APPROVED and line.agent.erased:
                return Answer(f"Not sent: {line.reason.because}.", "Too late: the addresses have been erased.")
            return Answer(f"Not sent: {line.reason.because}.", line.reason.advice)


def _planned(line: Line, now: datetime, settings: Settings) -> Answer:
    if line.due_at + timedelta(seconds=settings.expire_after_seconds) < now:
        becomes = {"count": "counted without a survey", "send": "sent all the same", "skip": "skipped"}
        return Answer(f"Overdue past its expiry: it will be {becomes[settings.on_expired]} by the next release.")
    if line.due_at < now - OVERDUE:
        return Answer(
            "Overdue: it should have gone out already.",
            "Look whether the hourly runs succeed; the next one that does sends it.",
        )
    if line.agent_profile == Profile.NOT_APPROVED:
        return Answer(
            "At risk: it will be skipped unless the agent's Stella Connect profile is approved before it is due.",
            "Approve the profile in Stella Connect.",
        )
    if line.do_not_send:
        return Answer("Waits for its due time. It will count for the agent; the customer gets no survey.")
    if line.do_not_send is None:
        return Answer(
            "Waits: Kustomer masks whether the customer opted out.",
            "Put a key with “Read Sensitive” into the connection. Past its expiry it counts without a survey.",
        )
    if line.attempts:
        return Answer("Waits for the next release: an earlier request was not taken.")
    return Answer("Waits for its due time. All checks have passed so far.")


def _sent(line: Line) -> Answer:
    if line.answered_at:
        stars = f" with {line.rating} of 5 stars" if line.rating is not None else ""
        return Answer(f"Sent, and answered{stars}.")
    status = line.delivery_status or ""
    if line.counts_only:
        return Answer("Sent to be counted: the customer was to get no survey.")
    if status and status.casefold() != "sent":
        return Answer(f"Sent to Stella Connect, which reports: “{status}”.")
    if status:
        return Answer("Sent, and delivered. Not answered yet.")
    return Answer("Sent: Stella Connect took it. It has not reported the delivery yet.")


def step_title(step: Step) -> str:
    """What happened at a step of the timeline, in a few words."""
    if step.from_state == step.to_state:
        return "Personal data erased"  # the only action that leaves the state as it is
    match step.from_state, step.to_state:
        case None, State.PLANNED:
            return "Closing found, survey planned"
        case None, State.SKIPPED:
            title = "Closing found, skipped"
        case State.SKIPPED, State.PLANNED:
            return "Planned again"
        case State.CLAIMED, State.PLANNED:
            return "Given back, planned again"
        case State.SENDING, State.PLANNED:
            return "Request not taken, planned again"
        case State.UNKNOWN, State.PLANNED:
            return "Settled: planned again"
        case State.UNKNOWN, State.SENT:
            return "Settled: it was taken"
        case _, State.CLAIMED:
            return "Its release began, all is checked once more"
        case _, State.SENDING:
            return "Request on its way"
        case _, State.SENT:
            return "Taken by Stella Connect"
        case _, State.REJECTED:
            return "Refused by Stella Connect"
        case _, State.UNKNOWN:
            return "No clear answer"
        case _, after:
            title = STATES[after]
    return f"{title}: {step.reason.label.lower()}" if step.reason else title
