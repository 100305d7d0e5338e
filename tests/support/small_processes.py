"""What a small world consists of besides the ledger: processes, and everything outside."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from include.interactions.cap import Cap
from include.interactions.interaction import ClaimedInteraction
from include.interactions.states import State
from include.ledger.feedback import UnknownOutcome
from include.ledger.planning_again import Ended


class BrokenPromiseError(AssertionError):
    """The promise is broken in some history."""


def promise(kept: bool, words: str, path: list[str]) -> None:
    """Raise with the history that led here unless the promise is kept."""
    if not kept:
        raise BrokenPromiseError("\n  ".join([f"{words}, after:", *path]))


@dataclass(frozen=True)
class Process:
    """`does` names the next step; what it works on is the first of `held`."""

    kind: str
    does: str
    held: tuple[ClaimedInteraction, ...] = ()
    outcome: State | None = None
    post_until: datetime | None = None
    seen: tuple[UnknownOutcome, ...] = ()
    shown: frozenset[int] = frozenset()
    read_at: datetime | None = None
    ended: tuple[Ended, ...] = ()

    def then(self, does: str, **more: Any) -> "Process":
        return replace(self, does=does, **more)

    def next_interaction(self) -> "Process":
        held = self.held[1:]
        return replace(self, does="start" if held else "end", held=held, outcome=None, post_until=None)


RELEASE, RECOVERY = Process("release", "claim"), Process("recovery", "recover")
FEEDBACK, PERSON, EXTRACTION = (
    Process("feedback", "read"),
    Process("person", "act"),
    Process("extraction", "record"),
)
PLANNING_AGAIN = Process("person", "list_ended")
FIRST_STEPS = {process.does for process in (RELEASE, RECOVERY, FEEDBACK, PERSON, EXTRACTION, PLANNING_AGAIN)}
CAP = Cap(surveys=1, days=30)


@dataclass(frozen=True)
class Outside:
    """Everything but the ledger."""

    now: datetime
    processes: tuple[Process, ...]
    faults_left: int
    moves_left: int
    taken: frozenset[int] = frozenset()
    """Rows of which Stella Connect has taken a request."""
    by_hand: frozenset[int] = frozenset()
    """Rows that a person has settled: what they claimed is not for the ledger to know."""
