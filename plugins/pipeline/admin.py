"""What people do to the interaction ledger by hand: the form of `interaction_ledger_admin` and what it starts."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowFailException

from include.interactions.states import State
from include.ledger import ActRefusedError, Ledger
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import actor_of, canonical_line, open_ledger, settings_of

log = logging.getLogger(__name__)

ACTS = {
    "show_history": "Show one conversation's history",
    "cancel": "Cancel a planned interaction",
    "release_now": "Release a planned interaction now",
    "settle_unknown": "Settle an unknown outcome",
    "send_agent_again": "Send an agent's skipped interactions again, after the profile was approved",
    "erase_customer": "Erase a customer",
    "apply_retention": "Erase personal data past the retention",
}
"""Each act and its name in the form."""

_NEEDS = {
    "show_history": ("conversation_id",),
    "cancel": ("conversation_id", "reason"),
    "release_now": ("conversation_id", "reason"),
    "settle_unknown": ("conversation_id", "settle_as", "reason"),
    "send_agent_again": ("agent_email", "reason"),
    "erase_customer": ("customer", "reason"),
    "apply_retention": (),
}
_ONE_CLOSING = ("cancel", "release_now", "settle_unknown")
_SETTLE_AS = {
    str(State.SENT): "sent: Stella Connect took it",
    str(State.PLANNED): "planned: it did not, send it again",
    str(State.CANCELLED): "cancelled: let it be",
}
_OUTCOMES = {
    "planned": "planned again",
    "due_now": "due now",
    "cancelled": "cancelled",
    "sent": "settled as sent",
    "unknown": "unknown, because it may have left before the ledger was restored",
    "erased": "erased",
    "comments": "comments taken out",
    "left": "left skipped (past expiry, closed again, or erased)",
}
"""The counts of an act, after each number; those that are 0 are not told."""
_WHAT, _WHICH, _HOW = "What to do", "To which interactions", "How"


@dataclass(frozen=True, slots=True)
class Request:
    """What the form asks for, checked; fields that the act does not need are None."""

    act: str
    dry_run: bool
    conversation_id: str | None
    closed_at: datetime | None
    agent_email: str | None
    customer: str | None
    settle_as: State | None
    reason: str | None


def admin_params() -> dict[str, Param]:
    """The trigger form."""
    return {
        "act": Param(
            "show_history",
            type="string",
            enum=list(ACTS),
            values_display=ACTS,
            title="Act",
            description="Each act is explained in the DAG's documentation.",
            section=_WHAT,
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="Only say what would change. Switch it off to do it.",
            section=_WHAT,
        ),
        "reason": _text(
            "Reason",
            "Why, for whoever reads the history later. Needed for every act that changes something. Name no "
            "customer here; a ticket number is good.",
            _HOW,
            maxLength=200,
        ),
        "conversation_id": _text(
            "Conversation id",
            "As Kustomer has it. For: show history, cancel, release now, settle.",
            _WHICH,
        ),
        "closed_at": _text(
            "Closed at",
            "Only where a conversation was closed several times and the act says so: the time of the closing, as "
            "the history shows it.",
            _WHICH,
            format="date-time",
        ),
        "agent_email": _text("Agent's e-mail address", "For: send an agent's interactions again.", _WHICH),
        "customer": _text(
            "Customer",
            "Kustomer's customer id, or an e-mail address. For: erase. Prefer the id: Airflow keeps and shows what "
            "is written here.",
            _WHICH,
        ),
        "settle_as": Param(
            None,
            type=["null", "string"],
            enum=[None, *_SETTLE_AS],
            values_display=_SETTLE_AS,
            title="Settle as",
            description="For: settle an unknown outcome. Look it up in Stella Connect first.",
            section=_HOW,
        ),
    }


def check_form(context: Context) -> None:
    """Find out before anything is touched whether the form makes sense.

    Raises:
        AirflowFailException: a field is missing, superfluous or wrong; the message names each.
    """
    request = _request(context)
    log.info(canonical_line("admin.asked", {"act": request.act, "dry_run": request.dry_run}))


def carry_out(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Do what the form asks, or say what would change.

    Returns:
        `act`, `dry_run`, counts and the `outcome` in words; for `show_history` `events` instead. No names or
        addresses of customers or agents.

    Raises:
        AirflowFailException: the form is wrong, or does not fit what the ledger holds. Nothing has changed.
    """
    request, ledger = _request(context), open_ledger(organisation)
    if request.act == "show_history":
        events = _history(ledger, request.conversation_id or "")
        log.info(canonical_line("admin", {"act": request.act, "events": len(events)}))
        return {"act": request.act, "events": events}
    if request.act == "apply_retention":
        return retain(context, organisation, dry_run=request.dry_run, why=request.reason)
    try:
        counts = _change(ledger, request, context, organisation)
    except ActRefusedError as refusal:
        msg = f"{refusal} Nothing has changed."
        raise AirflowFailException(msg) from None
    return _told({"act": request.act, "dry_run": request.dry_run, **counts}, organisation)


def retain(
    context: Context, organisation: Organisation, *, dry_run: bool = False, why: str | None = None
) -> dict[str, Any]:
    """Erase names, addresses and comments of interactions settled more than `personal_data_retention_days` ago.

    Called by the daily clock as well as by the form; who and why stand in each interaction's history.
    """
    days, ledger = settings_of(context, organisation).personal_data_retention_days, open_ledger(organisation)
    erased = ledger.retain(
        timedelta(days=days), _person(context), why or f"retention of {days} days", dry_run=dry_run
    )
    return _told({"act": "apply_retention", "dry_run": dry_run, "days": days, "erased": erased}, organisation)


