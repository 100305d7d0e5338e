"""Both vendors and the clock in memory, for the model test: what they hold, and how a run reaches them.

Stand-ins for the two hooks rather than the sandbox, because the model test wants ten thousand histories of some
twenty steps each: sockets, retries and the mapping of answers to exceptions have tests of their own
(tests/plugins, tests/scenarios, tests/faults). The ledger, the domain's rules, `Extraction` and `Release` are the
real ones. The stand-ins also hold what a process sees and does against the promise, at the moment it happens.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import time_machine

from include.interactions.interaction import ClaimedInteraction
from include.interactions.settings import Settings
from include.interactions.states import REPLACING, State
from include.ledger import Ledger
from plugins.kustomer.by_id import RecordsById
from plugins.kustomer.hook import SearchPage
from plugins.pipeline.sending import SENDING_LEASE
from plugins.vendor_api.errors import KeyFault, NeverSent, OutcomeUnknown, RateLimited, Refused
from tests.support.model_choices import SOON_SECONDS, Lie, is_open, rule_for
from tests.support.model_rows import Key, Row, read_rows

TAKEN = {"201", "500 but taken", "reset but taken", "timeout but taken"}
UNANSWERED = {"500 but taken", "reset but taken", "timeout but taken", "500", "reset", "timeout"}
FAULTS = sorted((TAKEN | UNANSWERED | {"429", "connection refused", "400", "403"}) - {"201"})


class Killed(BaseException):
    """The process is dead: no `except Exception` of it runs, nor does anything it does in `finally` count."""


@dataclass
class Conversation:
    """As Kustomer shows it now."""

    id: str
    status: str = "open"
    closed_at: datetime | None = None
    agents_at_close: tuple[str, ...] = ()
    agents_now: tuple[str, ...] = ()
    removed: str | None = None
    """How it went: "gone" (404), "deleted" or "mergedInto"."""

    def record(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {"status": self.status, "assignedUsers": list(self.agents_now)}
        if self.status == "open":
            attributes["ended"] = True  # says nothing about being closed
        if self.closed_at is not None:
            attributes["lastDone"] = {
                "createdAt": self.closed_at.isoformat(),
                "assignedUsers": list(self.agents_at_close),
            }
        if self.removed is not None:
            attributes[self.removed] = True
        return {
            "id": self.id,
            "attributes": attributes,
            "relationships": {"customer": {"data": {"id": f"customer of {self.id}"}}},
        }

    def stands(self, key: Key) -> bool:
        """Whether that closing is still this conversation's last word."""
        return self.removed is None and self.status == "done" and self.closed_at == key[1]


@dataclass
class Closing:
    """The model of one closing: what its interaction is for, and what became of its requests."""

    agent: str | None
    due_at: datetime
    """Before a send window moved it."""
    rule: str | None = None
    accepted: int = 0
    refused: int = 0
    """How many requests in a row had been refused with its latest refusal; 0: it never was."""
    refused_at: datetime | None = None
    refused_before: datetime | None = None
    may_be_posted: bool = True
    """No request of it may have been taken, or Data Return has shown that none was."""


@dataclass
class World:
    """Everything outside the ledger, which it may look into but not touch."""

    settings: Settings
    ledger: Ledger
    connection: sqlite3.Connection
    clock: time_machine.Traveller
    figures: Counter[str]
    conversations: dict[str, Conversation] = field(default_factory=dict)
    approved: set[str] = field(default_factory=lambda: {"agent-0", "agent-1"})
    closings: dict[Key, Closing] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """How the next POSTs end; all others are answered with 201."""
    kustomer_fails: int = 0
    stella_fails: int = 0
    """So many of the next readings fail."""
    lie: Lie | None = None
    surveyed_at: list[datetime] = field(default_factory=list)
    """When requests for a survey were taken."""
    taken_at: datetime | None = None
    """The latest request that was taken, or found in Data Return."""

    def rows(self, conversation_id: str | None = None) -> dict[Key, Row]:
        """Return the ledger's rows, all or of one conversation."""
        return read_rows(self.connection, conversation_id)

    def forward(self, **duration: float) -> None:
        self.clock.shift(timedelta(**duration))

    def may_be_over_the_cap(self, key: Key, over: str) -> bool:
        """Whether another survey of the one customer may have left."""
        if self.settings.cap is None or self.settings.cap.over != over:
            return False
        others = [State(row.state) for other, row in self.rows().items() if other != key]
        return any(state in {State.SENDING, State.SENT, State.UNKNOWN} for state in others)

    def close(self, number: int, agents: Sequence[int]) -> None:
        self.forward(milliseconds=1)  # no two closings of a conversation share their instant
        agents_then = tuple(f"agent-{agent}" for agent in agents)
        one = self.conversations.setdefault(f"c{number}", Conversation(f"c{number}"))
        if one.removed is None:
            one.status, one.closed_at = "done", now()
            one.agents_at_close = one.agents_now = agents_then
            agent = agents_then[0] if agents_then else None
            rule = rule_for(self.settings, agent)
            delay = SOON_SECONDS if rule == "soon" else self.settings.seconds_until_send
            self.closings[one.id, now()] = Closing(agent, now() + timedelta(seconds=delay), rule)


