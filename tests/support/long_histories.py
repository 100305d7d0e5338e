"""Long random histories of one organisation: one seed fixes every choice, so each history can be repeated."""

import hashlib
import random
from collections import Counter

import time_machine
from sqlalchemy import Engine

from tests.support.model_choices import LIES, RULES
from tests.support.model_pipeline import ModelPipeline, empty_ledgers, standing_clock
from tests.support.model_world import FAULTS

CONVERSATIONS = 200
EVENTS = 40
"""Of one history."""
MAX_FAULTS = 400
"""In a row that one release may meet."""
Interruption = tuple[str, int] | None


class BrokenHistoryError(AssertionError):
    """A history breaks the promise."""


def play(seeds: range) -> Counter[str]:
    """Play the histories of these seeds; returns the figures of all.

    Raises:
        BrokenHistoryError: with the seed and what it led to.
    """
    figures: Counter[str] = Counter()
    with standing_clock() as clock, empty_ledgers() as empty_ledger:
        for seed in seeds:
            try:
                LongHistory(seed, empty_ledger(), clock, figures).play()
            except Exception as broken:
                msg = f"seed {seed} breaks the promise; SOAK_SEED={seed} make soak repeats it: {broken!r}"
                raise BrokenHistoryError(msg) from broken
    return figures


def fingerprint(seed: int) -> str:
    """Play one history; returns a hash of everything that the ledger says of it."""
    with standing_clock() as clock, empty_ledgers() as empty_ledger:
        history = LongHistory(seed, empty_ledger(), clock, Counter())
        history.play()
        events = "SELECT interaction_id, at, from_state, to_state, detail FROM interaction_event ORDER BY id"
        told = repr(history.pipeline.connection.execute(events).fetchall())
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


class LongHistory:
    """Chooses among the methods of the model."""

    def __init__(self, seed: int, engine: Engine, clock: time_machine.Traveller, figures: Counter[str]) -> None:
        self.chance = random.Random(seed)
        self.pipeline = ModelPipeline(engine, clock, figures)

    def play(self) -> None:
        """Let things happen, then let service come back."""
        choose, pipeline = self.chance.choice, self.pipeline
        pipeline.install(
            on_reopen=choose(["cancel", "keep"]),
            on_recheck_failure=choose(["hold", "send"]),
            on_expired=choose(["count", "send", "skip"]),
            rule=choose([None, None, None, *RULES]),
            capped=choose([*[None] * 14, "skip", "count"]),
            in_window=choose([False, False, False, True]),
        )
        happenings = {
            self._closings_go_their_way: 8,
            self._release_windows: 8,
            self._closings: 2,
            self._changes: 2,
            self._time_passes: 4,
            self._runs: 2,
            pipeline.settle_unknown_outcomes: 4,
            lambda: pipeline.plan_again(self._interruption(200)): 2,
            self._a_vendor_lies: 1,
        }
        for happening in self.chance.choices([*happenings], [*happenings.values()], k=EVENTS):
            happening()
            pipeline.the_ledger_tells_what_happened()
        pipeline.service_comes_back()

    def _numbers(self) -> list[int]:
        return self.chance.sample(range(1, CONVERSATIONS + 1), self.chance.choice([1, 10, 100]))

    def _interruption(self, max_steps: int = 300) -> Interruption:
        kind = self.chance.choices([None, "kill", "pause", "overtake"], [4, 3, 2, 2])[0]
        return None if kind is None else (kind, self.chance.randint(1, max_steps))

    def _faults(self) -> list[str]:
        """How the next requests end: mostly well, all alike for a while, or anyhow."""
        share, kinds = (
            self.chance.choice([0.02, 0.1, 0.3, 0.6]),
            self.chance.sample(FAULTS, self.chance.randint(1, 4)),
        )
        return [self.chance.choice(kinds) if self.chance.random() < share else "201" for _ in range(MAX_FAULTS)]

    def _closings(self) -> None:
        for number in self._numbers():
            self.pipeline.close(number, self.chance.choice([(0,), (0,), (1,), (0, 1), ()]))

    def _closings_go_their_way(self) -> None:
        self.pipeline.approve_or_unapprove(0, True)
        self.pipeline.closings_go_their_way(self._numbers(), self._interruption(), self._faults())

    def _changes(self) -> None:
        for number in self._numbers()[:10]:
            if self.chance.random() < 0.5:
                self.pipeline.reassign(number, self.chance.choice([(0,), (1,), (0, 1), ()]))
            else:
                to = self.chance.choice(["open", "open", "gone", "deleted", "mergedInto"])
                self.pipeline.reopen_or_delete(number, to)
        self.pipeline.approve_or_unapprove(self.chance.randint(0, 1), self.chance.random() < 0.9)

    def _time_passes(self) -> None:
        self.pipeline.time_passes(self.chance.choice([1, 5, 15, 31, 31, 60, 300]))

    def _runs(self) -> None:
        if self.chance.random() < 0.8:
            self.pipeline.run_extract(self._interruption(30))
        else:
            self.pipeline.backfill(self.chance.randint(1, 8), self.chance.randint(0, 3))

    def _release_windows(self) -> None:
        self.pipeline.release_windows(
            self._interruption(),
            self._faults(),
            kustomer=self.chance.choice([0, 0, 0, 1]),
            stella=self.chance.choice([0, 0, 0, 1]),
            early=self.chance.random() < 0.5,
            limit=self.chance.choice([None, None, None, 1, 20]),
            again=self.chance.random() < 0.5,
        )

    def _a_vendor_lies(self) -> None:
        self.pipeline.all_goes_its_way_while_a_vendor_lies(
            self.chance.choice(LIES), self._interruption(), self.chance.random() < 0.5
        )
