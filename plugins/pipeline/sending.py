"""Sends single interactions: the commit before the request, one POST, its outcome.

The order of steps is the promise: at most one POST per interaction by itself; an unknown outcome is looked up,
never repeated on a timer. The ledger alone changes states; this module only decides which change to ask for.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy.exc import OperationalError

from include.interactions.actor import Actor
from include.interactions.cap import Capped
from include.interactions.evidence import Refusals, requests_at_once
from include.interactions.feedback_request import at_expiry, channel_for, feedback_request
from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.sender_limit import SenderLimit
from include.interactions.settings import Settings
from include.interactions.states import State
from include.interactions.survey_plan import SurveyPlanner
from include.ledger import Ledger
from plugins.pipeline.ledger_retries import ledger_attempts, retry_ledger
from plugins.pipeline.release_counts import ReleaseCounts
from plugins.pipeline.second_look import Ready, opt_out_of
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import (
    KeyFault,
    NeverSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    VendorApiError,
)

log = logging.getLogger(__name__)

SENDING_LEASE = timedelta(minutes=5)
"""How long a row may be `sending`: half of it is longer than the POST's timeouts together."""
MAX_UNKNOWN_IN_A_ROW = 5
"""So many unknown outcomes in a row are an outage: stop before it makes the whole window unknown."""
HELD_BACK = "refused like those before it"
"""Detail of an interaction that is planned again, since the refusal may not be about it."""
REFUSALS = "refusals_in_a_row"
"""The ledger's fact: how many requests Stella Connect refused since it last took one."""


class RefusedAlike(AirflowFailException):
    """Stella Connect refuses one interaction after the other; what was not sent is planned as before."""


class _Suspect(NamedTuple):
    """An interaction that was answered with 401 or 403: the key is refused, or only its content."""

    claimed: ClaimedInteraction
    fault: KeyFault
    refused_before: datetime | None
    """When it got such an answer the time before."""


class _Begun(NamedTuple):
    """How things stood when a request began."""

    suspect: _Suspect | None
    refusals: int
    """In a row until then."""


