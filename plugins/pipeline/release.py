"""The release of one window: claim, second look, one POST each, outcome, until nothing is due.

One thread decides and changes the ledger. Other threads wait for the vendors: one claims and looks at the next
batch while earlier ones are being sent, and each request under way has its own.
"""

import logging
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from functools import cache, partial
from itertools import islice
from typing import Any, Final

from airflow.sdk.exceptions import AirflowException

from include.interactions.actor import Actor
from include.interactions.settings import Settings
from include.ledger import Ledger
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.due_reader import BATCH, DueBatch, DueReader
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.pipeline.posting import Answer
from plugins.pipeline.release_counts import ReleaseCounts
from plugins.pipeline.second_look import Ready, SecondLook
from plugins.pipeline.sending import RefusedAlike, Sender
from plugins.pipeline.side_tasks import SideTasks
from plugins.pipeline.surveying import make_planner
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import KeyFault, RateLimited, Refused, VendorApiError
from plugins.vendor_api.waiting import pause

log = logging.getLogger(__name__)

MAX_PAUSES = 5
"""Pauses in a row, without one interaction getting through, after which the release gives up until later."""
MAX_PAUSE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 1.0
"""While interactions wait for a sender: requests that turn out to be slow make room for others."""
RELEASE_FAULT = "release_fault"
"""The ledger's fact: what the last release found wrong with a vendor; empty if nothing."""
PAUSE_OVER: Final = "pause over"


class ReleaseInterrupted(AirflowException):
    """A vendor does not answer or takes nothing; what was not sent is planned as before."""


