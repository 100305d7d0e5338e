"""The steps of a release: claim, the commit before the request, the outcome; and recovery of what it left behind.

The statements are in `release_steps`.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    func,
    select,
)

from include.interactions.actor import Actor
from include.interactions.cap import Cap, Capped
from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.batches import BATCH, batches
from include.ledger.capping import find_cap
from include.ledger.columns import storable
from include.ledger.engine import without_waiting_for_the_disk
from include.ledger.release_steps import (
    CLAIM,
    GIVE_BACK,
    LEASE_OVER,
    OF_INTERACTION,
    PUT_ASIDE,
    PUT_OFF,
    RECOVER,
    SETTLE,
    START,
    START_TOGETHER,
    STILL_UNKNOWN,
    VETO,
)
from include.ledger.schema import interaction, interaction_event, state_is
from include.ledger.store import Store


@dataclass(frozen=True, slots=True)
class Recovered:
    """Interactions that a dead or stuck release left behind."""

    planned: int
    """Their request had not been sent: they wait again."""
    unknown: int
    """Their request may have been taken."""


@dataclass(frozen=True, slots=True)
class SendingStep:
    """A claimed interaction, the request that is to leave, and words for its event."""

    claimed: ClaimedInteraction
    request: Mapping[str, Any]
    detail: str | None = None

    def values(self) -> dict[str, Any]:
        """Return the statement's parameters: of the request all but its customer, whom the row has anyhow."""
        kept = {name: value for name, value in self.request.items() if name != "customer"}
        return {
            **_key(self.claimed),
            "by_channel": self.request.get("channel"),
            "without_survey": bool(self.request.get("do_not_send")),
            "body": storable(json.dumps(kept, ensure_ascii=False)),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: sent, rejected, unknown, or planned (it was not taken)."""

    claimed: ClaimedInteraction
    state: State
    http_status: int | None = None
    detail: str | None = None


class ReleasingStore(Store):
    """Gives interactions to one release and records their outcomes."""

    def list_due_times(self, before: datetime, limit: int | None = None) -> list[datetime]:
        """List the due times of the planned interactions due before that instant, oldest first."""
        due_times = (
            select(interaction.c.due_at)
            .where(state_is(State.PLANNED), interaction.c.due_at < before)
            .order_by(interaction.c.due_at)
            .limit(limit)
        )
        with self._reader.begin() as connection:
            return list(connection.execute(due_times).scalars())

    def read_state(self, conversation_id: str, closed_at: datetime) -> State | None:
        """Return the state of that closing; None if it is not recorded."""
        state = select(interaction.c.state).where(
            interaction.c.conversation_id == conversation_id, interaction.c.closed_at == closed_at
        )
        with self._reader.begin() as connection:
            row = connection.execute(state).first()
        return None if row is None else State(row.state)

    def recover(self, by: Actor) -> Recovered:
        """Take back what is held past its lease: claimed → planned, sending → unknown.

        The holder of an unknown interaction may still come back with the outcome.
        """
        with self._engine.begin() as connection:
            planned, unknown = (
                len(step.apply(connection, self._now(), {}, detail=LEASE_OVER, by=by)) for step in RECOVER
            )
        return Recovered(planned, unknown)

    def claim(
        self,
        due_from: datetime,
        due_until: datetime,
        limit: int,
        lease: timedelta,
        by: Actor,
        *,
        but_not: Collection[int] = (),
    ) -> list[ClaimedInteraction]:
        """Hold up to `limit` planned interactions due in [due_from, due_until] and by now, oldest first.

        Returns an empty list if other processes hold all due interactions. An interaction whose conversation has a
        later closing is cancelled instead. Rows that another process is claiming are passed over. If a crash of the
        database undoes a claim, the next step, `sending`, is refused. That step waits for the disk, and so for the
        claim before it.
        `but_not` names some that are left for later.
        """
        now, token = self._now(), secrets.token_hex(16)
        values = {
            "due_from": due_from,
            "due_until": min(due_until, now),
            "new_token": token,
            "new_lease": now + lease,
            "but_not": list(but_not),
        }
        claimed: list[ClaimedInteraction] = []
        with self._engine.begin() as connection:
            without_waiting_for_the_disk(connection)
            while len(claimed) < limit:
                moved = CLAIM.apply(connection, now, {**values, "most": limit - len(claimed)}, by=by)
                held = [_claimed(row, token) for row in moved if row.state == State.CLAIMED]
                claimed += held
                if len(held) == len(moved):  # otherwise cancelled rows used up the limit: look for more
                    break
        return sorted(claimed, key=lambda held: (held.interaction.due_at, held.id))

    def start_sending(
        self, claimed: ClaimedInteraction, lease: timedelta, request: Mapping[str, Any], detail: str | None = None
    ) -> datetime | None:
        """Claimed → sending, committed with what the request says; it must leave before the returned instant.

        None: the claim was lost (lease over, or taken back), send nothing.
        """
        started = self.start_all([SendingStep(claimed, request, detail)], lease)
        return started[0][1] if started else None

    def start_all(self, steps: Sequence[SendingStep], lease: timedelta) -> list[tuple[SendingStep, datetime]]:
        """Do the same for several together; returns what was started, each with its instant.

        A caller that stood still past its lease may hold an interaction by a lost claim and by a new one. Only the
        step of the new one is returned: a row says by its token who started it.
        """
        with self._stepper.begin() as connection:
            until = {(row.id, row.token): row.lease_until for row in self._start(connection, steps, lease)}
        keyed = [(step, (step.claimed.id, step.claimed.token)) for step in steps]
        return [(step, until.pop(key)) for step, key in keyed if key in until]

    def start_capped(
        self,
        claimed: ClaimedInteraction,
        lease: timedelta,
        request: Mapping[str, Any],
        cap: Cap,
        detail: str | None = None,
    ) -> datetime | Capped | None:
        """Do the same for one, unless the customer has had as many surveys as the cap allows: nothing changes then.

        Both are one transaction, one at a time for each customer, so that two releases never both pass.
        """
        with self._engine.begin() as connection:
            if capped := find_cap(connection, claimed.id, cap, self._now()):
                return capped
            started = self._start(connection, [SendingStep(claimed, request, detail)], lease)
        return started[0].lease_until if started else None

    def _start(self, connection: Connection, steps: Sequence[SendingStep], lease: timedelta) -> list[Row[Any]]:
        now = self._now()
        until = {"until": now + lease}
        rows: list[Row[Any]] = []
        if connection.dialect.name == "postgresql" and (together := [step for step in steps if not step.detail]):
            given = json.dumps([step.values() for step in together])
            rows += START_TOGETHER.apply(connection, now, {"steps": given, **until})
            steps = [step for step in steps if step.detail]
        for step in steps:
            rows += START.apply(connection, now, {**step.values(), **until}, detail=step.detail)
        return rows

    def put_off(self, claimed: ClaimedInteraction, due_at: datetime, detail: str) -> bool:
        """Claimed → planned with a later due time; its expiry still counts from the first one."""
        values = {**_key(claimed), "new_due": due_at, "words": detail}
        with self._stepper.begin() as connection:
            return bool(PUT_OFF.apply(connection, self._now(), values, detail=detail))

    def settle(
        self,
        claimed: ClaimedInteraction,
        outcome: State,
        http_status: int | None = None,
        detail: str | None = None,
    ) -> bool:
        """Write the outcome of the request: sent, rejected, unknown, or planned (it was not taken).

        The row is `sending`, or `unknown` when the lease was over before the holder came back; an unknown one keeps
        its token for that.
        Returns False and changes nothing if another process or a person has settled it.
        """
        return bool(self.settle_all([Outcome(claimed, outcome, http_status, detail)]))

    def settle_all(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Do the same for several, those that ended alike together; returns the row ids of what was written."""
        alike: defaultdict[tuple[State, int | None, str | None], list[ClaimedInteraction]] = defaultdict(list)
        for outcome in outcomes:
            alike[outcome.state, outcome.http_status, outcome.detail].append(outcome.claimed)
        written: set[int] = set()
        with self._stepper.begin() as connection:
            for (state, http_status, detail), claimed in alike.items():
                written |= self._settle(connection, claimed, state, http_status, detail)
        return written

    def _settle(
        self,
        connection: Connection,
        claimed: Sequence[ClaimedInteraction],
        outcome: State,
        http_status: int | None,
        detail: str | None,
    ) -> set[int]:
        now = self._now()
        values: dict[str, Any] = {"status": http_status, "words": detail}
        if outcome is State.SENT:
            values["sent"] = now
        written: set[int] = set()
        for before in (State.SENDING, State.UNKNOWN):  # a row goes from the first to the second, never back
            if held := [(one.id, one.token) for one in claimed if one.id not in written]:
                values["held"] = held
                if before is outcome:
                    rows = connection.execute(STILL_UNKNOWN, {**values, "at": now}).all()
                else:
                    rows = SETTLE[before, outcome].apply(connection, now, values, detail=detail)
                written |= {row.id for row in rows}
        return written

    def veto(self, claimed: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> bool:
        """Claimed → cancelled or skipped; False if the claim was lost."""
        values = {**_key(claimed), "why": reason, "words": detail}
        with self._stepper.begin() as connection:
            return bool(VETO[state].apply(connection, self._now(), values, detail=detail))

    def put_aside(self, interaction_id: int, reason: Reason, detail: str, by: Actor) -> bool:
        """Planned → skipped, for a person to look at; False if it is no longer planned."""
        values = {"row": interaction_id, "why": reason, "words": detail}
        with self._engine.begin() as connection:
            return bool(PUT_ASIDE.apply(connection, self._now(), values, detail=detail, by=by))

    def find_first_not_taken(self, interaction_id: int, words: str) -> datetime | None:
        """Return when a request of this interaction was first not taken, with a detail that begins with `words`."""
        event = interaction_event.c
        first = select(func.min(event.at)).where(
            event.interaction_id == interaction_id,
            event.from_state == State.SENDING,
            event.to_state == State.PLANNED,
            event.detail.startswith(words, autoescape=True),
        )
        with self._reader.begin() as connection:
            return connection.execute(first).scalar()

    def has_sent_since(self, since: datetime) -> bool:
        """Whether anything was sent since then."""
        sent = select(interaction.c.id).where(interaction.c.sent_at >= since).limit(1)
        with self._reader.begin() as connection:
            return connection.execute(sent).first() is not None

    def list_latest_conversations(self, but_not: Collection[str], limit: int) -> list[str]:
        """List conversations of the closings recorded last, without those named."""
        latest = (
            select(interaction.c.conversation_id).order_by(interaction.c.id.desc()).limit(limit + 2 * len(but_not))
        )
        with self._reader.begin() as connection:
            found = dict.fromkeys(connection.execute(latest).scalars())
        return [conversation for conversation in found if conversation not in set(but_not)][:limit]

    def list_served_agents(self) -> set[str]:
        """List the agents' addresses of the last thousand interactions that were sent."""
        latest = (
            select(interaction.c.agent_email)
            .where(interaction.c.sent_at.is_not(None))
            .order_by(interaction.c.sent_at.desc())
            .limit(BATCH)
        )
        with self._reader.begin() as connection:
            return {address for address in connection.execute(latest).scalars() if address is not None}

    def give_back(self, claimed: Sequence[ClaimedInteraction], detail: str | None = None) -> int:
        """Claimed → planned, for those that are still held; returns how many were."""
        given = 0
        with self._engine.begin() as connection:
            for held in batches([(held.id, held.token) for held in claimed]):
                values = {"held": held, "words": detail}
                given += len(GIVE_BACK.apply(connection, self._now(), values, detail=detail))
        return given


def _claimed(row: Row[Any], token: str) -> ClaimedInteraction:
    columns = row._mapping
    return ClaimedInteraction(
        row.id, token, Interaction(**{name: columns[name] for name in OF_INTERACTION}), row.attempts
    )


def _key(claimed: ClaimedInteraction) -> dict[str, Any]:
    return {"row": claimed.id, "held": claimed.token}