class Sender:
    """Sends interactions for one release, by several threads at once, and stops if going on would cost too many."""

    def __init__(
        self,
        ledger: Ledger,
        stella_connect: StellaConnectHook,
        settings: Settings,
        *,
        web_url: str,
        by: Actor,
        counts: ReleaseCounts,
        planner: Callable[[], SurveyPlanner],
    ) -> None:
        self._planner = planner
        self.ledger = ledger
        self.stella_connect = stella_connect
        self.settings = settings
        self.web_url = web_url
        self.by = by
        self.counts = counts
        self.stop: VendorApiError | None = None
        """Why the senders try nothing further at the moment."""
        self._turn = threading.Condition(threading.RLock())
        self._limit = SenderLimit(settings.max_senders)
        self._under_way = 0
        self._taken = 0
        self._unknown_in_a_row = 0
        self._refusals = Refusals(int(fact.value) if (fact := ledger.get_fact(REFUSALS)) else 0).resumed()
        self._latest_refusal: Refused | None = None
        self._latest_channel = ""
        self._suspect: _Suspect | None = None
        self._not_taken: dict[int, int] = {}
        """Interactions that were refused, by row id: how many others had been taken then."""

    def send(self, ready: Ready) -> bool:
        """Send one interaction; False if it was not taken, or left alone as the release is stopping."""
        with self._turn:
            self._turn.wait_for(lambda: self.stop is not None or self._under_way < self._allowed())
            if self.stop is not None:
                return False
            self._under_way += 1
            begun = _Begun(self._suspect, self._refusals.number)
        try:
            return self._send(ready, begun)
        finally:
            with self._turn:
                self._under_way -= 1
                self._turn.notify_all()

    def waiting(self) -> list[int]:
        """List the interactions that are not sent again before another one was taken."""
        return [row_id for row_id, taken in self._not_taken.items() if taken == self._taken]

    def resume(self) -> None:
        """Begin anew after a pause."""
        self.stop, self._unknown_in_a_row = None, 0

    def conclude(self) -> None:
        """Decide, at the end of a release, about what was refused and had no other interaction to compare with.

        Raises:
            KeyFault: the key is refused.
            RefusedAlike: Stella Connect took nothing after it had refused several in a row.
        """
        if self._suspect is not None:
            if not self._taken and not self._was_sent_since(self._suspect.refused_before):
                raise self._suspect.fault
            self._put_suspect_aside()
        if self._latest_refusal is None or not (waiting := self.waiting()):
            return
        if not self._taken:
            raise self.refused_alike(self._latest_refusal)
        log.warning("%d interactions were refused after the last one taken; the next run decides", len(waiting))

    def refused_alike(self, refusal: Refused) -> RefusedAlike:
        """Return the exception that says what is likely wrong."""
        words = refusal.text or refusal.code or "no words"
        return RefusedAlike(
            f"Stella Connect (connection {self.stella_connect.conn_id!r}) refused {self._refusals.number} requests "
            f"in a row and took none in between; the last answer was {refusal.status}, {words}. Most likely the "
            f"channel {self._latest_channel!r}, a brand or a language is not enabled for the account, or the host "
            f"is wrong. What was not sent stays planned; the next run tries a few."
        )

    def _allowed(self) -> int:
        return requests_at_once(
            self._limit.at_once, self._refusals, taken=self._taken > 0, key_in_doubt=self._suspect is not None
        )

    def _send(self, ready: Ready, begun: _Begun) -> bool:
        claimed, now = ready.claimed, datetime.now(UTC)
        fate = at_expiry(claimed.interaction, now, self.settings)
        if fate == "skip":
            self.veto(claimed, State.SKIPPED, Reason.EXPIRED)
            return True
        request = self._request(ready, without_survey=fate == "count")
        if not request.get("do_not_send") and (later := self._planner().put_off_until(claimed.interaction, now)):
            self._put_off(claimed, later)
            return True
        try:
            lease_until = self._start(ready, request)
        except OperationalError:
            return self._give_up_start(claimed)
        if isinstance(lease_until, Capped):
            self.veto(claimed, State.SKIPPED, Reason.CAPPED, lease_until.detail)
            return True
        if lease_until is None:
            self.counts.add("lost")
            return True
        now = datetime.now(UTC)
        if now < claimed.interaction.due_at:  # the clock was set back since the claim
            self._settle(claimed, State.PLANNED, detail="not due any more")
            return False
        if now >= lease_until - SENDING_LEASE / 2:
            # Stopped (a debugger, a suspended machine) between the commit and here: others may count the lease
            # as over. Nothing has left, and only we can know it.
            self._settle(claimed, State.PLANNED, detail="lease over before the POST")
            return False
        return self._post(claimed, request, begun)

    def _start(self, ready: Ready, request: dict[str, Any]) -> datetime | Capped | None:
        """Commit the step to `sending`; over the cap the request becomes one without a survey, or it is no step."""
        releasing, cap = self.ledger.releasing, self.settings.cap
        if cap is None or request.get("do_not_send"):
            return releasing.start_sending(ready.claimed, SENDING_LEASE, request, ready.note)
        started = releasing.start_capped(ready.claimed, SENDING_LEASE, request, cap, ready.note)
        if not isinstance(started, Capped) or cap.over == "skip":
            return started
        request["do_not_send"] = True
        self.counts.add("capped")
        return releasing.start_sending(ready.claimed, SENDING_LEASE, request, f"capped: {started.detail}")

    def _put_off(self, claimed: ClaimedInteraction, later: datetime) -> None:
        put_off = retry_ledger(self.ledger.releasing.put_off, claimed, later, "outside the send window")
        self.counts.add("put_off" if put_off else "lost")

    def _request(self, ready: Ready, *, without_survey: bool) -> dict[str, Any]:
        interaction = ready.claimed.interaction
        by_rule = ready.counts_only or interaction.survey == "count"
        counts_only = without_survey or by_rule or opt_out_of(ready, self.settings) != "no"
        return feedback_request(
            interaction,
            employee_email=ready.employee_email,
            web_url=self.web_url,
            channel=channel_for(interaction, self.settings),
            do_not_send=counts_only,
        )

    def _give_up_start(self, claimed: ClaimedInteraction) -> bool:
        """Plan an interaction again whose step to `sending` may or may not have been committed.

        Nothing has left, and only we can know it. The order matters: giving back waits for a step that the database
        is still at.
        """
        words = "ledger lost before the POST"
        releasing = self.ledger.releasing
        if retry_ledger(releasing.give_back, [claimed], detail=words) or retry_ledger(
            releasing.settle, claimed, State.PLANNED, detail=words
        ):
            self.counts.add("not_taken")
        return False

    def _post(self, claimed: ClaimedInteraction, request: dict[str, Any], begun: _Begun) -> bool:
        """Send one request and write its outcome; False if it was not taken and is planned again."""
        late = (datetime.now(UTC) - claimed.interaction.due_at).total_seconds()
        try:
            status = self.stella_connect.send(request)
        except Refused as refusal:
            self._clear_suspect(begun)
            return self._refuse(claimed, refusal, request["channel"])
        except KeyFault as fault:
            self._doubt_key(_Suspect(claimed, fault, self._last_not_taken(claimed, KeyFault.__name__)))
            return False
        except (RateLimited, NeverSent) as fault:
            self._settle(claimed, State.PLANNED, fault.status, type(fault).__name__)
            with self._turn:
                self._limit = self._limit.lowered()
            self._stop_for(fault)
            return False
        except OutcomeUnknown as fault:
            with self._turn:  # before the commit, and in one step: no sender may start another in between
                self._unknown_in_a_row += 1
                self._limit = self._limit.lowered()
                if self._unknown_in_a_row >= MAX_UNKNOWN_IN_A_ROW:
                    self._stop_for(fault)
            self._settle(claimed, State.UNKNOWN, fault.status, str(fault)[:300])
        else:
            self._settle(claimed, State.SENT, status)
            self._note_taken(begun)
            self._clear_suspect(begun)
            self.counts.add_sent(late, do_not_send=bool(request.get("do_not_send")))
        return True

    def _refuse(self, claimed: ClaimedInteraction, refusal: Refused, channel: str) -> bool:
        """Reject an interaction, or plan it again if the refusal may not be about it."""
        with self._turn:
            self._unknown_in_a_row = 0
            self._refusals = refusals = self._refusals.one_more()
            self._latest_refusal, self._latest_channel = refusal, channel
        retry_ledger(self.ledger.set_fact, REFUSALS, str(refusals.number))
        words = refusal.text or refusal.code or str(refusal.status)
        if refusals.concern_the_interaction or self._was_sent_since(self._last_not_taken(claimed, HELD_BACK)):
            self._settle(claimed, State.REJECTED, refusal.status, words)
            return True
        with self._turn:
            self._not_taken[claimed.id] = self._taken
        self._settle(claimed, State.PLANNED, refusal.status, f"{HELD_BACK}: {words}")
        if refusals.concern_the_source:
            self._stop_for(refusal)
        return False

    def _note_taken(self, begun: _Begun) -> None:
        with self._turn:
            self._taken += 1
            self._limit = self._limit.raised()
            self._unknown_in_a_row = 0
            # One that began before the first refusal shows nothing of what came after it.
            ends_refusals = self._refusals.number > 0 and begun.refusals > 0
            if ends_refusals:
                self._refusals = Refusals()
            self._turn.notify_all()
        if ends_refusals:
            retry_ledger(self.ledger.set_fact, REFUSALS, "0")

    def _doubt_key(self, suspect: _Suspect) -> None:
        """Stop if a second, different interaction gets this answer; one alone may be blocked for its content."""
        self._settle(suspect.claimed, State.PLANNED, suspect.fault.status, KeyFault.__name__)
        with self._turn:
            self._not_taken[suspect.claimed.id] = self._taken
            if self._suspect is None:
                self._suspect = suspect
            elif self._suspect.claimed.id != suspect.claimed.id:
                self._stop_for(suspect.fault)

    def _last_not_taken(self, claimed: ClaimedInteraction, words: str) -> datetime | None:
        """Return when this interaction got such an answer before."""
        if not claimed.attempts:
            return None
        return retry_ledger(self.ledger.releasing.find_last_not_taken, claimed.id, words)

    def _was_sent_since(self, since: datetime | None) -> bool:
        return since is not None and retry_ledger(self.ledger.releasing.has_sent_since, since)

    def _clear_suspect(self, begun: _Begun) -> None:
        """Put the suspect aside once a request that began after its answer shows that the key is accepted."""
        with self._turn:
            if begun.suspect is None or self._suspect is not begun.suspect:
                return
        self._put_suspect_aside()

    def _put_suspect_aside(self) -> None:
        with self._turn:
            if self._suspect is None:
                return
            suspect, self._suspect = self._suspect, None
            self._turn.notify_all()
        reason = Reason.REQUEST_BLOCKED
        detail = f"answered {suspect.fault.status} while others were taken"
        if retry_ledger(self.ledger.releasing.put_aside, suspect.claimed.id, reason, detail, self.by):
            self.counts.add(f"{State.SKIPPED}.{reason}")

    def _stop_for(self, fault: VendorApiError) -> None:
        """Let the senders try nothing further; of several faults at once a refused key is the one that counts."""
        with self._turn:
            if not isinstance(self.stop, KeyFault):
                self.stop = fault
            self._turn.notify_all()

    def veto(self, claimed: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> None:
        """End a claimed interaction that must not be sent."""
        if retry_ledger(self.ledger.releasing.veto, claimed, state, reason, detail):
            self.counts.add(f"{state}.{reason}")
        else:
            self.counts.add("lost")

    def _settle(
        self, claimed: ClaimedInteraction, outcome: State, http_status: int | None = None, detail: str | None = None
    ) -> None:
        """Write an outcome and count it; one that the ledger refuses was settled by another process or a person."""
        name = "not_taken" if outcome is State.PLANNED else str(outcome)
        for attempt in ledger_attempts():
            with attempt:
                is_ours = self.ledger.releasing.settle(claimed, outcome, http_status, detail)
        self.counts.add(name)
        if not is_ours:
            log.warning("an outcome (%s) came after the interaction had been settled otherwise", name)
            self.counts.add("lost")
