"""Act on unhappy customers' answers: note, tag, message, reopening. Off unless the setting `recovery` says what.

Each action is taken once for each answer. `acting` is committed first, so a process that dies leaves a trace. The
next one looks what was done; if it cannot know, a person decides.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import Context

from include.interactions.closing_facts import comparable
from include.interactions.names import Kind
from include.interactions.records import Conversation, Malformed, read_conversation
from include.interactions.recovery import (
    Recovery,
    RecoveryAction,
    Reopening,
    StepState,
    oldest_of_interest,
    plan_steps,
    thresholds_of,
)
from include.interactions.settings import Settings, SettingsError
from include.interactions.write_back import MAX_NOTE, Answer, cut_units, fill_template
from include.ledger import Ledger, RecoveryStep
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.pipeline.served_organisation import refuse_other_organisation
from plugins.pipeline.surveying import read_names
from plugins.runtime.failures import fail_for_good
from plugins.runtime.metrics import count
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import canonical_line, open_ledger, settings_of
from plugins.runtime.webhook import AlarmWebhookHook, WebhookFailedError
from plugins.vendor_api.errors import (
    ConfigurationError,
    NeverSent,
    NotFound,
    OutcomeUnknown,
    Refused,
    VendorApiError,
)

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
"""Longer than one action with its retries takes."""
MAX_STEPS = 500
"""In one run; the next one goes on."""
MAX_TRIES = 10
"""After so many tries on a conversation that exists and cannot be read, a person must look."""
REOPENINGS_SPAN = timedelta(hours=1)

GONE = "no longer in Kustomer, or merged or spam"

End = tuple[StepState, str | None]
"""What became of a step, and a few words."""
Write = Callable[[], End | None]
"""Changes something outside; None: it was done."""
_ID = re.compile("[0-9a-fA-F]{24}")


def recover_unhappy_customers(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Plan what new answers call for, and take the steps that are open; without the setting nothing is called.

    Raises:
        AirflowFailException: a setting, connection, key or role is wrong. The other steps were taken.
        VendorApiError: Kustomer did not answer. What was not taken stays open; the next run continues there.
    """
    settings = settings_of(context, organisation)
    if not settings.recovery:
        log.info(canonical_line("recovery", {"entries": 0}))
        return {}
    ledger, per_minute = open_ledger(organisation), settings.kustomer_requests_per_minute
    with (
        fail_for_good(),
        KustomerHook(organisation.kustomer_connection, requests_per_minute=per_minute) as kustomer,
    ):
        recovering = Recovering(ledger, kustomer, settings)
        recovering.plan(datetime.now(UTC))
        facts = recovering.take_steps()
        log.info(canonical_line("recovery", facts))
        for name in ("planned", "done", "failed"):
            count(f"recovery.{name}", facts[name], organisation)
        if recovering.faults:
            raise next(iter(recovering.faults.values()))
    return facts


class UnreadableConversationError(Exception):
    """The conversation exists, but what Kustomer says of it cannot be read."""


