"""The release of one window: claim, second look, one POST each, outcome; batch by batch until nothing is due."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from airflow.sdk.exceptions import AirflowException

from include.interactions.actor import Actor
from include.interactions.interaction import ClaimedInteraction
from include.interactions.settings import Settings
from include.ledger import Ledger
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.pipeline.release_counts import ReleaseCounts
from plugins.pipeline.second_look import SecondLook
from plugins.pipeline.sending import RefusedAlike, Sender
from plugins.pipeline.surveying import make_planner
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import KeyFault, RateLimited, Refused, VendorApiError
from plugins.vendor_api.waiting import pause

log = logging.getLogger(__name__)

BATCH = 100
"""Interactions claimed together: as many as Kustomer returns in one call."""
LEASE = timedelta(minutes=15)
"""How long a claim holds without a sign of life; longer than the second look at a batch takes, also if some of its
conversations cannot be read and Kustomer is silent about each."""
MAX_PAUSES = 5
"""Pauses in a row, without one interaction getting through, after which the release gives up until later."""
MAX_PAUSE_SECONDS = 60.0
MAX_FAILED_LOOKS = 2
"""So many batches in a row that Kustomer does not answer for are an outage. Against a vendor that hangs each takes
minutes; going on, the leases of what is held would run out, and the release would claim it again without end."""
RELEASE_FAULT = "release_fault"
"""The ledger's fact: what the last release found wrong with a vendor; empty if nothing."""


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
        self.by = by
        self._counts = ReleaseCounts()
        self._max_senders = settings.max_senders
        planner = cache(partial(make_planner, kustomer, settings))  # made, and read for, only if anything is due
        self._second_look = SecondLook(ledger, kustomer, stella_connect, settings, planner)
        self._sender = Sender(
            ledger,
            stella_connect,
            settings,
            web_url=kustomer.web_url,
            by=by,
            counts=self._counts,
            planner=planner,
        )
        self._held: list[ClaimedInteraction] = []
        self._failed_looks = 0
        self._look_failure: VendorApiError | None = None
        self._doubt: str | None = None

    def window(self, due_from: datetime, due_until: datetime, limit: int | None = None) -> None:
        """Send what is planned, due by the clock now and in [due_from, due_until]; at most `limit` of it.

        Raises:
            KeyFault: a key is refused; nothing further was tried.
            RefusedAlike: Stella Connect refuses one interaction after the other.
            ReleaseInterrupted: Kustomer could not be asked (and `on_recheck_failure` is "hold"), an answer would
                have ended everything that is due, or Stella Connect took nothing for `MAX_PAUSES` pauses.
        """
        try:
            try:
                self._release_batches(due_from, due_until, limit)
                self._sender.conclude()
            finally:
                retry_ledger(self.ledger.releasing.give_back, self._held, detail="second look failed")
            self._raise_if_held()
        except (KeyFault, RefusedAlike, SourceDoubted) as fault:
            self._note_fault(str(fault)[:1000])
            raise
        if self._counts["sent"]:
            self._note_fault("")

    def facts(self) -> dict[str, Any]:
        """Counts by outcome, and the lateness of what was sent in seconds."""
        return self._counts.facts()

    def _release_batches(self, due_from: datetime, due_until: datetime, limit: int | None) -> None:
        pauses, left = 0, limit
        while left is None or left > 0:
            batch = self._claim(due_from, due_until, min(BATCH, left or BATCH))
            if not batch:
                return
            decided = self._counts.decided
            try:
                untaken = self._release(batch)
            except Exception as fault:
                # Whatever it was: no sender is at work any more, so what is only claimed has not left.
                self.ledger.releasing.give_back(batch, detail=type(fault).__name__)
                raise
            left = None if left is None else left - len(batch) + untaken
            if self._doubt or (self._held and self._failed_looks >= MAX_FAILED_LOOKS):
                return
            if self._sender.stop is None:
                pauses = 0
                continue
            pauses = 1 if self._counts.decided > decided else pauses + 1
            self._pause_or_give_up(self._sender.stop, pauses)
            self._sender.resume()

    def _claim(self, due_from: datetime, due_until: datetime, limit: int) -> Sequence[ClaimedInteraction]:
        releasing = self.ledger.releasing
        retry_ledger(releasing.recover, by=self.by)  # also what a slow second look let slip from this release
        return retry_ledger(
            releasing.claim,
            due_from,
            due_until,
            limit=limit,
            lease=LEASE,
            by=self.by,
            but_not=self._sender.waiting(),
        )

    def _release(self, batch: Sequence[ClaimedInteraction]) -> int:
        """Handle one claimed batch; returns how many were ready and are planned again."""
        look = self._second_look.look(batch)
        for ended in look.ended:
            self._sender.veto(ended.claimed, ended.state, ended.reason, ended.detail)
        self._held += look.held
        if look.held:
            self._counts.add("held", len(look.held))
        if look.masked:
            self._counts.add("opt_out_masked", look.masked)
        self._doubt = look.doubt
        self._look_failure = look.failure or self._look_failure
        self._failed_looks = self._failed_looks + 1 if look.failure else 0
        untaken: list[ClaimedInteraction] = []
        with ThreadPoolExecutor(self._max_senders, thread_name_prefix="release") as senders:
            try:
                for ready, settled in zip(look.ready, senders.map(self._sender.send, look.ready), strict=True):
                    if not settled:
                        untaken.append(ready.claimed)
            finally:
                senders.shutdown(wait=True, cancel_futures=True)
        # those that were not even tried
        stop = self._sender.stop
        retry_ledger(self.ledger.releasing.give_back, untaken, detail=type(stop).__name__ if stop else None)
        return len(untaken)

    def _pause_or_give_up(self, stop: VendorApiError, pauses: int) -> None:
        if isinstance(stop, KeyFault):
            raise stop
        if isinstance(stop, Refused):
            raise self._sender.refused_alike(stop)
        if pauses > MAX_PAUSES:
            msg = f"Release given up for now, {self._counts['sent']} sent: {stop}"
            raise ReleaseInterrupted(msg)
        asked = stop.retry_after if isinstance(stop, RateLimited) else None
        seconds = min(asked if asked is not None else 2.0**pauses, MAX_PAUSE_SECONDS)
        log.warning("pausing for %.0f s: %s", seconds, stop)
        pause(seconds)

    def _raise_if_held(self) -> None:
        if self._doubt:
            msg = f"{self._doubt} {len(self._held)} due interactions stay planned; none was cancelled or skipped."
            raise SourceDoubted(msg)
        if masked := self._counts["opt_out_masked"]:
            msg = (
                f"{masked} interactions are held: Kustomer masks their do-not-send attribute, so the customers may "
                f"have opted out. They stay planned until their expiry. Put a key that may read sensitive values "
                f'("Read Sensitive") into connection {self.kustomer.conn_id!r}.'
            )
            raise ReleaseInterrupted(msg)
        if self._held:
            if isinstance(self._look_failure, KeyFault):
                raise self._look_failure
            msg = (
                f"{len(self._held)} interactions are held: Kustomer (connection "
                f"{self.kustomer.conn_id!r}) could not be asked whether they are still closed. They stay "
                f"planned. Setting on_recheck_failure decides this. {self._look_failure or ''}"
            )
            raise ReleaseInterrupted(msg)

    def _note_fault(self, words: str) -> None:
        """Remember what is wrong, for the alarm; or that nothing is."""
        noted = self.ledger.get_fact(RELEASE_FAULT)
        if words or (noted and noted.value):
            retry_ledger(self.ledger.set_fact, RELEASE_FAULT, words)