class SourceDoubted(ReleaseInterrupted):
    """A vendor's answers would end everything that is due; nothing was ended."""


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
        self._counts = ReleaseCounts()
        planner = cache(partial(make_planner, kustomer, settings))  # made, and read for, only if anything is due
        second_look = SecondLook(ledger, kustomer, stella_connect, settings, planner)
        self._reader = DueReader(ledger, second_look, self._counts, by)
        self._tasks = SideTasks(settings.max_senders + 2)  # the reader and a pause come on top
        self._sender = Sender(
            ledger,
            stella_connect,
            settings,
            web_url=kustomer.web_url,
            by=by,
            counts=self._counts,
            planner=planner,
            tasks=self._tasks,
        )
        self._max_ahead = 2 * settings.max_senders
        self._ready: deque[Ready] = deque()
        self._claimed = 0
        self._is_reading = False
        self._nothing_due = False
        self._is_pausing = False
        self._pauses_in_a_row = 0
        self._decided_before = 0

    def window(self, due_from: datetime, due_until: datetime, limit: int | None = None) -> None:
        """Send what is planned, due by the clock now and in [due_from, due_until]; at most `limit` of it.

        Raises:
            KeyFault: a key is refused; nothing further was tried.
            RefusedAlike: Stella Connect refuses one interaction after the other.
            ReleaseInterrupted: Kustomer did not answer (and `on_recheck_failure` is "hold"); an answer would have
                ended everything that is due; or Stella Connect took nothing for `MAX_PAUSES` pauses.
        """
        try:
            try:
                self._release(due_from, due_until, limit)
                self._sender.conclude()
            finally:
                retry_ledger(self.ledger.releasing.give_back, self._reader.held, detail="second look failed")
            self._raise_if_held()
        except (KeyFault, RefusedAlike, SourceDoubted) as fault:
            self._note_fault(str(fault)[:1000])
            raise
        if self._counts["sent"]:
            self._note_fault("")

    def facts(self) -> dict[str, Any]:
        """Counts by outcome, and the lateness of what was sent in seconds."""
        return self._counts.facts()

    def _release(self, due_from: datetime, due_until: datetime, limit: int | None) -> None:
        try:
            while True:
                if self._sender.stop:
                    self._stand_still(self._sender.stop)
                else:
                    self._read_ahead(due_from, due_until, limit)
                    self._send_ready()
                if self._tasks.number:
                    self._handle(self._tasks.take(LOOK_AGAIN_SECONDS if self._ready else None))
                elif not self._ready and not self._may_read(limit):
                    return
                self._tasks.raise_fault()
        except BaseException as fault:
            self._drain()
            self._give_back_ready(type(fault).__name__)
            raise
        finally:
            self._tasks.close()

    def _may_read(self, limit: int | None) -> bool:
        return not (self._is_reading or self._nothing_due or self._reader.must_end) and self._left(limit) > 0

    def _left(self, limit: int | None) -> int:
        """Return how many may be claimed at once."""
        return BATCH if limit is None else min(BATCH, limit - self._claimed + self._counts["not_taken"])

    def _read_ahead(self, due_from: datetime, due_until: datetime, limit: int | None) -> None:
        """Have the next batch claimed and looked at, if few are ready."""
        # A reading under way may have passed over what was planned again meanwhile: it does not count.
        if not self._is_reading and self._sender.planned_again:
            self._nothing_due = self._sender.planned_again = False
        if len(self._ready) < self._max_ahead and self._may_read(limit):
            self._is_reading = True
            self._tasks.start(self._reader.read, due_from, due_until, self._left(limit), self._sender.waiting())

    def _send_ready(self) -> None:
        """Start as many as may be under way together."""
        batch = list(islice(self._ready, max(0, self._sender.room())))
        if batch:
            self._sender.start(batch)
            for _ in batch:  # now, because what a fault stopped before is given back
                self._ready.popleft()

    def _handle(self, results: Sequence[Any]) -> None:
        self._sender.settle([result for result in results if isinstance(result, Answer)])
        for result in results:
            if isinstance(result, DueBatch):
                self._is_reading, self._nothing_due = False, not result.size
                self._claimed += result.size
                self._ready.extend(result.ready)
            elif result == PAUSE_OVER:
                self._is_pausing = False
                self._sender.resume()

    def _stand_still(self, stop: VendorApiError) -> None:
        """Give back what has not left; pause, or end the release. What is under way goes on."""
        self._give_back_ready(type(stop).__name__)
        if self._is_pausing:
            return
        if isinstance(stop, KeyFault):
            raise stop
        if isinstance(stop, Refused):
            raise self._sender.refused_alike(stop)
        decided = self._counts.decided
        self._pauses_in_a_row = 1 if decided > self._decided_before else self._pauses_in_a_row + 1
        self._decided_before = decided
        if self._pauses_in_a_row > MAX_PAUSES:
            raise ReleaseInterrupted(f"Release stopped for now, {self._counts['sent']} sent: {stop}")
        asked = stop.retry_after if isinstance(stop, RateLimited) else None
        seconds = min(asked if asked is not None else 2.0**self._pauses_in_a_row, MAX_PAUSE_SECONDS)
        log.warning("pausing for %.0f s: %s", seconds, stop)
        self._is_pausing = True
        self._tasks.start(_pause, seconds)

    def _give_back_ready(self, why: str) -> None:
        if not self._ready:
            return
        claimed = [ready.claimed for ready in self._ready]
        self._ready.clear()
        self._claimed -= len(claimed)
        self._sender.planned_again = True
        retry_ledger(self.ledger.releasing.give_back, claimed, detail=why)

    def _drain(self) -> None:
        """Write the outcome of every request under way: no other process can."""
        while self._tasks.number:
            try:
                self._handle(self._tasks.take())
            except Exception:
                log.exception("outcomes could not be written")

    def _raise_if_held(self) -> None:
        if self._reader.doubt:
            held = len(self._reader.held)
            raise SourceDoubted(
                f"{self._reader.doubt} {held} due interactions stay planned; none was cancelled or skipped."
            )
        if masked := self._counts["opt_out_masked"]:
            raise ReleaseInterrupted(
                f"{masked} interactions are held: Kustomer masks their do-not-send attribute, so the customers may "
                f"have opted out. They stay planned until their expiry. Put a key that may read sensitive values "
                f'("Read Sensitive") into connection {self.kustomer.conn_id!r}.'
            )
        if self._reader.held:
            if isinstance(self._reader.failure, KeyFault):
                raise self._reader.failure
            raise ReleaseInterrupted(
                f"{len(self._reader.held)} interactions are held: Kustomer (connection "
                f"{self.kustomer.conn_id!r}) could not be asked whether they are still closed. They stay "
                f"planned. Setting on_recheck_failure decides this. {self._reader.failure or ''}"
            )

    def _note_fault(self, words: str) -> None:
        """Remember what is wrong, for the alarm; or that nothing is."""
        noted = self.ledger.get_fact(RELEASE_FAULT)
        if words or (noted and noted.value):
            retry_ledger(self.ledger.set_fact, RELEASE_FAULT, words)


def _pause(seconds: float) -> str:
    pause(seconds)
    return PAUSE_OVER
