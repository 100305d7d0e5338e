"""Sends interactions: the commit before the request, one POST each, its outcome.

The order of steps is the promise: at most one POST per interaction by itself; an unknown outcome is looked up,
never repeated on a timer. The ledger alone changes states; this module only decides which change to ask for.
What is ready, or was answered, at the same moment is committed together.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy.exc import OperationalError

from include.interactions.actor import Actor
from include.interactions.evidence import Refusals, requests_at_once
from include.interactions.feedback_request import at_expiry, channel_for, feedback_request
from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.sender_limit import SenderLimit
from include.interactions.settings import Settings
from include.interactions.states import State
from include.interactions.survey_plan import SurveyPlanner
from include.ledger import Ledger
from include.ledger.releasing import Outcome, SendingStep
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.pipeline.posting import Answer, Begun, Posting, Suspect, post
from plugins.pipeline.release_counts import ReleaseCounts
from plugins.pipeline.second_look import Ready, opt_out_of
from plugins.pipeline.side_tasks import SideTasks
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
SLOW_SECONDS = 5.0
"""A request that has been under way for longer makes room for another one, as long as a thread is free."""
HELD_BACK = "refused like those before it"
"""Detail of an interaction that is planned again, since the refusal may not be about it."""
REFUSALS = "refusals_in_a_row"
"""The ledger's fact: how many requests Stella Connect refused since it last took one."""


class RefusedAlike(AirflowFailException):
    """Stella Connect refuses one interaction after the other; what was not sent is planned as before."""


