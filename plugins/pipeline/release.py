"""The release of one window: second look, claim, one POST each, outcome.

The order of steps is the promise: at most one POST per interaction by itself; an unknown outcome is looked up,
never repeated on a timer. The ledger alone changes states; this module only decides which change to ask for.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from include.interactions.actor import Actor
from include.interactions.addresses import same_address
from include.interactions.feedback_request import at_expiry, channel_for, feedback_request, is_expired
from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.opt_out import OptOut, opt_out_at_send
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, read_conversation
from include.interactions.second_look import Veto, second_look
from include.interactions.settings import Settings
from include.interactions.states import State
from include.ledger import Ledger
from plugins.kustomer.hook import KustomerHook
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import (
    KeyFault,
    NeverSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    VendorApiError,
)
from plugins.vendor_api.waiting import pause

log = logging.getLogger(__name__)

BATCH = 100
"""Interactions claimed together: as many as Kustomer returns in one call."""
SENDERS = 8
"""POSTs under way at once: a vendor's answer takes longer than ours to prepare."""
LEASE = timedelta(minutes=5)
"""How long a claim holds without a sign of life; longer than a batch takes, also against a slow vendor."""
SENDING_LEASE = timedelta(minutes=2)
"""How long a row may be `sending`: longer than the POST's timeouts together."""
MOST_PAUSES = 5
"""Pauses in a row, without one interaction getting through, after which the release gives up until later."""
LONGEST_PAUSE_SECONDS = 60.0
UNKNOWN_IN_A_ROW = 5
"""So many unknown outcomes in a row are an outage: stop before it makes the whole window unknown."""
LOOKS_IN_VAIN = 2
"""So many batches in a row that Kustomer does not answer for are an outage. Against a vendor that hangs each takes
minutes; going on, the leases of what is held would run out, and the release would claim it again without end."""
LEDGER_TRIES = 9
"""About a minute, with the waits between them: a restart of PostgreSQL, or a moment without space on the disk."""

P = ParamSpec("P")
T = TypeVar("T")


class ReleaseInterrupted(AirflowException):
    """A vendor does not answer or takes nothing; what was not sent is planned as before."""