def _told(facts: dict[str, Any], organisation: Organisation) -> dict[str, Any]:
    """The facts and the outcome in words, both in the log too."""
    log.info(canonical_line("admin", facts))
    outcome = in_words(facts, organisation)
    log.info(outcome)
    return {**facts, "outcome": outcome}


def in_words(facts: Mapping[str, Any], organisation: Organisation) -> str:
    """What an act did, or would do, for the person who started it."""
    told = [f"{facts[name]:,} {words}" for name, words in _OUTCOMES.items() if facts.get(name)]
    outcome = ", ".join(told) or "there is nothing to do"
    if facts["dry_run"]:
        return f"Dry run, nothing has changed. With it switched off: {outcome}."
    if facts.get("due_now") or facts.get("planned"):
        return f"Done: {outcome}. The next hourly run sends it, or {organisation.dag_id} started by hand."
    return f"Done: {outcome}."


def _change(ledger: Ledger, request: Request, context: Context, organisation: Organisation) -> dict[str, int]:
    by, why, dry_run = _person(context), request.reason or "", request.dry_run
    conversation_id, closed_at = request.conversation_id or "", request.closed_at
    match request.act:
        case "cancel":
            return ledger.cancel(conversation_id, closed_at, by, why, dry_run=dry_run)
        case "release_now":
            return ledger.release_now(conversation_id, closed_at, by, why, dry_run=dry_run)
        case "settle_unknown":
            outcome = request.settle_as or State.SENT
            return ledger.settle_by_hand(conversation_id, closed_at, outcome, by, why, dry_run=dry_run)
        case "send_agent_again":
            expire_after = timedelta(seconds=settings_of(context, organisation).expire_after_seconds)
            return ledger.send_again(request.agent_email or "", expire_after, by, why, dry_run=dry_run)
        case _:
            return ledger.erase_customer(request.customer or "", by, why, dry_run=dry_run)


def _history(ledger: Ledger, conversation_id: str) -> list[dict[str, str | None]]:
    events = [
        {
            "closed_at": one.closed_at.isoformat(),
            "due_at": one.due_at.isoformat(),
            "at": one.at.isoformat(),
            "from": one.from_state,
            "to": one.to_state,
            "reason": one.reason,
            "detail": one.detail,
            "by": one.actor,
        }
        for one in ledger.history(conversation_id)
    ]
    if not events:
        msg = f"The ledger knows no conversation {conversation_id!r:.80}."
        raise AirflowFailException(msg)
    for event in events:
        log.info(canonical_line("event", {key: value for key, value in event.items() if value is not None}))
    return events


def _request(context: Context) -> Request:
    params: Mapping[str, Any] = context["params"]
    act = str(params.get("act"))
    if act not in ACTS:
        msg = f"'act' = {act!r:.80} is not an act; allowed: {', '.join(ACTS)}."
        raise AirflowFailException(msg)
    given = {
        name: str(params.get(name) or "").strip() or None
        for name in ("conversation_id", "closed_at", "agent_email", "customer", "settle_as", "reason")
    }
    needed = _NEEDS[act]
    allowed = {*needed, "reason", *(["closed_at"] if act in _ONE_CLOSING else [])}
    faults = [f"{name!r} is needed" for name in needed if given[name] is None]
    faults += [f"{name!r} has no meaning here" for name, value in given.items() if value and name not in allowed]
    # The values of these fields may be personal data, so no message repeats them.
    if given["agent_email"] and "@" not in given["agent_email"]:
        faults.append("'agent_email' is not an e-mail address")
    if given["reason"] and "@" in given["reason"]:
        faults.append("'reason' holds an e-mail address, and must not tell of a person")
    if given["settle_as"] and given["settle_as"] not in _SETTLE_AS:
        faults.append(f"'settle_as' is not one of {', '.join(_SETTLE_AS)}")
    closed_at = _instant(given["closed_at"], faults)
    if not isinstance(params.get("dry_run", True), bool):
        faults.append("'dry_run' is neither true nor false")
    if faults:
        msg = f"The form does not fit the act {act!r}: {'; '.join(faults)}. Nothing has changed."
        raise AirflowFailException(msg)
    return Request(
        act=act,
        dry_run=params.get("dry_run", True),
        conversation_id=given["conversation_id"],
        closed_at=closed_at,
        agent_email=given["agent_email"],
        customer=given["customer"],
        settle_as=State(given["settle_as"]) if given["settle_as"] else None,
        reason=given["reason"],
    )


def _instant(text: str | None, faults: list[str]) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        faults.append("'closed_at' is not a time; allowed: ISO 8601, such as 2026-01-05T10:00:00Z")
        return None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)


def _person(context: Context) -> str:
    """Who acts: the Airflow user who triggered the run, if Airflow knows, and the run."""
    user = getattr(context["dag_run"], "triggering_user_name", None)
    return f"{user} ({actor_of(context)})" if user else actor_of(context)


def _text(title: str, description: str, section: str, **form: Any) -> Param:
    return Param(None, type=["null", "string"], title=title, description=description, section=section, **form)
