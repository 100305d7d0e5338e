"""Words of the page about states and outcomes: one sentence that answers, one that says what to do.

Each reason carries its own words: `include.interactions.reasons`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from include.interactions.reasons import Reason
from include.interactions.settings import Settings
from include.interactions.states import State
from include.ledger.queries import Event
from include.ledger.reports.agents import Profile
from include.ledger.reports.listing import Line
from include.ledger.reports.overview import OVERDUE

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
    Profile.UNKNOWN: "Not checked yet",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What happened, in one sentence, and what to do (None: nothing)."""

    sentence: str
    advice: str | None = None


def answer(line: Line, now: datetime, settings: Settings) -> Answer:
    """Say why the customer got a survey, no survey, or no survey yet."""
    match line.state:
        case State.PLANNED:
            return _planned(line, now, settings)
        case State.CLAIMED:
            return Answer("A release is checking it now.")
        case State.SENDING:
            return Answer("A release is sending it now.")
        case State.SENT:
            return _sent(line)
        case State.REJECTED:
            status = f" (HTTP {line.http_status})" if line.http_status else ""
            return Answer(
                f"Not sent: Stella Connect refused it{status}.",
                "The timeline and Stella Connect's API status page show its answer.",
            )
        case State.UNKNOWN:
            return Answer(
                "Outcome unknown: the request was sent, but no clear answer came back.",
                "Stella Connect is asked every 15 minutes. If the outcome is still unknown after 6 hours, look it "
                "up there and settle it.",
            )
        case State.CANCELLED | State.SKIPPED:
            if line.reason is None:
                return Answer("Not sent: the ledger holds no reason.")
            if line.reason is Reason.AGENT_PROFILE_NOT_APPROVED and line.agent.erased:
                return Answer(
                    f"Not sent: {line.reason.because}.",
                    "It cannot be planned again: the addresses have been erased.",
                )
            return Answer(f"Not sent: {line.reason.because}.", line.reason.advice)


def _planned(line: Line, now: datetime, settings: Settings) -> Answer:
    if line.due_at + timedelta(seconds=settings.expire_after_seconds) < now:
        becomes = {"count": "counted without a survey", "send": "sent", "skip": "skipped"}
        return Answer(f"Overdue past its expiry: it will be {becomes[settings.on_expired]} by the next release.")
    if line.due_at < now - OVERDUE:
        return Answer(
            "Overdue: it should have been sent already.",
            "Check whether the hourly runs succeed. The next successful run sends it.",
        )
    if line.agent_profile == Profile.NOT_APPROVED:
        return Answer(
            "At risk: it will be skipped unless the agent's Stella Connect profile is approved before it is due.",
            "Approve the profile in Stella Connect.",
        )
    if line.do_not_send:
        return Answer("It waits for its due time. It will count for the agent; the customer gets no survey.")
    if line.do_not_send is None:
        return Answer(
            "Waits: Kustomer masks whether the customer opted out.",
            "Put a key with “Read Sensitive” into the connection. Past its expiry it gets no survey.",
        )
    if line.attempts:
        return Answer("It waits for the next release: Stella Connect did not take an earlier request.")
    return Answer("It waits for its due time. All checks have passed so far.")


def _sent(line: Line) -> Answer:
    if line.answered_at:
        stars = f" with {line.rating} of 5 stars" if line.rating is not None else ""
        return Answer(f"Sent and answered{stars}.")
    status = line.delivery_status or ""
    if line.counts_only:
        return Answer("Sent only to be counted: the customer gets no survey.")
    if status and status.casefold() != "sent":
        return Answer(f"Sent to Stella Connect, which reports: “{status}”.")
    if status:
        return Answer("Sent and delivered. Not answered yet.")
    return Answer("Sent: Stella Connect took it but has not reported the delivery yet.")


def step_title(step: Event) -> str:
    """Say in a few words what happened at a step of the timeline."""
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
            return "Settled: Stella Connect had taken it"
        case _, State.CLAIMED:
            return "Release started: everything is checked again"
        case _, State.SENDING:
            return "Request being sent"
        case _, State.SENT:
            return "Taken by Stella Connect"
        case _, State.REJECTED:
            return "Refused by Stella Connect"
        case _, State.UNKNOWN:
            return "No clear answer"
        case _, after:
            title = STATES[after]
    return f"{title}: {step.reason.label.lower()}" if step.reason else title