class Sender:
    """Sends interactions for one release, and stops if going on would cost too many.

    One thread uses it. Only the requests themselves are side tasks, whose results come back to `settle`.
    """

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
        tasks: SideTasks,
    ) -> None:
        self._planner = planner
        self.ledger = ledger
        self.stella_connect = stella_connect
        self.settings = settings
        self.web_url = web_url
        self.by = by
        self.counts = counts
        self.stop: VendorApiError | None = None
        """Why nothing further is tried at the moment."""
        self._tasks = tasks
        self._limit = SenderLimit(settings.max_senders)
        self._under_way: dict[int, Posting] = {}
        self._pauses = 0
        self._taken = 0
        self._unknown_in_a_row = 0
        self._refusals = Refusals(int(fact.value) if (fact := ledger.get_fact(REFUSALS)) else 0).resumed()
        self._latest_refusal: Refused | None = None
        self._latest_channel = ""
        self._suspect: Suspect | None = None
        self._not_taken: dict[int, int] = {}
        """Interactions that were refused, by row id: how many others had been taken then."""
        self.planned_again = False
        """Whether something that may be claimed was planned again; the release sets it back."""

    def room(self) -> int:
        """Return how many requests may begin now."""
        allowed = requests_at_once(
            self._limit.at_once, self._refusals, taken=self._taken > 0, key_in_doubt=self._suspect is not None
        )
        slow_since = time.monotonic() - SLOW_SECONDS
        slow = sum(posting.began_at < slow_since for posting in self._under_way.values())
        return min(allowed + slow, self.settings.max_senders) - len(self._under_way)

    def start(self, ready: Sequence[Ready]) -> None:
        """Commit the step to `sending` of these interactions together, then begin their requests.

        Some end without a request, by expiry or cap, or are put off.
        """
        begun = Begun(self._suspect, self._refusals.number, self._pauses)
        steps = [step for each in ready if (step := self._prepare(each))]
        cap = self.settings.cap
        capped = [step for step in steps if cap is not None and _is_capped(step)]
        committed = self._commit([step for step in steps if step not in capped])
        for step in capped:
            committed += self._commit_capped(step)
        for step, lease_until in committed:
            posting = Posting(step.claimed, step.request, lease_until - SENDING_LEASE / 2, begun)
            self._under_way[step.claimed.id] = posting
            self._tasks.start(post, self.stella_connect, posting)

    def settle(self, answers: Sequence[Answer]) -> None:
        """Write the outcomes, in their order; those of requests that were taken one after the other together."""
        for answer in answers:
            del self._under_way[answer.posting.claimed.id]
        for was_taken, group in groupby(answers, key=lambda answer: answer.status is not None):
            if was_taken:
                self._settle_taken(list(group))
            else:
                for answer in group:
                    self._settle_not_taken(answer)

    def waiting(self) -> list[int]:
        """List the interactions that are not sent again before another one was taken, or decided about the key."""
        waiting = {row_id for row_id, taken in self._not_taken.items() if taken == self._taken}
        return list(waiting if self._suspect is None else waiting | {self._suspect.claimed.id})

    def resume(self) -> None:
        """Begin anew after a pause."""
        self.stop, self._unknown_in_a_row = None, 0
        self._pauses += 1

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

    def _prepare(self, ready: Ready) -> SendingStep | None:
        """Return the step of an interaction that is to be sent now."""
        claimed, now = ready.claimed, datetime.now(UTC)
        fate = at_expiry(claimed.interaction, now, self.settings)
        if fate == "skip":
            self._veto(claimed, State.SKIPPED, Reason.EXPIRED)
            return None
        request = self._request(ready, without_survey=fate == "count")
        if not request.get("do_not_send") and (later := self._planner().put_off_until(claimed.interaction, now)):
            put_off = retry_ledger(self.ledger.releasing.put_off, claimed, later, "outside the send window")
            self.counts.add("put_off" if put_off else "lost")
            return None
        return SendingStep(claimed, request, ready.note)

    def _commit(self, steps: Sequence[SendingStep]) -> list[tuple[SendingStep, datetime]]:
        """Commit `sending`; returns what was started, each with the end of its lease."""
        try:
            started = self.ledger.releasing.start_all(steps, SENDING_LEASE) if steps else []
        except OperationalError:
            self._give_up_start([step.claimed for step in steps])
            return []
        self.counts.add("lost", len(steps) - len(started))
        return started

    def _commit_capped(self, step: SendingStep) -> list[tuple[SendingStep, datetime]]:
        """Commit `sending` if the cap allows it; over the cap it becomes a request without a survey, or no step."""
        cap = self.settings.cap
        assert cap is not None  # noqa: S101  else nothing is capped
        try:
            started = self.ledger.releasing.start_capped(
                step.claimed, SENDING_LEASE, step.request, cap, step.detail
            )
        except OperationalError:
            self._give_up_start([step.claimed])
            return []
        if isinstance(started, datetime):
            return [(step, started)]
        if started is None:
            self.counts.add("lost")
            return []
        if cap.over == "skip":
            self._veto(step.claimed, State.SKIPPED, Reason.CAPPED, started.detail)
            return []
        self.counts.add("capped")
        without_survey = {**step.request, "do_not_send": True}
        return self._commit([SendingStep(step.claimed, without_survey, f"capped: {started.detail}")])

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

    def _give_up_start(self, claimed: Sequence[ClaimedInteraction]) -> None:
        """Plan interactions again whose step to `sending` may or may not have been committed.

        Nothing has left, and only we can know it. The order matters: giving back waits for a step that the database
        is still at.
        """
        words = "ledger lost before the POST"
        releasing = self.ledger.releasing
        planned = retry_ledger(releasing.give_back, claimed, detail=words)
        if planned < len(claimed):
            outcomes = [Outcome(each, State.PLANNED, detail=words) for each in claimed]
            planned += len(retry_ledger(releasing.settle_all, outcomes))
        self.counts.add("not_taken", planned)
        self.planned_again = True

    def _settle_taken(self, answers: Sequence[Answer]) -> None:
        self._write([Outcome(answer.posting.claimed, State.SENT, answer.status) for answer in answers])
        for answer in answers:
            self._note_taken(answer.posting.begun)
            self._clear_suspect(answer.posting.begun)
            self.counts.add_sent(answer.late_seconds, do_not_send=bool(answer.posting.request.get("do_not_send")))

    def _settle_not_taken(self, answer: Answer) -> None:
        claimed, begun = answer.posting.claimed, answer.posting.begun
        match answer.fault:
            case None:
                self._settle(claimed, State.PLANNED, detail=answer.not_sent)
            case Refused() as refusal:
                self._clear_suspect(begun)
                self._refuse(claimed, refusal, answer.posting.request.get("channel", ""))
            case KeyFault() as fault:
                self._doubt_key(Suspect(claimed, fault, self._first_not_taken(claimed, KeyFault.__name__)))
            case RateLimited() | NeverSent() as fault:
                self._settle(claimed, State.PLANNED, fault.status, type(fault).__name__)
                self._limit = self._limit.lowered()
                self._stop_for(fault, begun)
            case OutcomeUnknown() as fault:
                self._limit = self._limit.lowered()
                if begun.pauses == self._pauses:
                    self._unknown_in_a_row += 1
                if self._unknown_in_a_row >= MAX_UNKNOWN_IN_A_ROW:
                    self._stop_for(fault, begun)
                self._settle(claimed, State.UNKNOWN, fault.status, str(fault)[:300])
            case fault:
                raise fault

    def _refuse(self, claimed: ClaimedInteraction, refusal: Refused, channel: str) -> None:
        """Reject an interaction, or plan it again if the refusal may not be about it."""
        self._unknown_in_a_row = 0
        self._refusals = self._refusals.one_more()
        self._latest_refusal, self._latest_channel = refusal, channel
        retry_ledger(self.ledger.set_fact, REFUSALS, str(self._refusals.number))
        words = refusal.text or refusal.code or str(refusal.status)
        is_final = self._refusals.concern_the_interaction
        if is_final or self._was_sent_since(self._first_not_taken(claimed, HELD_BACK)):
            self._settle(claimed, State.REJECTED, refusal.status, words)
            return
        self._not_taken[claimed.id] = self._taken
        self._settle(claimed, State.PLANNED, refusal.status, f"{HELD_BACK}: {words}")
        if self._refusals.concern_the_source:
            self._stop_for(refusal)

    def _note_taken(self, begun: Begun) -> None:
        if self.waiting():
            self.planned_again = True
        self._taken += 1
        self._limit = self._limit.raised()
        self._unknown_in_a_row = 0
        # One that began before the first refusal shows nothing of what came after it.
        if self._refusals.number > 0 and begun.refusals > 0:
            self._refusals = Refusals()
            retry_ledger(self.ledger.set_fact, REFUSALS, "0")

    def _doubt_key(self, suspect: Suspect) -> None:
        """Stop if a second, different interaction gets this answer; one alone may be blocked for its content.

        It is blocked if others were sent since it first got this answer: then the second one becomes the suspect.
        """
        self._settle(suspect.claimed, State.PLANNED, suspect.fault.status, KeyFault.__name__)
        self._not_taken[suspect.claimed.id] = self._taken
        former = self._suspect
        if former is not None and former.claimed.id != suspect.claimed.id:
            if not self._was_sent_since(former.refused_before):
                self._stop_for(suspect.fault)
                return
            self._put_suspect_aside()
        self._suspect = suspect

    def _first_not_taken(self, claimed: ClaimedInteraction, words: str) -> datetime | None:
        """Return when this interaction first got such an answer."""
        if not claimed.attempts:
            return None
        return retry_ledger(self.ledger.releasing.find_first_not_taken, claimed.id, words)

    def _was_sent_since(self, since: datetime | None) -> bool:
        return since is not None and retry_ledger(self.ledger.releasing.has_sent_since, since)

    def _clear_suspect(self, begun: Begun) -> None:
        """Put the suspect aside once a request that began after its answer shows that the key is accepted."""
        if begun.suspect is not None and self._suspect is begun.suspect:
            self._put_suspect_aside()

    def _put_suspect_aside(self) -> None:
        if self._suspect is None:
            return
        suspect, self._suspect = self._suspect, None
        reason = Reason.REQUEST_BLOCKED
        detail = f"answered {suspect.fault.status} while others were taken"
        if retry_ledger(self.ledger.releasing.put_aside, suspect.claimed.id, reason, detail, self.by):
            self.counts.add(f"{State.SKIPPED}.{reason}")

    def _stop_for(self, fault: VendorApiError, begun: Begun | None = None) -> None:
        """Try nothing further; of several faults at once a refused key is the one that counts.

        A request that began before the latest pause does not cause another one.
        """
        is_old = begun is not None and begun.pauses < self._pauses
        if not is_old and not isinstance(self.stop, KeyFault):
            self.stop = fault

    def _veto(self, claimed: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> None:
        """End a claimed interaction that must not be sent."""
        vetoed = retry_ledger(self.ledger.releasing.veto, claimed, state, reason, detail)
        self.counts.add(f"{state}.{reason}" if vetoed else "lost")

    def _settle(
        self, claimed: ClaimedInteraction, outcome: State, http_status: int | None = None, detail: str | None = None
    ) -> None:
        self._write([Outcome(claimed, outcome, http_status, detail)])
        if outcome is State.PLANNED:
            self.planned_again = True

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes and count them; one that the ledger refuses was settled by another process or a person."""
        written = retry_ledger(self.ledger.releasing.settle_all, outcomes)
        for outcome in outcomes:
            name = "not_taken" if outcome.state is State.PLANNED else str(outcome.state)
            self.counts.add(name)
            if outcome.claimed.id not in written:
                log.warning("an outcome (%s) came after the interaction had been settled otherwise", name)
                self.counts.add("lost")


def _is_capped(step: SendingStep) -> bool:
    """Tell whether the cap is about a request: not about one without a survey, nor about a service recovery."""
    return not step.request.get("do_not_send") and step.claimed.interaction.recovers_uuid is None
