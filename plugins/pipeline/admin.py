"""The DAG `interaction_ledger_admin`: its form, its documentation, and the tasks that carry out an action."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.interactions.actor import Actor
from include.ledger import ActionRefusedError
from plugins.pipeline.action_fields import FIELDS, Field
from plugins.pipeline.actions import ACTIONS, APPLY_RETENTION, Action, Order
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import actor_of, canonical_line, open_ledger, origin_of

log = logging.getLogger(__name__)

WHAT = "What to do"
"""The first section of the form."""
RETAINED_ON = "retained_on"
"""The ledger's memory of the last day (UTC) on which the retention was applied."""
_SENT_NEXT = ("planned", "due_now")
"""Counts of interactions that wait for a run after the action."""


def admin_params() -> dict[str, Param]:
    """Return the trigger form."""
    titles = {name: action.title for name, action in ACTIONS.items()}
    return {
        "action": Param(
            next(iter(ACTIONS)),
            type="string",
            enum=list(ACTIONS),
            values_display=titles,
            title="Action",
            description="The DAG's documentation explains each action.",
            section=WHAT,
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="Only say what would change. Switch it off to change it.",
            section=WHAT,
        ),
        **{name: _param(field) for name, field in FIELDS.items()},
    }


def documentation() -> str:
    """Return the documentation of the DAG, in Markdown."""
    actions = "\n\n".join(
        f"**{action.title}**{_needed_fields(action)}: {action.explanation}" for action in ACTIONS.values()
    )
    return _DOCUMENTATION.format(actions=actions)


def check_form(context: Context) -> None:
    """Check the form before anything is touched.

    Raises:
        AirflowFailException: a field is missing, superfluous or wrong; the message names each.
    """
    action, dry_run, _ = _read_form(context)
    log.info(canonical_line("admin.asked", {"action": action.name, "dry_run": dry_run}))


def carry_out(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Do what the form asks, or in a dry run say what would change.

    Returns:
        `action`, `dry_run`, counts and the `outcome` in words; for `show_history` `events` instead. No names or
        addresses of customers or agents.

    Raises:
        AirflowFailException: the form is wrong, or does not fit what the ledger holds. Nothing has changed.
    """
    action, dry_run, values = _read_form(context)
    return _perform(action, Order(open_ledger(organisation), organisation, _person(context), dry_run, values))


def retain(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Erase names, addresses and comments of interactions settled more than `personal_data_retention_days` ago.

    The daily call; the history of each interaction names the run and the setting.

    Raises:
        AirflowSkipException: a scheduled run has done it today (UTC).
    """
    ledger, today = open_ledger(organisation), datetime.now(UTC).date().isoformat()
    last = ledger.get_fact(RETAINED_ON)
    if last is not None and last.value == today and origin_of(context) == "schedule":
        raise AirflowSkipException("The retention has been applied today.")
    order = Order(ledger, organisation, _person(context), dry_run=False, values={})
    result = _perform(APPLY_RETENTION, order)
    ledger.set_fact(RETAINED_ON, today)
    return result


def describe_outcome(action: Action, facts: Mapping[str, Any], organisation: Organisation) -> str:
    """Say in words what an action did, or would do, for the person who started it."""
    parts = [f"{facts[name]:,} {words}" for name, words in action.outcomes.items() if facts.get(name)]
    outcome = ", ".join(parts) or "there is nothing to do"
    for name, words in (("by_reason", "Planned again, by former reason"), ("left_by_reason", "Left, by reason")):
        if counts := facts.get(name):
            outcome += f". {words}: " + ", ".join(
                f"{reason} {number:,}" for reason, number in sorted(counts.items())
            )
    if facts["dry_run"]:
        return f"Dry run, nothing has changed. With it switched off: {outcome}."
    if any(facts.get(name) for name in _SENT_NEXT):
        return f"Done: {outcome}. The next hourly run of {organisation.dag_id} sends it, or a manual run."
    return f"Done: {outcome}."


def _perform(action: Action, order: Order) -> dict[str, Any]:
    try:
        result = action.carry_out(order)
    except ActionRefusedError as refusal:
        raise AirflowFailException(f"{refusal} Nothing has changed.") from None
    if not action.changes_something:
        counts = {key: len(found) for key, found in result.items() if not isinstance(found, str)}
        log.info(canonical_line("admin", {"action": action.name, **counts}))
        return {"action": action.name, **result}
    facts = {"action": action.name, "dry_run": order.dry_run, **result}
    log.info(canonical_line("admin", facts))
    outcome = describe_outcome(action, facts, order.organisation)
    log.info(outcome)
    return {**facts, "outcome": outcome}


def _read_form(context: Context) -> tuple[Action, bool, dict[str, Any]]:
    """Return the action, whether it is a dry run, and the values of the fields that were filled in."""
    params: Mapping[str, Any] = context["params"]
    name = str(params.get("action"))
    if name not in ACTIONS:
        raise AirflowFailException(f"'action' = {name!r:.80} is not an action; allowed: {', '.join(ACTIONS)}.")
    action, dry_run = ACTIONS[name], params.get("dry_run", True)
    given = {name: text for name in FIELDS if (text := str(params.get(name) or "").strip())}
    faults = [f"{name!r} is needed" for name in action.needs if name not in given]
    faults += [f"{name!r} has no meaning here" for name in given if name not in (*action.needs, *action.allows)]
    if not isinstance(dry_run, bool):
        faults.append("'dry_run' is neither true nor false")
    values = {}
    for name, text in given.items():
        try:
            values[name] = FIELDS[name].value_of(text)
        except ValueError as fault:
            faults.append(f"{name!r} {fault}")
    if faults:
        raise AirflowFailException(
            f"The form does not fit the action {action.name!r}: {'; '.join(faults)}. Nothing has changed."
        )
    return action, dry_run, values


def _param(field: Field) -> Param:
    users = [action.title.lower() for action in ACTIONS.values() if field in action.fields]
    form = dict(field.form)
    if field.choices:
        form |= {"enum": [None, *field.choices], "values_display": dict(field.choices)}
    return Param(
        None,
        type=["null", "string"],
        title=field.title,
        description=f"{field.description} For: {'; '.join(users)}.",
        section=field.section,
        **form,
    )


def _needed_fields(action: Action) -> str:
    titles = [FIELDS[name].title.lower() for name in action.needs]
    return f" (needs {', '.join(titles)})" if titles else ""


def _person(context: Context) -> Actor:
    """Return who acts: the Airflow user who triggered the run, if Airflow knows, and the run."""
    return replace(actor_of(context), person=getattr(context["dag_run"], "triggering_user_name", None))


_DOCUMENTATION = """
### Actions on interactions

**Trigger** this DAG, choose an action, fill in the fields that it needs and leave the others empty. **Dry run** is
on by default: it tries the action and undoes it. The log and the XCom of *carry_out* show what would change. A
request that does not fit what the ledger holds fails with a message and changes nothing.

{actions}

#### Good to know

- Each action adds an event to the history, with the Airflow user who triggered the run (if Airflow knows), the run
  and the reason. The event of a later erasure has the same state before and after, and the reason `erased`.
- If a conversation has several matching closings, the message asks for *closed at*.
- Airflow keeps and shows the Params of a run. Erase by **customer id** if you can. Otherwise delete the run
  afterwards. The tasks print no address.
- No action changes Kustomer, Stella Connect, Airflow's own records or backups.
"""
