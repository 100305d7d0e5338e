"""The steps of a release: claim, the commit before the request, the outcome; and recovery of what it left behind.

Each step is one conditional statement: only the holder of the claim's token moves the row, once.
"""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Update, bindparam, case, func, literal_column, null, select, tuple_, update

from include.interactions.actor import Actor
from include.interactions.cap import Cap, Capped
from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.batches import BATCH, batches
from include.ledger.capping import find_cap
from include.ledger.engine import without_waiting_for_the_disk
from include.ledger.schema import has_later_closing, interaction, interaction_event, state_is
from include.ledger.store import Store
from include.ledger.transition import Transition

LEASE_OVER = "lease over"


@dataclass(frozen=True, slots=True)
class Recovered:
    """Interactions that a dead or stuck release left behind."""

    planned: int
    """Their request had not been sent: they wait again."""
    unknown: int
    """Their request may have been taken."""


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
                len(step.apply(connection, self._now(), {}, detail=LEASE_OVER, by=by)) for step in _RECOVER
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
        now = self._now()
        values = {**_key(claimed), "until": now + lease, **_as_sent(request)}
        with self._stepper.begin() as connection:
            started = START.apply(connection, now, values, detail=detail)
        return started[0].lease_until if started else None

    def start_capped(
        self,
        claimed: ClaimedInteraction,
        lease: timedelta,
        request: Mapping[str, Any],
        cap: Cap,
        detail: str | None = None,
    ) -> datetime | Capped | None:
        """Do the same, unless the customer has had as many surveys as the cap allows: then nothing is changed.

        Both are one transaction, one at a time for each customer, so that two releases never both pass.
        """
        with self._engine.begin() as connection:
            if capped := find_cap(connection, claimed.id, cap, self._now()):
                return capped
            now = self._now()
            values = {**_key(claimed), "until": now + lease, **_as_sent(request)}
            started = START.apply(connection, now, values, detail=detail)
        return started[0].lease_until if started else None

    def put_off(self, claimed: ClaimedInteraction, due_at: datetime, detail: str) -> bool:
        """Claimed → planned with a later due time; its expiry still counts from the first one."""
        values = {**_key(claimed), "new_due": due_at, "words": detail}
        with self._stepper.begin() as connection:
            return bool(_PUT_OFF.apply(connection, self._now(), values, detail=detail))

    def settle(
        self,
        claimed: ClaimedInteraction,
        outcome: State,
        http_status: int | None = None,
        detail: str | None = None,
    ) -> bool:
        """Write the outcome of the request: sent, rejected, unknown, or planned (it was not taken).

        The row is `sending`, or `unknown` when the lease was over before the holder came back; an unknown one keeps
        its token for that. On PostgreSQL each of the two is a transaction of its own.
        Returns False and changes nothing if another process or a person has settled it.
        """
        now = self._now()
        values = {**_key(claimed), "status": http_status, "words": detail}
        if outcome is State.SENT:
            values["sent"] = now
        with self._stepper.begin() as connection:
            for before in (State.SENDING, State.UNKNOWN):  # a row goes from the first to the second, never back
                if before is outcome:
                    return connection.execute(_STILL_UNKNOWN, {**values, "at": now}).scalar() is not None
                if SETTLE[before, outcome].apply(connection, now, values, detail=detail):
                    return True
        return False

    def veto(self, claimed: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> bool:
        """Claimed → cancelled or skipped; False if the claim was lost."""
        values = {**_key(claimed), "why": reason, "words": detail}
        with self._stepper.begin() as connection:
            return bool(_VETO[state].apply(connection, self._now(), values, detail=detail))

    def put_aside(self, interaction_id: int, reason: Reason, detail: str, by: Actor) -> bool:
        """Planned → skipped, for a person to look at; False if it is no longer planned."""
        values = {"row": interaction_id, "why": reason, "words": detail}
        with self._engine.begin() as connection:
            return bool(_PUT_ASIDE.apply(connection, self._now(), values, detail=detail, by=by))

    def find_last_not_taken(self, interaction_id: int, words: str) -> datetime | None:
        """Return when a request of this interaction was last not taken, with a detail that begins with `words`."""
        event = interaction_event.c
        latest = select(func.max(event.at)).where(
            event.interaction_id == interaction_id,
            event.from_state == State.SENDING,
            event.to_state == State.PLANNED,
            event.detail.startswith(words, autoescape=True),
        )
        with self._reader.begin() as connection:
            return connection.execute(latest).scalar()

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
        return [one for one in found if one not in set(but_not)][:limit]

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
                given += len(_GIVE_BACK.apply(connection, self._now(), values, detail=detail))
        return given


def _claimed(row: Row[Any], token: str) -> ClaimedInteraction:
    columns = row._mapping
    return ClaimedInteraction(
        row.id, token, Interaction(**{name: columns[name] for name in _OF_INTERACTION}), row.attempts
    )


def _claiming() -> Transition:
    # The locking CTE is worked out once; as a plain subquery PostgreSQL may repeat it and claim too many.
    candidate = (
        select(interaction.c.id, has_later_closing().label("superseded"))
        .where(
            state_is(State.PLANNED),
            interaction.c.due_at >= bindparam("due_from"),
            interaction.c.due_at <= bindparam("due_until"),
            interaction.c.id.not_in(bindparam("but_not", expanding=True)),
        )
        .order_by(interaction.c.due_at, interaction.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=interaction)
        .cte("candidate")
    )

    def unless_superseded(value: Any) -> Any:
        return case((candidate.c.superseded, null()), else_=value)

    change = (
        update(interaction)
        .where(interaction.c.id == candidate.c.id)
        .values(
            state=case((candidate.c.superseded, literal_column("'cancelled'")), else_=literal_column("'claimed'")),
            reason=case((candidate.c.superseded, literal_column("'superseded'"))),
            token=unless_superseded(bindparam("new_token", type_=interaction.c.token.type)),
            lease_until=unless_superseded(bindparam("new_lease", type_=interaction.c.lease_until.type)),
        )
    )
    return Transition(State.PLANNED, change, also=[interaction.c[name] for name in ("attempts", *_OF_INTERACTION)])


def _recovering(before: State, after: State) -> Transition:
    over = (
        select(interaction.c.id)
        .where(state_is(before), interaction.c.lease_until <= bindparam("at"))
        .with_for_update(skip_locked=True)  # a process that locks such a row is moving it
        .cte("over")
    )
    change = (
        update(interaction)
        .where(interaction.c.id.in_(select(over.c.id)))
        .values(state=after, lease_until=null(), detail=LEASE_OVER)
    )
    if after is State.PLANNED:
        change = change.values(token=null())
    return Transition(before, change)


def _as_sent(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the ledger keeps of a request: all but its customer, whom the row has anyhow."""
    kept = {name: value for name, value in request.items() if name != "customer"}
    return {
        "by_channel": request["channel"],
        "without_survey": bool(request.get("do_not_send")),
        "body": json.dumps(kept, ensure_ascii=False),
    }


def _key(claimed: ClaimedInteraction) -> dict[str, Any]:
    return {"row": claimed.id, "held": claimed.token}


def _update() -> Update:
    return update(interaction).where(interaction.c.id == bindparam("row"), interaction.c.token == bindparam("held"))


def _settling(before: State, outcome: State) -> Transition:
    values: dict[str, Any] = {"http_status": bindparam("status"), "detail": bindparam("words")}
    values |= {"state": outcome, "lease_until": null()}
    if outcome is not State.UNKNOWN:
        values["token"] = null()
    if outcome is State.SENT:
        values["sent_at"] = bindparam("sent")
    return Transition(before, _update().values(values))


_OF_INTERACTION = [field.name for field in fields(Interaction) if field.name != "skip"]
CLAIM = _claiming()
_RECOVER = (_recovering(State.CLAIMED, State.PLANNED), _recovering(State.SENDING, State.UNKNOWN))
_GIVE_BACK = Transition(
    State.CLAIMED,
    update(interaction)
    .where(tuple_(interaction.c.id, interaction.c.token).in_(bindparam("held", expanding=True)))
    .values(state=State.PLANNED, token=null(), lease_until=null(), detail=bindparam("words")),
)
_PUT_OFF = Transition(
    State.CLAIMED,
    _update().values(
        state=State.PLANNED,
        token=null(),
        lease_until=null(),
        first_due_at=func.coalesce(interaction.c.first_due_at, interaction.c.due_at),
        due_at=bindparam("new_due", type_=interaction.c.due_at.type),
        detail=bindparam("words"),
    ),
)
START = Transition(
    State.CLAIMED,
    _update()
    .where(interaction.c.lease_until > bindparam("at"))
    .values(
        state=State.SENDING,
        lease_until=bindparam("until"),
        attempts=interaction.c.attempts + 1,
        # of an earlier attempt; its event keeps the words
        http_status=null(),
        detail=null(),
        sent_channel=bindparam("by_channel"),
        sent_do_not_send=bindparam("without_survey"),
        sent_request=bindparam("body"),
    ),
    also=[interaction.c.lease_until],
)
SETTLE = {
    (before, outcome): _settling(before, outcome)
    for before in (State.SENDING, State.UNKNOWN)
    for outcome in (State.SENT, State.REJECTED, State.UNKNOWN, State.PLANNED)
    if before is not outcome
}
_STILL_UNKNOWN = (
    _update()
    .where(state_is(State.UNKNOWN))
    .values(http_status=bindparam("status"), detail=bindparam("words"), updated_at=bindparam("at"))
    .returning(interaction.c.id)
)
_VETO = {
    state: Transition(
        State.CLAIMED,
        _update().values(
            state=state, reason=bindparam("why"), detail=bindparam("words"), token=null(), lease_until=null()
        ),
    )
    for state in (State.CANCELLED, State.SKIPPED)
}
_PUT_ASIDE = Transition(
    State.PLANNED,
    update(interaction)
    .where(interaction.c.id == bindparam("row"))
    .values(state=State.SKIPPED, reason=bindparam("why"), detail=bindparam("words")),
)
