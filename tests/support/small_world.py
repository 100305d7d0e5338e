"""A small world whose every history can be tried: two interactions, the real ledger, a few processes of few steps.

A process is a value: what it will do next, and what it holds. Each step is one commit of the ledger or one request.
Fate may kill a process between two steps, take away an answer, or let time pass. Two states that differ only in
random tokens or in the words of the history have the same future and count as one.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine

from include.interactions.cap import Cap, Capped
from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.utc import EPOCH, MILLISECOND
from include.ledger import Ledger
from include.ledger.by_hand import ActionRefusedError
from include.ledger.planning_again import EndedFilter
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.feedback import GRACE
from plugins.pipeline.sending import SENDING_LEASE
from tests.support.ledger import NOON, REQUEST, by_run, closing
from tests.support.small_processes import FIRST_STEPS, Outside, Process, promise

LONG_AGO = NOON - timedelta(hours=1)
LEASES_OVER = max(LEASE, SENDING_LEASE) + timedelta(minutes=1)
GRACE_OVER = GRACE + timedelta(minutes=1)
ENDS = {"planned", "sent", "rejected", "unknown", "cancelled", "skipped"}


_FUTURE = ("state", "reason", "lease_until", "due_at", "attempts", "attempted_at")
"""Columns that decide what can become of a row."""


Choice = tuple[str, Callable[[Outside], Outside]]
Result = tuple[Outside, Process]
Step = tuple[str, Callable[[Outside, Process], Result], bool]


@dataclass
class SmallWorld:
    """Tries every history. `ledger` looks at the clock of the present state."""

    engine: Engine
    connection: sqlite3.Connection
    cap: Cap | None = None
    """Both interactions are then of one customer."""
    visited: set[Any] = field(default_factory=set)
    steps: int = 0
    ends: int = 0
    path: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._now = NOON
        self._snapshots: list[sqlite3.Connection] = []
        self.ledger = Ledger(self.engine, lambda: self._now)

    def explore(self, processes: tuple[Process, ...], *, faults: int, moves: int) -> None:
        """Visit every state that can be reached from two planned interactions, the second due 6 minutes later."""
        self._now = LONG_AGO + timedelta(minutes=6)
        for number in (1, 2):
            self.ledger.extraction.record_closings([self._closing(number)], by_run("setup"))
        self._now = NOON
        self._visit(Outside(NOON, processes, faults, moves))

    def _closing(self, number: int) -> Interaction:
        recorded = closing(number, closed_at=LONG_AGO + (number - 1) * timedelta(minutes=6))
        return replace(recorded, customer_email="customer@example.com") if self.cap else recorded

    def _visit(self, outside: Outside) -> None:
        rows = self.rows()
        self._check(outside, rows)
        key = self._key(outside, rows)
        if key in self.visited:
            return
        self.visited.add(key)
        choices = list(self._choices(outside))
        snapshot = self._snapshot(len(self.path))
        for number, (name, act) in enumerate(choices):
            if number:  # before the first one the ledger is still as it was
                snapshot.backup(self.connection)
            self._now = outside.now
            self.path.append(name)
            self.steps += 1
            self._visit(act(outside))
            self.path.pop()
        if not choices:
            self.ends += 1
            self._check_the_end(outside)

    def _snapshot(self, depth: int) -> sqlite3.Connection:
        """Copy the ledger to where the state of this depth is kept."""
        while len(self._snapshots) <= depth:
            self._snapshots.append(sqlite3.connect(":memory:"))
        self.connection.backup(self._snapshots[depth])
        return self._snapshots[depth]

    def rows(self) -> dict[int, sqlite3.Row]:
        self.connection.row_factory = sqlite3.Row
        found = self.connection.execute(
            "SELECT id, state, reason, token, lease_until, due_at, attempts,"
            " (SELECT max(at) FROM interaction_event AS e"
            "  WHERE e.interaction_id = i.id AND to_state = 'sending') AS attempted_at,"
            " (SELECT to_state FROM interaction_event AS e"
            "  WHERE e.interaction_id = i.id ORDER BY e.id DESC LIMIT 1) AS told"
            " FROM interaction AS i ORDER BY id"
        ).fetchall()
        self.connection.row_factory = None
        return {row["id"]: row for row in found}

    def _key(self, outside: Outside, rows: dict[int, sqlite3.Row]) -> Any:
        """What the future depends on: a token counts only by who holds it."""

        def of(process: Process) -> str:
            held = [(one.id, one.token == rows[one.id]["token"]) for one in process.held]
            seen = [
                (one.interaction_id, one.token == rows[one.interaction_id]["token"], one.attempted_at)
                for one in process.seen
            ]
            rest = (process.outcome, process.post_until, sorted(process.shown), process.read_at, process.ended)
            return repr((process.kind, process.does, held, seen, rest))

        ledger = [(*(row[name] for name in _FUTURE), row["token"] is None) for row in rows.values()]
        fate = (
            outside.now,
            outside.faults_left,
            outside.moves_left,
            sorted(outside.taken),
            sorted(outside.by_hand),
        )
        # The order of the processes means nothing: two releases that have changed places are the same state.
        return hashlib.blake2b(
            repr((ledger, sorted(map(of, outside.processes)), fate)).encode(), digest_size=16
        ).digest()

    # --- what must hold

    def _check(self, outside: Outside, rows: dict[int, sqlite3.Row]) -> None:
        promise({1, 2} <= set(rows), "an interaction is gone", self.path)
        promise(not self.cap or len(outside.taken) <= 1, "a second survey of one customer", self.path)
        for id_, row in rows.items():
            state, taken = row["state"], id_ in outside.taken
            promise(row["told"] == state, f"{id_} is {state}, its history says {row['told']}", self.path)
            if id_ not in outside.by_hand:
                again = taken and state in ("planned", "claimed", "rejected")
                promise(not again, f"{id_} was taken and is {state}", self.path)
                promise(taken or state != "sent", f"{id_} counts as sent and was never taken", self.path)

    def _check_the_end(self, outside: Outside) -> None:
        """Long after everybody has ended or died, one recovery leaves nothing behind."""
        self._now = outside.now + LEASES_OVER
        self.ledger.releasing.recover(by_run("the next run"))
        rows = self.rows()
        self._check(outside, rows)
        promise({row["state"] for row in rows.values()} <= ENDS, "held for ever", self.path)

    # --- what can happen: each step yields its name, what it does, and whether fate must spend a fault for it

    def _choices(self, outside: Outside) -> Iterator[Choice]:
        for place, process in enumerate(outside.processes):
            if process.does == "end":
                continue
            steps: list[Step] = [*getattr(self, f"_{process.does}")(process)]
            if process.does not in FIRST_STEPS:  # before its first step a death changes nothing
                steps.append(("dies", lambda o, p: (o, p.then("end", held=(), seen=())), True))
            for name, act, is_fault in steps:
                if outside.faults_left or not is_fault:
                    yield f"{process.kind} {place} {name}", _at(place, act, is_fault=is_fault)
        if outside.moves_left and any(process.does != "end" for process in outside.processes):
            for duration in (LEASES_OVER, GRACE_OVER):
                yield f"{duration} pass", _passing(duration)

    def _claim(self, process: Process) -> Iterator[Step]:
        def claim(outside: Outside, process: Process) -> Result:
            held = self.ledger.releasing.claim(
                LONG_AGO, outside.now + timedelta(days=1), 2, LEASE, by_run("release")
            )
            promise(all(one.interaction.due_at <= outside.now for one in held), "claimed early", self.path)
            latest = max(self.rows())
            superseded = latest == 3 and any(one.id == 1 for one in held)
            promise(not superseded, "claimed in spite of a later closing", self.path)
            return outside, process.then("start" if held else "end", held=tuple(held))

        yield "claims", claim, False

    def _start(self, process: Process) -> Iterator[Step]:
        def start(outside: Outside, process: Process, *, answered: bool) -> Result:
            claimed = process.held[0]
            before = self.rows()[claimed.id]
            until = self._start_sending(claimed)
            if isinstance(until, Capped):
                return outside, process.then("skip" if answered else "give_back")
            if until is not None:
                in_time = before["lease_until"] is not None and _instant(before["lease_until"]) > outside.now
                promise(in_time, "started after the lease", self.path)
                promise(before["token"] == claimed.token, "started what another one holds", self.path)
            if not answered:
                return outside, process.then("give_back")
            return outside, process.then("post", post_until=until) if until else process.next_interaction()

        yield "starts", partial(start, answered=True), False
        yield "starts, the ledger's answer is lost", partial(start, answered=False), True

    def _start_sending(self, claimed: ClaimedInteraction) -> datetime | Capped | None:
        releasing = self.ledger.releasing
        if self.cap:
            return releasing.start_capped(claimed, SENDING_LEASE, REQUEST, self.cap)
        return releasing.start_sending(claimed, SENDING_LEASE, REQUEST)

    def _skip(self, process: Process) -> Iterator[Step]:
        def skip(outside: Outside, process: Process) -> Result:
            self.ledger.releasing.veto(process.held[0], State.SKIPPED, Reason.CAPPED)
            return outside, process.next_interaction()

        yield "skips what is over the cap", skip, False

    def _give_back(self, process: Process) -> Iterator[Step]:
        def give_back(outside: Outside, process: Process) -> Result:
            given = self.ledger.releasing.give_back([process.held[0]], "ledger lost before the POST")
            return outside, process.next_interaction() if given else process.then("settle", outcome=State.PLANNED)

        yield "gives back", give_back, False

    def _post(self, process: Process) -> Iterator[Step]:
        def post(outside: Outside, process: Process, *, outcome: State, taken: bool) -> Result:
            claimed = process.held[0]
            assert process.post_until is not None
            if outside.now >= process.post_until - SENDING_LEASE / 2:  # as a release looks at the clock again
                return outside, process.then("settle", outcome=State.PLANNED)
            promise(claimed.id not in outside.taken, f"a second request of {claimed.id}", self.path)
            promise(self.rows()[claimed.id]["state"] == "sending", "a request before `sending`", self.path)
            promise(claimed.interaction.due_at <= outside.now, "a request before it is due", self.path)
            every = outside.taken | {claimed.id} if taken else outside.taken
            return replace(outside, taken=every), process.then("settle", outcome=outcome)

        yield "posts, it is taken", partial(post, outcome=State.SENT, taken=True), False
        yield "posts, it is refused", partial(post, outcome=State.REJECTED, taken=False), False
        yield "posts, it never leaves", partial(post, outcome=State.PLANNED, taken=False), True
        yield "posts, it is taken, no answer", partial(post, outcome=State.UNKNOWN, taken=True), True
        yield "posts, it is lost, no answer", partial(post, outcome=State.UNKNOWN, taken=False), True

    def _settle(self, process: Process) -> Iterator[Step]:
        def settle(outside: Outside, process: Process, *, times: int) -> Result:
            assert process.outcome is not None
            for _ in range(times):
                self.ledger.releasing.settle(process.held[0], process.outcome, 200, "words")
            return outside, process.next_interaction()

        yield f"settles as {process.outcome}", partial(settle, times=1), False
        yield f"settles as {process.outcome} twice, an answer is lost", partial(settle, times=2), True

    def _recover(self, process: Process) -> Iterator[Step]:
        def recover(outside: Outside, process: Process) -> Result:
            before = self.rows()
            self.ledger.releasing.recover(by_run("recovery"))
            for id_, row in self.rows().items():
                over = (
                    before[id_]["lease_until"] is not None and _instant(before[id_]["lease_until"]) <= outside.now
                )
                promise(over or row["state"] == before[id_]["state"], "taken from its holder", self.path)
            return outside, process.then("recover_again" if process.does == "recover" else "end")

        yield "recovers", recover, False

    _recover_again = _recover

    def _record(self, process: Process) -> Iterator[Step]:
        def record(outside: Outside, process: Process) -> Result:
            later = closing(1, closed_at=LONG_AGO + timedelta(minutes=30))
            self.ledger.extraction.record_closings([later], by_run("extraction"))
            return outside, process.then("end")

        yield "records a later closing", record, False

    def _read(self, process: Process) -> Iterator[Step]:
        yield "reads", lambda o, p: (o, p.then("list", shown=o.taken, read_at=o.now)), False

    def _list(self, process: Process) -> Iterator[Step]:
        def list_unknown(outside: Outside, process: Process) -> Result:
            seen = tuple(self.ledger.feedback.list_unknown_outcomes())
            return outside, process.then("conclude" if seen else "end", seen=seen)

        yield "lists the unknown", list_unknown, False

    def _conclude(self, process: Process) -> Iterator[Step]:
        def conclude(outside: Outside, process: Process) -> Result:
            one, read_at = process.seen[0], process.read_at
            assert read_at is not None
            if one.interaction_id in process.shown:
                self.ledger.feedback.settle_found(one.interaction_id, read_at, by_run("feedback"))
            elif one.attempted_at + GRACE <= read_at:
                self.ledger.feedback.resend_absent([one], by_run("feedback"))
            return outside, process.then("conclude" if process.seen[1:] else "end", seen=process.seen[1:])

        yield "concludes", conclude, False

    def _list_ended(self, process: Process) -> Iterator[Step]:
        def list_ended(outside: Outside, process: Process) -> Result:
            ended = tuple(self.ledger.admin.list_ended(EndedFilter(closed_from=LONG_AGO), 9))
            return outside, process.then("plan_again" if ended else "end", ended=ended)

        yield "lists what ended", list_ended, False

    def _plan_again(self, process: Process) -> Iterator[Step]:
        """Judge it as it was judged before. It may have changed since it was listed."""

        def plan_again(outside: Outside, process: Process) -> Result:
            number = int(process.ended[0].conversation_id, 16)
            self.ledger.admin.plan_again([self._closing(number)], by_run("person"), "because", dry_run=False)
            return outside, process.then("plan_again" if process.ended[1:] else "end", ended=process.ended[1:])

        yield "plans again", plan_again, False

    def _act(self, process: Process) -> Iterator[Step]:
        """A person does one action to the first interaction, at any time."""
        admin, which = self.ledger.admin, (closing(1).conversation_id, LONG_AGO)

        def act(outside: Outside, process: Process, *, what: Callable[[], object], claims: bool) -> Result:
            with suppress(ActionRefusedError):
                what()
                if claims:
                    outside = replace(outside, by_hand=outside.by_hand | {1})
            return outside, process.then("end")

        def cancel() -> None:
            admin.cancel(*which, by_run("person"), "because", dry_run=False)

        def release() -> None:
            admin.release_now(*which, by_run("person"), "because", dry_run=False)

        def settle() -> None:
            admin.settle(*which, State.CANCELLED, by_run("person"), "because", dry_run=False)

        yield "cancels", partial(act, what=cancel, claims=False), False
        yield "releases", partial(act, what=release, claims=False), False
        yield "settles as cancelled", partial(act, what=settle, claims=True), False


def _at(place: int, act: Callable[[Outside, Process], Result], *, is_fault: bool) -> Callable[[Outside], Outside]:
    def done(outside: Outside) -> Outside:
        outside, process = act(outside, outside.processes[place])
        every = (*outside.processes[:place], process, *outside.processes[place + 1 :])
        return replace(outside, processes=every, faults_left=outside.faults_left - is_fault)

    return done


def _passing(duration: timedelta) -> Callable[[Outside], Outside]:
    return lambda outside: replace(outside, now=outside.now + duration, moves_left=outside.moves_left - 1)


def _instant(stored: int) -> datetime:
    return EPOCH + stored * MILLISECOND
