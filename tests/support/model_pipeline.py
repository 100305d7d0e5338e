"""One organisation and its ledger, for tests that play histories; whatever happens in one is a method.

The clock is moved, never waited for. A process may be killed, stand still past its leases while another one takes
over, or be overtaken by another one, at any of its steps. The ledger, `Extraction` and `Release` are the real ones.
Who chooses what happens: `tests/model/test_model.py` and `tests/support/long_histories.py`.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import time_machine
from sqlalchemy import Engine, select

from include.interactions.reasons import Reason
from include.interactions.release_windows import release_windows
from include.interactions.span import HOUR, Origin, Span, span_of
from include.interactions.states import TRANSITIONS, State
from include.ledger import ActionRefusedError, Ledger, connect
from include.ledger.planning_again import EndedFilter
from include.ledger.schema import interaction_event
from plugins.pipeline import release, side_tasks
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.extraction import Extraction
from plugins.pipeline.masking import MIN_MASKED, AddressesMaskedError
from plugins.pipeline.planning_again import plan_again
from plugins.pipeline.sending import SENDING_LEASE, RefusedAlike
from plugins.vendor_api.errors import VendorApiError
from tests.support.ledger import NOON, by_run
from tests.support.model_choices import Lie, is_open, make_settings
from tests.support.model_ledger import LedgerOfProcess
from tests.support.model_rows import Key, Row, read_beginning, read_rows
from tests.support.model_world import Interruption, Killed, Kustomer, StellaConnect, Threadless, World, now

DELAY_SECONDS = 1800
EXPIRE_SECONDS = 4 * 3600
GRACE = timedelta(hours=1)
"""After which an unknown outcome that Stella Connect does not show counts as absent."""
AFTER_ALL_LEASES = LEASE + SENDING_LEASE
ENDS = {State.SENT, State.REJECTED, State.UNKNOWN, State.CANCELLED, State.SKIPPED}


@contextmanager
def empty_ledgers() -> Iterator[Callable[[], Engine]]:
    """Yield a function that gives an empty ledger: always the same, in memory, with its emptiness copied over it.

    Migrating takes longer than a whole history, and a new engine would compile each statement again. What SQLite
    promises about power cuts has no place in a model.
    """
    template, engine = connect("sqlite://"), connect("sqlite://")
    Ledger(template).migrate()

    def empty() -> Engine:
        with template.connect() as source, engine.connect() as target:
            source.connection.driver_connection.backup(target.connection.driver_connection)  # type: ignore[union-attr]
        return engine

    yield empty
    template.dispose()
    engine.dispose()


@contextmanager
def standing_clock() -> Iterator[time_machine.Traveller]:
    """Yield the one clock of all code; it stands until it is moved, also by the pauses of a release.

    A release sends one request at a time, so that a history can be repeated, and logs nothing.
    """
    disabled = logging.root.manager.disable
    logging.disable()
    with (
        time_machine.travel(NOON, tick=False) as clock,
        patch.object(release, "pause", lambda seconds: clock.shift(timedelta(seconds=seconds))),
        patch.object(side_tasks, "ThreadPoolExecutor", Threadless),
    ):
        yield clock
    logging.disable(disabled)


class ModelPipeline:
    """One organisation and one ledger; every rule is something that people, vendors, Airflow or fate do."""

    def __init__(self, engine: Engine, clock: time_machine.Traveller, figures: Counter[str]) -> None:
        self.figures = figures
        self.clock = clock
        clock.move_to(NOON)
        self.engine = engine
        with engine.connect() as connection:  # the pool's only one: the database is in memory
            self.connection: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self.ledger = Ledger(engine)
        self.touched = True
        self.latest_event = 0
        self.states: dict[int, str] = {}
        """By row id, as told by the events until then."""

    def install(self, **choices: Any) -> None:
        """The ledger of an organisation that has closed nothing yet."""
        chosen = make_settings(
            seconds_until_send=DELAY_SECONDS, expire_after_seconds=EXPIRE_SECONDS, overlap_seconds=600, **choices
        )
        self.world = World(chosen, self.ledger, self.connection, self.clock, self.figures)
        self.ledger.extraction.advance_watermark(NOON - HOUR, NOON)

    # --- people

    def close(self, number: int, assigned: tuple[int, ...]) -> None:
        """For the first time, after a reopening, or again between two looks of ours."""
        self.world.close(number, assigned)

    def reopen_or_delete(self, number: int, to: str) -> None:
        if one := self.world.conversations.get(f"c{number}"):
            one.status, one.removed = ("open", one.removed) if to == "open" else (one.status, to)

    def reassign(self, number: int, assigned: tuple[int, ...]) -> None:
        one = self.world.conversations.get(f"c{number}")
        if one and one.agents_at_close:  # where the snapshot names nobody the present ones count
            one.agents_now = tuple(f"agent-{agent}" for agent in assigned)

    def approve_or_unapprove(self, agent: int, approved: bool) -> None:
        (self.world.approved.add if approved else self.world.approved.discard)(f"agent-{agent}")

    def plan_again(self, interruption: tuple[str, int] | None) -> None:
        """Everything that ended without a survey, whatever the reason."""
        self._plan_again(self._interruption(interruption))

    # --- fate

    def time_passes(self, minutes: int) -> None:
        self.world.forward(minutes=minutes)

    # --- Airflow

    def run_extract(self, interruption: tuple[str, int] | None) -> None:
        self.world.forward(milliseconds=1)  # the end of an interval is not in it
        self._extract(self._span((now() - HOUR, now()), "schedule"), self._interruption(interruption), "scheduled")

    def backfill(self, hours: int, back: int) -> None:
        end = now() - back * HOUR
        self._extract(self._span((end - hours * HOUR, end), "backfill"), Interruption(), f"backfill of {end}")

    def release_windows(
        self,
        interruption: tuple[str, int] | None,
        faults: list[str],
        kustomer: int,
        stella: int,
        **how: Any,
    ) -> None:
        """Early: the wait was ended by a stale or empty event. Again: the task was cleared, or a run overlaps."""
        self.world.faults, self.world.kustomer_fails, self.world.stella_fails = list(faults), kustomer, stella
        self._release(self._interruption(interruption), **how)
        self.world.faults, self.world.kustomer_fails, self.world.stella_fails = [], 0, 0

    def closings_go_their_way(
        self, numbers: Sequence[int], interruption: tuple[str, int] | None, faults: list[str]
    ) -> None:
        """The common case in one step, so that most histories come to a request, and some to several."""
        for number in numbers:
            self.world.close(number, (0,))
        self.run_extract(None)
        self.world.forward(seconds=DELAY_SECONDS)
        self.world.faults = list(faults)
        self._release(self._interruption(interruption))
        self.world.faults = []

    def all_goes_its_way_while_a_vendor_lies(
        self, lie: Lie, interruption: tuple[str, int] | None, planned: bool
    ) -> None:
        """A wrong host or key, a list that came empty, a channel that is off; planned: until the extraction all was
        well. Then it is corrected, and a person plans again what it ended."""
        for number in (1, 2, 3):
            self.world.close(number, (number % 2,))
        self.world.lie = None if planned else lie
        self.run_extract(None)
        self.world.lie = lie
        self.world.forward(seconds=DELAY_SECONDS)
        self._release(self._interruption(interruption))
        self.world.lie = None
        self._plan_again(Interruption())

    def settle_unknown_outcomes(self) -> None:
        """As the feedback DAG does with `on_absent` "resend", against a Data Return that shows all in an hour."""
        self.touched = True
        keys = {row.id: key for key, row in self.rows().items()}
        for outcome in self.ledger.feedback.list_unknown_outcomes():
            closing = self.world.closings[keys[outcome.interaction_id]]
            if now() < outcome.attempted_at + GRACE:
                continue
            if closing.accepted:
                assert self.ledger.feedback.settle_found(outcome.interaction_id, now(), by=by_run("feedback"))
                self.world.taken_at = now()
            elif self.ledger.feedback.resend_absent([outcome], by=by_run("feedback")):
                closing.may_be_posted = True

    # --- what must hold

    def the_ledger_tells_what_happened(self) -> None:
        if not self.touched:
            return
        self.touched = False
        news = "SELECT id, interaction_id, from_state, to_state FROM interaction_event WHERE id > ? ORDER BY id"
        for event_id, row_id, before, after in self.connection.execute(news, (self.latest_event,)):
            assert before == self.states.get(row_id), "a change of state has no event"
            assert (before, after) in TRANSITIONS
            self.states[row_id], self.latest_event = after, event_id
        rows = self.rows()
        for key, row in rows.items():
            self._holds(key, row, rows)
            assert self.states[row.id] == row.state, "a change of state has no event"

    def _holds(self, key: Key, row: Row, rows: dict[Key, Row]) -> None:
        closing, state = self.world.closings[key], State(row.state)
        if closing.accepted:
            assert state in {State.SENT, State.UNKNOWN, State.SENDING}, f"taken, but {state}"
        if not closing.may_be_posted:
            assert state not in {State.PLANNED, State.CLAIMED}, "what may have been taken will be sent again"
        assert (state is not State.SENT) or closing.accepted == 1, "sent, but never taken"
        assert (state is not State.REJECTED) or closing.refused, "rejected, but never refused"
        if row.reason == Reason.SUPERSEDED:
            assert any(other[0] == key[0] and other[1] > key[1] for other in [*rows, *self.world.closings])
        if row.lease_until is not None:
            assert row.lease_until <= now() + AFTER_ALL_LEASES, "held for longer than any lease"

    def service_comes_back(self) -> None:
        """The end of the story: time passes, and nothing is left behind."""
        world = self.world
        world.faults, world.kustomer_fails, world.stella_fails = [], 0, 0
        # Lists that would end everything are doubted, and all is held until they are right again.
        world.approved = world.approved or {"agent-0"}
        all_were_gone = all(
            one.removed == "gone" for one in world.conversations.values() if one.closed_at is not None
        )
        if all_were_gone:
            for one in world.conversations.values():
                one.removed = None
        world.forward(minutes=1)
        self._extract(self._span((now() - HOUR, now()), "schedule"), Interruption(), "back")
        unknown_before = {key for key, row in self.rows().items() if row.state == State.UNKNOWN}
        world.forward(seconds=DELAY_SECONDS)
        world.clock.shift(AFTER_ALL_LEASES)
        if not is_open(world.settings, now()):
            noon = now().replace(hour=12, minute=0, second=0, microsecond=0)
            world.clock.move_to(noon if now() < noon else noon + timedelta(days=1))
        self._release(Interruption())
        self._release(Interruption())
        rows = self.rows()
        self.touched = True
        self.the_ledger_tells_what_happened()
        forgotten = [row for row in rows.values() if row.state not in ENDS]
        self.figures["forgotten"] += len(forgotten)
        assert not forgotten, "something due was forgotten"
        for key in unknown_before:
            assert rows[key].state == State.UNKNOWN, "an unknown outcome was settled by the clock"
        for one in world.conversations.values():
            stands = one.status == "done" and one.removed is None and one.closed_at is not None
            if stands and not all_were_gone:  # what was gone, no run could record
                assert (one.id, one.closed_at) in rows, "a closing was never recorded"
        self.figures.update(f"ended {row.state}" for row in rows.values())
        self.figures["interactions"] += len(rows)
        self.figures["histories"] += 1
        self.figures.update(self._unknown_outcomes())

    def _unknown_outcomes(self) -> Iterator[str]:
        """How many there were, and how each came to an end; those without one wait for a person."""
        with self.engine.connect() as connection:
            for event in connection.execute(select(interaction_event)):
                if event.to_state == State.UNKNOWN:
                    yield "unknown"
                elif event.from_state == State.UNKNOWN:
                    yield f"unknown: {event.detail if event.run_id == 'feedback' else 'its holder came back'}"

    # --- how it is done

    def rows(self) -> dict[Key, Row]:
        return read_rows(self.connection)

    def _span(self, own: tuple[datetime, datetime], origin: Origin) -> Span:
        chosen = self.world.settings
        return span_of(
            own,
            origin,
            self.ledger.extraction.read_watermark(),
            overlap_seconds=chosen.overlap_seconds,
        )

    def _interruption(self, drawn: tuple[str, int] | None) -> Interruption:
        if drawn is None:
            return Interruption()
        kind, step = drawn
        acts = {"kill": None, "pause": self._stand_still, "overtake": self._be_overtaken}
        return Interruption(step, acts[kind])

    def _stand_still(self) -> None:
        """The process is stopped (SIGSTOP) past all its leases; meanwhile another one releases."""
        self.figures["pauses"] += 1
        self.world.clock.shift(AFTER_ALL_LEASES)
        self._release(Interruption())

    def _be_overtaken(self) -> None:
        """Another process releases, at the same time."""
        self.figures["overtaken"] += 1
        self._release(Interruption())

    def _process(self, interruption: Interruption) -> tuple[Any, Any, Any]:
        kustomer = Kustomer(self.world)
        stella = StellaConnect(self.world, kustomer, interruption)
        return LedgerOfProcess(self.world, stella), kustomer, stella

    def _extract(self, span: Span, interruption: Interruption, by: str) -> None:
        self.touched = True
        ledger, kustomer, _ = self._process(interruption)
        masked = self.world.lie == "masks all addresses"
        before, expected = self.rows(), {}
        for one in self.world.conversations.values():
            in_span = one.closed_at is not None and span.closed_from <= one.closed_at < span.closed_to
            is_closed = one.status == "done" or self.world.settings.on_reopen == "keep"
            if in_span and is_closed and one.removed in {None, "mergedInto"}:
                expected[one.id, one.closed_at] = one
        try:
            extraction = Extraction(kustomer, self.world.settings, ledger.extraction, by=by_run(by))
            extraction.read_span(span.closed_from, span.closed_to)
            if not by.startswith("backfill"):
                ledger.extraction.advance_watermark(span.closed_from, span.closed_to)
        except Killed:
            self.figures["kills"] += 1
        except AddressesMaskedError:
            self.figures["failed runs"] += 1
            assert self.rows().keys() == before.keys(), "recorded although all addresses are masked"
        except VendorApiError:
            self.figures["failed runs"] += 1
        else:
            assert expected.keys() <= self.rows().keys(), "a closing was not recorded"
            assert not masked or len(expected) < MIN_MASKED, "masked addresses are believed"
        for key in self.rows().keys() - before.keys():
            assert key in expected, "recorded, but not a closing"
            self._check_first_event(key, is_merged=expected[key].removed is not None, is_masked=masked)

    def _check_first_event(self, key: Key, *, is_merged: bool, is_masked: bool) -> None:
        closing = self.world.closings[key]
        begun = read_beginning(self.connection, key)
        reasons = {
            Reason.MERGED: is_merged,
            Reason.NO_AGENT_ASSIGNED: closing.agent is None,
            Reason.INVALID_CUSTOMER_EMAIL: is_masked,
            Reason.RULE: closing.rule == "skip",
        }
        assert begun.reason == next((reason for reason, applies in reasons.items() if applies), None)
        if begun.reason in (None, Reason.RULE) and closing.rule not in ("skip", "count"):
            assert begun.due_at >= closing.due_at
            is_moved = not is_open(self.world.settings, max(closing.due_at, begun.at))
            assert is_moved or begun.due_at == closing.due_at

    def _plan_again(self, interruption: Interruption) -> None:
        self.touched = True
        ledger, kustomer, _ = self._process(interruption)
        chosen = EndedFilter(closed_from=NOON - HOUR)
        try:
            counts = plan_again(
                ledger, kustomer, self.world.settings, chosen, by_run("person"), "because", dry_run=False
            )
            self.figures["planned again"] += counts["planned"]
        except Killed:
            self.figures["kills"] += 1
        except ActionRefusedError:
            pass  # nothing has ended

    def _release(
        self, interruption: Interruption, *, early: bool = False, limit: int | None = None, again: bool = False
    ) -> None:
        self.touched = True
        ledger, kustomer, stella = self._process(interruption)
        try:
            ledger.releasing.recover(by=by_run("plan"))
            due_times = ledger.releasing.list_due_times(now() + HOUR)
            for window in list(release_windows(due_times, now(), 60)) * (2 if again else 1):
                if early or window.due_until <= now():
                    # each window is a task of its own, that knows nothing of the others
                    run = release.Release(ledger, kustomer, stella, self.world.settings, by=by_run("release"))
                    run.window(window.due_from, window.due_until, limit)
        except Killed:
            self.figures["kills"] += 1
        except (release.ReleaseInterrupted, RefusedAlike, VendorApiError):
            self.figures["failed runs"] += 1