@dataclass
class Interruption:
    """Something that happens to a process at its n-th step: before or after a commit, before or after a POST."""

    at: int | None = None
    act: Callable[[], None] | None = None
    """What happens while the process stands still; None: it is killed."""
    steps: int = 0
    dead: bool = False

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            if self.act is None:
                self.dead = True
            else:
                self.act()
        if self.dead:
            raise Killed


class Kustomer:
    """Stands in for `KustomerHook`, for one process."""

    conn_id = "kustomer_default"
    web_url = "https://acme.kustomerapp.com"
    settings = SimpleNamespace(base_url="https://acme.api.kustomerapp.com", key="a key")

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: dict[str, Conversation | None] = {}
        """What the second look saw; a conversation that could not be asked for is not in it."""

    def read_conversations(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        for one in ids:
            self.seen.pop(one, None)
        self._answer()
        found = {one: self.world.conversations[one] for one in ids}
        lied = self.world.lie == "finds nothing"
        there = {one: value for one, value in found.items() if value.removed != "gone" and not lied}
        self.seen |= {one: replace(there[one]) if one in there else None for one in ids}
        return {one: value.record() for one, value in there.items()}

    def search(self, context: str, closed_from: datetime, closed_to: datetime, **_: Any) -> Iterator[SearchPage]:
        """One page, by `lastDone` alone: the search's index does not know yet who was reopened."""
        if context == "conversation":
            self._answer()
        found = [
            one
            for one in self.world.conversations.values()
            if one.closed_at is not None and closed_from <= one.closed_at < closed_to and one.removed != "gone"
        ]
        records = [
            one.record() if context == "conversation" else self.read_customer(f"customer of {one.id}")
            for one in found
        ]
        yield SearchPage(records, len(records))

    def list_users(self) -> list[dict[str, Any]]:
        return [_user(number) for number in (0, 1)]

    def read_users(self, ids: Sequence[str]) -> RecordsById:
        users = {user["id"]: user for user in self.list_users() if self.world.lie != "finds nothing"}
        return RecordsById(found={one: users[one] for one in ids if one in users})

    def list_names(self, _kind: str) -> dict[str, str]:
        return {}

    def read_customer(self, customer_id: str, **_: Any) -> dict[str, Any]:
        email = "********" if self.world.lie == "masks all addresses" else "kim@example.com"
        return {"id": customer_id, "attributes": {"name": "Kim", "emails": [{"email": email}]}}

    def read_organisation_id(self) -> str:
        return "acme"

    def _answer(self) -> None:
        if self.world.kustomer_fails:
            self.world.kustomer_fails -= 1
            raise OutcomeUnknown("kustomer_default: no answer")


class StellaConnect:
    """Stands in for `StellaConnectHook`, for one process; judges each POST by the promise."""

    conn_id = "stella_connect_default"

    def __init__(self, world: World, kustomer: Kustomer, interruption: Interruption) -> None:
        self.world = world
        self.kustomer = kustomer
        self.interruption = interruption
        self.approved: set[str] = set()
        self.refusals = 0
        """In a row, as far as this process can know."""

    def active_employees(self) -> list[str]:
        if self.world.stella_fails:
            self.world.stella_fails -= 1
            raise OutcomeUnknown("stella_connect_default: no answer")
        self.approved = set() if self.world.lie == "approves nobody" else set(self.world.approved)
        return [spelt_by_stella(agent) for agent in sorted(self.approved)]

    def send(self, request: Mapping[str, Any]) -> int:
        key = (
            request["ext_interaction_id"],
            datetime.fromisoformat(request["custom_properties"]["closed_at"]),
        )
        closing = self.world.closings[key]
        self._judge(key, closing, request)
        closing.may_be_posted = False
        self.interruption.step()
        fate = self.world.faults.pop(0) if self.world.faults else "201"
        if self.world.lie == "refuses everything":
            fate = "400"
        figures = self.world.figures
        figures["POSTs"] += 1
        figures.update([f"fault: {fate}"] if fate != "201" else [])
        if fate in TAKEN:
            self.world.taken_at = now()
            if not request.get("do_not_send"):
                self.world.surveyed_at.append(now())
            closing.accepted += 1
            figures["accepted"] += 1
            figures["duplicates"] += closing.accepted > 1
            assert closing.accepted == 1, "Stella Connect took two requests for one closing"
        self.interruption.step()
        if fate in UNANSWERED:
            raise OutcomeUnknown(fate, status=500 if fate.startswith("500") else None)
        if fate == "201":
            self.refusals = 0
            return 201
        closing.may_be_posted = True
        if fate == "400":
            self.refusals += 1
            closing.refused, closing.refused_before, closing.refused_at = self.refusals, closing.refused_at, now()
            raise Refused(fate, status=400, code="INVALID")
        if fate == "429":
            raise RateLimited(fate, status=429, retry_after=2.0)
        raise KeyFault(fate, status=403) if fate == "403" else NeverSent(fate)

    def _judge(self, key: Key, closing: Closing, request: Mapping[str, Any]) -> None:
        early = now() < closing.due_at
        self.world.figures["early"] += early
        assert not early, "sent before it was due"
        assert closing.may_be_posted, "an outcome that is not known was repeated"
        assert self.world.rows(key[0])[key].state == State.SENDING, "`sending` was not committed before the request"
        settings = self.world.settings
        expired = now() > closing.due_at + timedelta(seconds=settings.expire_after_seconds)
        may_go_without_look = expired or settings.on_recheck_failure == "send"
        if key[0] in self.kustomer.seen:
            seen = self.kustomer.seen[key[0]]
            assert seen is not None, "a conversation that is gone was surveyed"
            assert seen.removed is None, "a conversation that is gone was surveyed"
            assert seen.closed_at is not None
            later = self.world.rows(key[0]).get((key[0], seen.closed_at))
            no_survey = later is not None and State(later.state) not in REPLACING
            undecided = later is None and may_go_without_look
            stays = seen.status != "done" or seen.closed_at <= key[1] or no_survey or undecided
            kept = settings.on_reopen == "keep" and stays
            assert seen.stands(key) or kept, "a reopened conversation was surveyed"
        else:
            assert may_go_without_look, "sent without a second look"
        assert closing.agent in self.approved, "the agent has no approved profile"
        assert request["employee"] == {"email": spelt_by_stella(closing.agent)}
        assert not (expired and settings.on_expired == "skip"), "sent after its expiry"
        quiet = request.get("do_not_send", False)
        must_be_quiet = closing.rule == "count" or (expired and settings.on_expired == "count")
        over_the_cap = self.world.may_be_over_the_cap(key, "count")
        assert quiet or not must_be_quiet, "surveyed in spite of a rule or its expiry"
        assert must_be_quiet or over_the_cap or not quiet, "not surveyed, without a reason"
        if not quiet:
            self._judge_survey()

    def _judge_survey(self) -> None:
        settings = self.world.settings
        assert is_open(settings, now()), "a survey outside the send window"
        if cap := settings.cap:
            since = now() - cap.span + SENDING_LEASE  # it counts from the commit before the request
            assert sum(at > since for at in self.world.surveyed_at) < cap.surveys, "a survey over the cap"


def now() -> datetime:
    return datetime.now(UTC)


def key_of(claimed: ClaimedInteraction) -> Key:
    return claimed.interaction.conversation_id, claimed.interaction.closed_at


def spelt_by_stella(agent: str | None) -> str:
    """Not as Kustomer spells it."""
    return f"{agent}@Example.com".title()


def _user(number: int) -> dict[str, Any]:
    return {"id": f"agent-{number}", "attributes": {"email": f"agent-{number}@example.com", "userType": "user"}}


class Threadless:
    """Stands in for the release's threads: each task is done at once, in the thread of the test.

    So a history can be repeated. (Waiting for threads took longer than all that they did.)
    """

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, task: Callable[..., object], *given: object) -> "Future[object]":
        future: Future[object] = Future()
        try:
            future.set_result(task(*given))
        except Exception as fault:  # noqa: BLE001  as a thread; what kills the process goes straight on
            future.set_exception(fault)
        return future

    def shutdown(self) -> None:
        """Nothing is under way."""
