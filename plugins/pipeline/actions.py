"""The actions of `interaction_ledger_admin`: everything there is to say about each, in one entry.

The trigger form, its checks, the page's form, the DAG's documentation and the README's table follow from the
entries. Besides its entry an action needs only its function and the ledger's method.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from include.interactions.actor import Actor
from include.interactions.settings import Settings
from include.ledger import Ledger
from include.ledger.planning_again import EndedFilter
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.action_fields import FIELDS, Field
from plugins.pipeline.checking.vendor_check import check_vendors, describe
from plugins.pipeline.planning_again import plan_again
from plugins.pipeline.served_organisation import accept_organisation
from plugins.pipeline.simulating import DEFAULT_DAYS, simulate_rules
from plugins.pipeline.surveying import make_planner
from plugins.runtime.failures import fail_for_good
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import canonical_line, configured_settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for, checked: the function of the action gets nothing else."""

    ledger: Ledger
    organisation: Organisation
    by: Actor
    dry_run: bool
    values: Mapping[str, Any]
    """The fields that were filled in. A needed one is there: reading one that is missing raises KeyError."""

    @property
    def closing(self) -> tuple[str, Any]:
        """The conversation's id, and the time of its closing if the person gave one."""
        return self.values["conversation_id"], self.values.get("closed_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What people can do with interactions."""

    name: str
    title: str
    """For the form."""
    explanation: str
    """For the DAG's documentation and the README: what happens, in whole sentences (Markdown)."""
    needs: tuple[str, ...]
    """Names of the fields that must be filled in."""
    allows: tuple[str, ...] = ()
    """Names of the fields that may be filled in besides."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Words after each count of the result; a count of 0 is not mentioned."""
    carry_out: Callable[[Order], Mapping[str, Any]]
    """Does it, or with `dry_run` undoes it, and returns counts. No names or addresses."""
    changes_something: bool = True
    """Whether a dry run makes a difference."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of its form, in the form's order."""
        return tuple(field for name, field in FIELDS.items() if name in (*self.needs, *self.allows))


def _show_history(order: Order) -> Mapping[str, Any]:
    conversation_id = order.values["conversation_id"]
    events = [
        {
            "closed_at": event.closed_at.isoformat(),
            "due_at": event.due_at.isoformat(),
            "at": event.at.isoformat(),
            "from": event.from_state,
            "to": event.to_state,
            "reason": event.reason,
            "detail": event.detail,
            "by": event.by and str(event.by),
        }
        for event in order.ledger.history(conversation_id)
    ]
    if not events:
        raise AirflowFailException(f"The ledger knows no conversation {conversation_id!r:.80}.")
    for event in events:
        log.info(canonical_line("event", {key: value for key, value in event.items() if value is not None}))
    return {"events": events}


def _cancel(order: Order) -> Mapping[str, Any]:
    return order.ledger.admin.cancel(*order.closing, order.by, order.values["reason"], dry_run=order.dry_run)


def _release_now(order: Order) -> Mapping[str, Any]:
    settings = configured_settings(order.organisation)
    any_time = order.values.get("outside_window") == "yes"
    is_open = None
    if settings.send_window and not any_time:
        with _kustomer(order, settings) as kustomer:
            is_open = partial(make_planner(kustomer, settings).is_open, datetime.now(UTC))
    return order.ledger.admin.release_now(
        *order.closing,
        order.by,
        order.values["reason"],
        is_open=is_open,
        any_time=any_time,
        dry_run=order.dry_run,
    )


def _settle_unknown(order: Order) -> Mapping[str, Any]:
    values = order.values
    return order.ledger.admin.settle(
        *order.closing, values["settle_as"], order.by, values["reason"], dry_run=order.dry_run
    )


def _send_agent_again(order: Order) -> Mapping[str, Any]:
    expire_after = timedelta(seconds=configured_settings(order.organisation).expire_after_seconds)
    values = order.values
    return order.ledger.admin.send_again(
        values["agent_email"], expire_after, order.by, values["reason"], dry_run=order.dry_run
    )


def _plan_again(order: Order) -> Mapping[str, Any]:
    settings, values = configured_settings(order.organisation), order.values
    why = values["reason"]
    chosen = EndedFilter(
        closed_from=values["closed_from"],
        closed_until=values.get("closed_until"),
        state=values.get("ended_as"),
        reason=values.get("ended_for"),
        detail=values.get("detail"),
        agent_email=values.get("agent_email"),
    )
    with fail_for_good(), _kustomer(order, settings) as kustomer:
        return plan_again(order.ledger, kustomer, settings, chosen, order.by, why, dry_run=order.dry_run)


def _erase_customer(order: Order) -> Mapping[str, Any]:
    values = order.values
    return order.ledger.admin.erase_customer(values["customer"], order.by, values["reason"], dry_run=order.dry_run)


def _apply_retention(order: Order) -> Mapping[str, Any]:
    settings = configured_settings(order.organisation)
    days, cap = settings.personal_data_retention_days, settings.cap
    why = order.values.get("reason") or f"retention of {days} days"
    return {
        "days": days,
        "erased": order.ledger.admin.retain(
            timedelta(days=days),
            order.by,
            why,
            keep_keys=cap.span if cap else timedelta(0),
            dry_run=order.dry_run,
        ),
    }


def _kustomer(order: Order, settings: Settings) -> KustomerHook:
    per_minute = settings.kustomer_requests_per_minute
    return KustomerHook(order.organisation.kustomer_connection, requests_per_minute=per_minute)


def _simulate_rules(order: Order) -> Mapping[str, Any]:
    settings = configured_settings(order.organisation)
    days = order.values.get("days_back", DEFAULT_DAYS)
    with _kustomer(order, settings) as kustomer:
        return simulate_rules(order.ledger, kustomer, settings, order.values.get("rules"), days)


def _check_vendors(order: Order) -> Mapping[str, Any]:
    checked = check_vendors(order.ledger, order.organisation, configured_settings(order.organisation))
    outcome = describe(checked.report)
    log.info(outcome)
    return {"findings": checked.report["findings"], "outcome": f"{outcome} The view Vendors shows every line."}


def _write_answers_again(order: Order) -> Mapping[str, Any]:
    conversation_id, why = order.values.get("conversation_id"), order.values["reason"]
    return {"answers": order.ledger.writing.write_again(conversation_id, why, dry_run=order.dry_run)}


def _recover_again(order: Order) -> Mapping[str, Any]:
    conversation_id, why = order.values.get("conversation_id"), order.values["reason"]
    return {"actions": order.ledger.recovery.take_again(conversation_id, why, dry_run=order.dry_run)}


def _accept_organisation(order: Order) -> Mapping[str, Any]:
    with fail_for_good(), KustomerHook(order.organisation.kustomer_connection) as kustomer:
        return accept_organisation(
            order.ledger, kustomer, f"{order.by.run_id}: {order.values['reason']}", dry_run=order.dry_run
        )


_DOUBTED = "unknown, because it may have been sent before the ledger was restored"

APPLY_RETENTION = Action(
    name="apply_retention",
    title="Erase personal data past the retention",
    explanation="Erases names, addresses, ids, tags and answers of interactions that were settled more than "
    "`personal_data_retention_days` ago. The feedback DAG does this every day.",
    needs=(),
    allows=("reason",),
    outcomes={"erased": "erased"},
    carry_out=_apply_retention,
)
_ALL = (
    Action(
        name="show_history",
        title="Show one conversation's history",
        explanation="Writes every event with its time, reason, person and run to the log and to XCom. It shows no "
        "data of the customer.",
        needs=("conversation_id",),
        allows=("reason",),
        carry_out=_show_history,
        changes_something=False,
    ),
    Action(
        name="cancel",
        title="Cancel a planned interaction",
        explanation="The interaction becomes `cancelled` (`by_hand`). The customer gets no survey.",
        needs=("conversation_id", "reason"),
        allows=("closed_at",),
        outcomes={"cancelled": "cancelled"},
        carry_out=_cancel,
    ),
    Action(
        name="release_now",
        title="Release a planned interaction now",
        explanation="The interaction falls due now, and its expiry counts from now. The next hourly run checks and "
        "sends it; to send it at once, trigger the pipeline's DAG. If the send window is closed, fill in *Outside "
        "the send window*.",
        needs=("conversation_id", "reason"),
        allows=("closed_at", "outside_window"),
        outcomes={"due_now": "due now"},
        carry_out=_release_now,
    ),
    Action(
        name="settle_unknown",
        title="Settle an unknown outcome",
        explanation="Look the conversation id up in Stella Connect first. If it is there, settle as `sent`. If "
        "not, settle as `planned`, which sends it again, or as `cancelled`. What Data Return has shown can only be "
        "settled as `sent`.",
        needs=("conversation_id", "settle_as", "reason"),
        allows=("closed_at",),
        outcomes={
            "sent": "settled as sent",
            "planned": "planned again",
            "cancelled": "cancelled",
        },
        carry_out=_settle_unknown,
    ),
    Action(
        name="send_agent_again",
        title="Send an agent's skipped interactions again",
        explanation="Use it after Stella Connect approved the agent's profile. Interactions skipped as "
        "`agent_profile_not_approved` are planned again if they are within `expire_after_seconds` of their due "
        "time. The next run checks the profile again and sends them.",
        needs=("agent_email", "reason"),
        outcomes={
            "planned": "planned again",
            "unknown": _DOUBTED,
            "left": "left skipped (past expiry, closed again, or erased)",
        },
        carry_out=_send_agent_again,
    ),
    Action(
        name="plan_again",
        title="Plan again what ended without a survey",
        explanation="Reads skipped, cancelled and rejected interactions again from Kustomer and plans what "
        "extraction would plan today. Interactions that a person cancelled need *Ended for* `by_hand`. The next "
        "run checks them again; past their expiry `on_expired` decides.",
        needs=("closed_from", "reason"),
        allows=("closed_until", "ended_as", "ended_for", "detail", "agent_email"),
        outcomes={
            "planned": "planned again",
            "unknown": _DOUBTED,
            "left": "left as they are",
            "unread": "not readable in Kustomer, or not closed at that time any more",
        },
        carry_out=_plan_again,
    ),
    Action(
        name="erase_customer",
        title="Erase a customer",
        explanation="Erases name, address, id, tags and answers of a person everywhere in the ledger, under all "
        "ids and addresses that belong together. Cancels what was planned (`erased`). States, times and counts "
        "stay. If the dry run finds several ids or addresses, people may share an address.",
        needs=("customer", "reason"),
        outcomes={
            "cancelled": "cancelled",
            "erased": "interactions erased",
            "answers": "answers erased",
            "customer_ids": "customer ids found",
            "addresses": "addresses found",
        },
        carry_out=_erase_customer,
    ),
    APPLY_RETENTION,
    Action(
        name="write_answers_again",
        title="Write answers to Kustomer again",
        explanation="Answers that could not be written (state `failed`) wait again for the next run of the "
        "feedback DAG. If it was unknown whether Kustomer took a note, look at the conversation first: a note that "
        "does not show is written again. Without a conversation id: all of them.",
        needs=("reason",),
        allows=("conversation_id",),
        outcomes={"answers": "answers wait to be written"},
        carry_out=_write_answers_again,
    ),
    Action(
        name="recover_again",
        title="Repeat failed actions after bad answers",
        explanation="Actions of the setting `recovery` that failed wait again for the next run of the feedback "
        "DAG. If it is unknown whether a note or message was sent, look first: one that does not show in Kustomer "
        "is sent again. Without a conversation id: all of them.",
        needs=("reason",),
        allows=("conversation_id",),
        outcomes={"actions": "actions wait to be taken"},
        carry_out=_recover_again,
    ),
    Action(
        name="simulate_rules",
        title="Simulate rules",
        explanation="Judges the closings of the last days by rules that you write, or by those of the settings. "
        "Counts what would become of them and what would change. Nothing is sent; the page *Rules* shows it.",
        needs=(),
        allows=("rules", "days_back"),
        carry_out=_simulate_rules,
        changes_something=False,
    ),
    Action(
        name="check_vendors",
        title="Check both vendors",
        explanation="Reads from both accounts for up to a minute, sends nothing, and says how they answer and "
        "whether our readings of the vendors' documents hold. The page *Vendors* shows it. If interactions would "
        "be lost, the next run is refused.",
        needs=(),
        carry_out=_check_vendors,
        changes_something=False,
    ),
    Action(
        name="accept_organisation",
        title="Accept another Kustomer organisation",
        explanation="Use it if your Kustomer organisation has changed: the ledger then serves the one whose key "
        "the connection has now. Cancel first what is planned, because it belongs to the old organisation. The dry "
        "run shows both ids.",
        needs=("reason",),
        outcomes={"accepted": "organisation accepted"},
        carry_out=_accept_organisation,
    ),
)
ACTIONS: Mapping[str, Action] = {action.name: action for action in _ALL}