class Release:
    """Sends interactions that are due. One instance per task; its counts are the task's result."""

    def __init__(
        self,
        ledger: Ledger,
        kustomer: KustomerHook,
        stella_connect: StellaConnectHook,
        settings: Settings,
        by: Actor,
    ) -> None:
        self.ledger = ledger
        self.kustomer = kustomer
        self.stella_connect = stella_connect
        self.settings = settings
        self.by = by
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter(sent=0)  # an honest zero when others have taken everything
        self._lateness: list[float] = []
        self._unknown_in_a_row = 0
        self._looks_in_vain = 0
        self._stop: VendorApiError | None = None
        self._held: list[ClaimedInteraction] = []

    def window(self, due_from: datetime, due_until: datetime, limit: int | None = None) -> None:
        """Send what is planned, due by the clock now and in [due_from, due_until]; at most `limit` of it.

        Raises:
            KeyFault: a key is refused; nothing further was tried.
            ReleaseInterrupted: Kustomer could not be asked (and `on_recheck_failure` is "hold"), or Stella
                Connect took nothing for `MOST_PAUSES` pauses.
        """
        approved: dict[str, str] | None = None
        pauses, left = 0, limit
        try:
            while left is None or left > 0:
                # also what a slow second look let slip from this release
                retry_ledger(self.ledger.releasing.recover, by=self.by)
                batch = retry_ledger(
                    self.ledger.releasing.claim,
                    due_from,
                    due_until,
                    limit=min(BATCH, left or BATCH),
                    lease=LEASE,
                    by=self.by,
                )
                if not batch:
                    break
                through = self._counts["sent"] + self._counts["rejected"]
                try:
                    if approved is None:
                        approved = self._approved()
                    untaken = self._release(batch, approved)
                except Exception as fault:
                    # Whatever it was: no sender is at work any more, so what is only claimed has not left.
                    self.ledger.releasing.give_back(batch, detail=type(fault).__name__)
                    raise
                left = None if left is None else left - len(batch) + untaken
                if self._held and self._looks_in_vain >= LOOKS_IN_VAIN:
                    break
                if self._stop is None:
                    pauses = 0
                    continue
                stop, self._stop = self._stop, None
                if isinstance(stop, KeyFault):
                    raise stop
                pauses = 1 if self._counts["sent"] + self._counts["rejected"] > through else pauses + 1
                if pauses > MOST_PAUSES:
                    msg = f"Release given up for now, {self._counts['sent']} sent: {stop}"
                    raise ReleaseInterrupted(msg)
                self._pause(stop, pauses)
        finally:
            self.ledger.releasing.give_back(self._held, detail="second look failed")
        if masked := self._counts["opt_out_masked"]:
            msg = (
                f"{masked} interactions are held: Kustomer masks their do-not-send attribute, so the customers may "
                f"have opted out. They stay planned until their expiry. Put a key that may read sensitive values "
                f'("Read Sensitive") into connection {self.kustomer.conn_id!r}.'
            )
            raise ReleaseInterrupted(msg)
        if self._held:
            msg = (
                f"{len(self._held)} interactions are held: Kustomer (connection "
                f"{self.kustomer.conn_id!r}) could not be asked whether they are still closed. They stay "
                f"planned. Setting on_recheck_failure decides this."
            )
            raise ReleaseInterrupted(msg)

    def facts(self) -> dict[str, Any]:
        """Counts by outcome, and the lateness of what was sent in seconds."""
        late = sorted(self._lateness)
        return dict(self._counts) | {
            "late_seconds": {
                "least": round(late[0], 1) if late else None,
                "median": round(late[len(late) // 2], 1) if late else None,
                "most": round(late[-1], 1) if late else None,
            }
        }

    def _release(self, batch: Sequence[ClaimedInteraction], approved: dict[str, str]) -> int:
        """Handle one claimed batch; returns how many were ready and are planned again."""
        ready = self._second_look(batch)
        untaken: list[ClaimedInteraction] = []
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="release") as senders:
            try:
                for (claimed, _), settled in zip(
                    ready, senders.map(lambda one: self._send_one(one[0], one[1], approved), ready), strict=True
                ):
                    if not settled:
                        untaken.append(claimed)
            finally:
                senders.shutdown(wait=True, cancel_futures=True)
        # those that were not even tried
        retry_ledger(
            self.ledger.releasing.give_back, untaken, detail=type(self._stop).__name__ if self._stop else None
        )
        return len(untaken)

    def _approved(self) -> dict[str, str]:
        """The approved profiles as they are now, by comparable address; asked once, and only if anything is due."""
        return {same_address(address): address for address in self.stella_connect.active_employees()}

    def _second_look(
        self, batch: Sequence[ClaimedInteraction]
    ) -> list[tuple[ClaimedInteraction, Conversation | None]]:
        """Cancel what may no longer be sent; returns the rest with their conversations as they are now."""
        try:
            records = self.kustomer.read_conversations([one.interaction.conversation_id for one in batch])
        except KeyFault:
            raise
        except VendorApiError as error:
            log.warning("second look failed for %d interactions: %s", len(batch), error)
            self._looks_in_vain += 1
            return [kept for one in batch if (kept := self._without_second_look(one))]
        self._looks_in_vain = 0
        ready: list[tuple[ClaimedInteraction, Conversation | None]] = []
        for one in batch:
            record = records.get(one.interaction.conversation_id)
            conversation = read_conversation(record) if record is not None else None
            unreadable = record is not None and conversation is None
            verdict = (
                "unreadable"
                if unreadable
                else second_look(one.interaction, conversation, self.settings, self.ledger.releasing.read_state)
            )
            if isinstance(verdict, Veto):
                self._veto(one, State.CANCELLED, verdict.reason, verdict.detail)
            elif verdict == "go" and isinstance(conversation, Conversation):
                if not self._hold_if_masked(one, conversation):
                    ready.append((one, conversation))
            elif kept := self._without_second_look(one):
                ready.append(kept)
        return ready

    def _without_second_look(
        self, claimed: ClaimedInteraction
    ) -> tuple[ClaimedInteraction, Conversation | None] | None:
        if self.settings.on_recheck_failure == "send":
            return None if self._hold_if_masked(claimed, None) else (claimed, None)
        self._held.append(claimed)
        self._count("held")
        return None

    def _opt_out(self, interaction: Interaction, conversation: Conversation | None) -> OptOut:
        shown = None if conversation is None else conversation.opt_out(self.settings.do_not_send_attribute)
        return opt_out_at_send(interaction.do_not_send, shown)

    def _hold_if_masked(self, claimed: ClaimedInteraction, conversation: Conversation | None) -> bool:
        """Hold an interaction whose opt-out is masked, until its expiry: after it, it is sent as opted out."""
        masked = self._opt_out(claimed.interaction, conversation) == "masked"
        if not masked or is_expired(claimed.interaction, datetime.now(UTC), self.settings):
            return False
        self._held.append(claimed)
        self._count("held")
        self._count("opt_out_masked")
        return True

    def _send_one(
        self, claimed: ClaimedInteraction, conversation: Conversation | None, approved: dict[str, str]
    ) -> bool:
        """Send one interaction, or veto it; False if it was not taken, or left alone as the release is stopping."""
        if self._stop is not None:
            return False
        interaction, now = claimed.interaction, datetime.now(UTC)
        employee = approved.get(same_address(interaction.agent_email or ""))
        if employee is None:
            self._veto(claimed, State.SKIPPED, Reason.AGENT_PROFILE_NOT_APPROVED)
            return True
        fate = at_expiry(interaction, now, self.settings)
        if fate == "skip":
            self._veto(claimed, State.SKIPPED, Reason.EXPIRED)
            return True
        request = feedback_request(
            interaction,
            employee_email=employee,
            web_url=self.kustomer.web_url,
            channel=channel_for(interaction, self.settings),
            do_not_send=self._opt_out(interaction, conversation) != "no"
            or fate == "count"
            or interaction.survey == "count",
        )
        try:
            if (lease_until := self.ledger.releasing.start_sending(claimed, SENDING_LEASE, request)) is None:
                self._count("lost")
                return True
        except OperationalError:
            # Nobody can tell whether that was committed, or will be yet. Nothing has left, and only we can know it.
            # Asked in this order, for the first waits for a step that the database is still at.
            words = "ledger lost before the POST"
            if retry_ledger(self.ledger.releasing.give_back, [claimed], detail=words) or retry_ledger(
                self.ledger.releasing.settle, claimed, State.PLANNED, detail=words
            ):
                self._count("not_taken")
            return False
        now = datetime.now(UTC)
        if now < interaction.due_at:  # the clock was set back since the claim
            self._settle(claimed, State.PLANNED, detail="not due any more")
            return False
        if now >= lease_until - SENDING_LEASE / 2:
            # Stopped (a debugger, a suspended machine) between the commit and here: others may count the lease
            # as over. Nothing has left, and only we can know it.
            self._settle(claimed, State.PLANNED, detail="lease over before the POST")
            return False
        return self._post(claimed, request)

    def _post(self, claimed: ClaimedInteraction, request: dict[str, Any]) -> bool:
        """One POST and its outcome; False if it was not taken and the interaction is planned again."""
        late = (datetime.now(UTC) - claimed.interaction.due_at).total_seconds()
        try:
            status = self.stella_connect.send(request)
        except Refused as refusal:
            self._unknown_in_a_row = 0
            words = refusal.text or refusal.code or str(refusal.status)
            self._settle(claimed, State.REJECTED, refusal.status, words)
        except (KeyFault, RateLimited, NeverSent) as fault:
            self._settle(claimed, State.PLANNED, fault.status, type(fault).__name__)
            self._stop_for(fault)
            return False
        except OutcomeUnknown as fault:
            with self._lock:  # before the commit, and in one step: no sender may start another in between
                self._unknown_in_a_row += 1
                if self._unknown_in_a_row >= UNKNOWN_IN_A_ROW:
                    self._stop_for(fault)
            self._settle(claimed, State.UNKNOWN, fault.status, str(fault)[:300])
        else:
            self._settle(claimed, State.SENT, status)
            with self._lock:
                self._unknown_in_a_row = 0
                self._lateness.append(late)
                self._counts["do_not_send"] += bool(request.get("do_not_send"))
        return True

    def _stop_for(self, fault: VendorApiError) -> None:
        """Let the senders try nothing further; of several faults at once a refused key is the one that counts."""
        with self._lock:
            if not isinstance(self._stop, KeyFault):
                self._stop = fault

    def _veto(self, claimed: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> None:
        if retry_ledger(self.ledger.releasing.veto, claimed, state, reason, detail):
            self._count(f"{state}.{reason}")
        else:
            self._count("lost")

    def _settle(
        self, claimed: ClaimedInteraction, outcome: State, http_status: int | None = None, detail: str | None = None
    ) -> None:
        """Write an outcome and count it; one that the ledger refuses was settled by another process or a person."""
        name = "not_taken" if outcome is State.PLANNED else str(outcome)
        for attempt in ledger_attempts():
            with attempt:
                ours = self.ledger.releasing.settle(claimed, outcome, http_status, detail)
        self._count(name)
        if not ours:
            log.warning("an outcome (%s) came after the interaction had been settled otherwise", name)
            self._count("lost")

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _pause(self, stop: VendorApiError, pauses: int) -> None:
        asked = stop.retry_after if isinstance(stop, RateLimited) else None
        seconds = min(asked if asked is not None else 2.0**pauses, LONGEST_PAUSE_SECONDS)
        log.warning("pausing for %.0f s: %s", seconds, stop)
        self._unknown_in_a_row = 0
        pause(seconds)


def retry_ledger(step: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Take a step of the ledger, repeated as `ledger_attempts` says."""
    return ledger_attempts()(step, *given, **named)


def ledger_attempts() -> Retrying:
    """Repeat a step of the ledger while its database is away for a moment.

    For steps that may be done twice. One that was committed although the answer got lost finds the row moved on
    (and says False), or holds rows for nobody until the lease is over (a claim).

    Raises:
        OperationalError: it stayed away.
    """
    return Retrying(
        retry=retry_if_exception_type(OperationalError),
        stop=stop_after_attempt(LEDGER_TRIES),
        wait=wait_exponential_jitter(multiplier=0.5, max=15),
        sleep=pause,
        reraise=True,
    )