class Recovering:
    """One run's work on the steps. Repeating it after a crash does nothing twice."""

    def __init__(self, ledger: Ledger, kustomer: KustomerHook, settings: Settings) -> None:
        self.ledger = ledger
        self.kustomer = kustomer
        self.settings = settings
        self.faults: dict[RecoveryAction, Exception] = {}
        """Why an action is not tried further in this run."""
        self._entries: Mapping[str, Recovery] = {entry.name: entry for entry in settings.recovery}
        self._lists: dict[Kind, Mapping[str, str]] = {}
        self._counts: Counter[str] = Counter()

    def plan(self, now: datetime) -> None:
        """Record what is to be done about answers that have no steps yet."""
        entries = self.settings.recovery
        answers = self.ledger.recovery.list_answers_to_judge(
            oldest_of_interest(entries, now), thresholds_of(entries)
        )
        planned = [steps for answer in answers if (steps := plan_steps(answer, entries, now))]
        self._counts["planned"] += self.ledger.recovery.plan(planned)

    def take_steps(self) -> dict[str, Any]:
        """Take the open steps, action by action; return counts without personal data."""
        steps = self.ledger.recovery.list_open(MAX_STEPS)
        if steps:
            refuse_other_organisation(self.ledger, self.kustomer)
        for step in sorted(steps, key=lambda step: list(RecoveryAction).index(step.action)):
            if step.action in self.faults:
                self._counts["waiting"] += 1
            elif step.action is RecoveryAction.REOPEN and self._reopened_enough():
                self._counts["reopenings_stopped"] += 1
            else:
                self._take(step)
        names = ("planned", *StepState, "waiting", "reopenings_stopped", "in_doubt")
        return {name: self._counts[name] for name in names if name != StepState.ACTING}

    def _reopened_enough(self) -> bool:
        since = datetime.now(UTC) - REOPENINGS_SPAN
        return self.ledger.recovery.count_reopened(since) >= self.settings.max_reopenings_per_hour

    def _take(self, step: RecoveryStep) -> None:
        token = retry_ledger(self.ledger.recovery.claim, step, LEASE)
        if token is None:
            return
        step = replace(step, token=token)
        try:
            end = (self._look(step) if step.tries else None) or self._prepare(step)
        except NotFound:
            end = (StepState.GONE, GONE)
        except UnreadableConversationError:
            words = "the conversation cannot be read"
            if step.tries + 1 < MAX_TRIES:
                self._leave(step, words)
                return
            end = (StepState.FAILED, words)
        except (VendorApiError, ConfigurationError, SettingsError) as fault:
            self.faults[step.action] = fault  # what the action needs cannot be read: not tried further in this run
            self._leave(step, type(fault).__name__)
            return
        self._settle(step, end if isinstance(end, tuple) else self._write(step, end))

    def _write(self, step: RecoveryStep, write: Write) -> End | None:
        """Do it; None if it is unknown whether it was done."""
        try:
            return write() or (StepState.DONE, None)
        except NotFound:
            return StepState.GONE, GONE
        except Refused as refusal:
            return StepState.FAILED, f"refused: {refusal.text or refusal.code or refusal.status}"
        except OutcomeUnknown as fault:
            log.warning("The next run looks whether the %s was done: %s", step.action, fault)
            self._counts["in_doubt"] += 1
        except (VendorApiError, ConfigurationError) as fault:
            self.faults[step.action] = fault
            return StepState.PENDING, type(fault).__name__
        return None

    def _leave(self, step: RecoveryStep, why: str) -> None:
        """Leave a step to the next run; this one did nothing."""
        if step.acted_at is None:  # otherwise it stays unknown what a dead process did
            self._settle(step, (StepState.PENDING, why))

    def _settle(self, step: RecoveryStep, end: End | None) -> None:
        if end is None:
            return
        self._counts[end[0]] += 1
        retry_ledger(self.ledger.recovery.settle, step, *end)
        if end[0] is StepState.FAILED:
            log.error("The %s for conversation %s failed: %s", step.action, step.answer.conversation_id, end[1])

    def _look(self, step: RecoveryStep) -> End | None:
        """Find out what an earlier try did; None: nothing, or it may be done again without harm.

        If that try never said what it did, a note or message that does not show is left to a person.
        """
        conversation_id = step.answer.conversation_id
        if step.action is RecoveryAction.NOTE:
            for note in self.kustomer.list_notes(conversation_id):
                if (note.get("attributes") or {}).get("externalId") == _note_id(step.answer):
                    return StepState.DONE, "found in Kustomer"
            return (StepState.FAILED, "it may have been written, and is not in Kustomer") if step.acted_at else None
        if step.action is RecoveryAction.WEBHOOK and step.acted_at:
            return StepState.FAILED, "it may have been delivered"
        if step.action is RecoveryAction.REOPEN:
            conversation = self._read_conversation(conversation_id)
            closed_at = conversation and conversation.closed_at
            if conversation and (conversation.status != "done" or (closed_at and closed_at > step.closed_at)):
                return StepState.DONE, "found reopened"
        return None

    def _prepare(self, step: RecoveryStep) -> End | Write:
        """Read what the action needs; return the write itself, or how the step ends without one."""
        entry = self._entries.get(step.entry)
        if step.erased:
            return StepState.GONE, "erased"
        if entry is None or getattr(entry.then, step.action) is None:
            return StepState.GONE, "the setting has no such action any more"
        answer, then = step.answer.with_link(self.kustomer.web_url), entry.then
        if step.action is not RecoveryAction.WEBHOOK and self._read_conversation(answer.conversation_id) is None:
            return StepState.GONE, GONE
        if then.note and step.action is RecoveryAction.NOTE:
            text = cut_units(fill_template(then.note.text, answer), MAX_NOTE)
            team = then.note.mention_team
            mentions = [{"team": self._id_of("team", team)}] if team else []
            return partial(self._write_note, answer, text, mentions)
        if then.tag and step.action is RecoveryAction.TAG:
            return partial(self.kustomer.add_tags, answer.conversation_id, [then.tag])
        if then.reopen and step.action is RecoveryAction.REOPEN:
            return partial(self.kustomer.update_conversation, answer.conversation_id, self._reopening(then.reopen))
        return partial(_send_message, AlarmWebhookHook(str(then.webhook)), describe(entry, answer))

    def _write_note(self, answer: Answer, text: str, mentions: list[dict[str, str]]) -> None:
        note_id = _note_id(answer)
        self.kustomer.create_note(answer.conversation_id, text, external_id=note_id, mentions=mentions)

    def _reopening(self, reopen: Reopening) -> dict[str, Any]:
        changes: dict[str, Any] = {"status": "open"}
        if reopen.team:
            changes["assignedTeams"] = [self._id_of("team", reopen.team)]
        if reopen.queue:
            changes["queue"] = {"id": self._id_of("queue", reopen.queue)}
        if reopen.priority:
            changes["priority"] = reopen.priority
        return changes

    def _read_conversation(self, conversation_id: str) -> Conversation | None:
        """Return the conversation; None if it is gone, merged away or spam.

        Raises:
            UnreadableConversationError: it exists, and cannot be read.
        """
        record = self.kustomer.read_conversations([conversation_id]).get(conversation_id)
        if record is None:
            return None
        conversation = read_conversation(record) if record else None
        if conversation is None or isinstance(conversation, Malformed):
            raise UnreadableConversationError
        return None if conversation.deleted or conversation.merged_away or conversation.spam else conversation

    def _id_of(self, kind: Kind, text: str) -> str:
        """Return the id for which a setting's name or id stands."""
        if _ID.fullmatch(text):
            return text
        if kind not in self._lists:
            self._lists[kind] = read_names(self.kustomer, kind, "recovery")
        wanted = comparable(text)
        found = [
            identity
            for identity, name in self._lists[kind].items()
            if wanted in (comparable(identity), comparable(name))
        ]
        if len(found) != 1:
            raise SettingsError(f"recovery: Kustomer has {len(found)} {kind}s named {text!r}. Use the id of one.")
        return found[0]


def describe(entry: Recovery, answer: Answer) -> str:
    """Return the message about an answer, without data of the customer beyond the link."""
    values = answer.values
    scores = [f"{name} {values[name]}" for name in ("stars", "nps") if values.get(name) is not None]
    if values.get("resolved") is False:
        scores.append("not resolved")
    return f"{entry.name}: a customer answered ({', '.join(scores)}). {values['url'] or answer.conversation_id}"


def _send_message(webhook: AlarmWebhookHook, text: str) -> End | None:
    try:
        webhook.send(text, attempts=1)
    except WebhookFailedError as failure:
        if failure.never_sent:
            raise NeverSent(
                f"The webhook of connection {webhook.conn_id!r} could not be reached: {failure}"
            ) from None
        return StepState.FAILED, f"it may have been delivered: {failure}"
    return None


def _note_id(answer: Answer) -> str:
    """Return our own id of a note, by which it is found again."""
    return f"recovery-{answer.uuid}"
