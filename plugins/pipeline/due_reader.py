"""Claims what is due, batch by batch, and takes the second look at it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.interactions.actor import Actor
from include.interactions.interaction import ClaimedInteraction
from include.ledger import Ledger
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.pipeline.release_counts import ReleaseCounts
from plugins.pipeline.second_look import Look, Ready, SecondLook
from plugins.vendor_api.errors import VendorApiError

BATCH = 100
"""Interactions claimed together: as many as Kustomer returns in one call."""
LEASE = timedelta(minutes=15)
"""How long a claim holds without renewal. It covers the second look at a batch and the time until a sender is free,
also if Kustomer is silent about some conversations."""
MAX_FAILED_LOOKS = 2
"""If Kustomer does not answer for so many batches in a row, it is an outage. Each batch takes minutes then. Without
this limit the leases of held rows would end, and the release would claim them again without end."""


@dataclass(frozen=True, slots=True)
class DueBatch:
    """A batch that was claimed and looked at."""

    size: int
    """How many were claimed; 0: nothing claimable is due."""
    ready: Sequence[Ready] = ()


class DueReader:
    """Reads the batches of one release, one after the other.

    Attributes:
        held: claimed interactions about which nothing can be said now.
        failure: the latest failure of Kustomer to answer for a batch.
        doubt: what is wrong with a source, in a sentence.
    """

    def __init__(self, ledger: Ledger, second_look: SecondLook, counts: ReleaseCounts, by: Actor) -> None:
        self._ledger = ledger
        self._second_look = second_look
        self._counts = counts
        self._by = by
        self._failed_looks = 0
        self.held: list[ClaimedInteraction] = []
        self.failure: VendorApiError | None = None
        self.doubt: str | None = None

    @property
    def must_end(self) -> bool:
        """Whether reading on would do harm: a source is doubted, or Kustomer is out."""
        return self.doubt is not None or (bool(self.held) and self._failed_looks >= MAX_FAILED_LOOKS)

    def read(self, due_from: datetime, due_until: datetime, limit: int, but_not: Collection[int]) -> DueBatch:
        """Claim up to `limit` interactions (at most `BATCH`) and look at them; vetoes are written.

        Raises:
            VendorApiError: the approved profiles could not be read; what was claimed is planned again.
        """
        releasing = self._ledger.releasing
        retry_ledger(releasing.recover, by=self._by)  # also what waited too long for a sender
        batch = retry_ledger(
            releasing.claim,
            due_from,
            due_until,
            limit=min(limit, BATCH),
            lease=LEASE,
            by=self._by,
            but_not=but_not,
        )
        if not batch:
            return DueBatch(0)
        try:
            look = self._second_look.look(batch)
            for ended in look.ended:
                vetoed = retry_ledger(releasing.veto, ended.claimed, ended.state, ended.reason, ended.detail)
                self._counts.add(f"{ended.state}.{ended.reason}" if vetoed else "lost")
        except Exception as fault:
            retry_ledger(releasing.give_back, batch, detail=type(fault).__name__)
            raise
        self._note(look)
        return DueBatch(len(batch), look.ready)

    def _note(self, look: Look) -> None:
        self.held += look.held
        if look.held:
            self._counts.add("held", len(look.held))
        if look.masked:
            self._counts.add("opt_out_masked", look.masked)
        self.doubt = look.doubt
        self.failure = look.failure or self.failure
        self._failed_looks = self._failed_looks + 1 if look.failure else 0
