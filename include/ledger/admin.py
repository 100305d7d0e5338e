"""People's actions on the ledger."""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from include.interactions.actor import Actor
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.utc import utc_text
from include.ledger.batches import batches
from include.ledger.by_hand import ActionRefusedError, move, spellings
from include.ledger.maintenance import restoring
from include.ledger.planning_again import PlanningAgainStore
from include.ledger.schema import has_later_closing, interaction, interaction_event, state_is, survey_response


class AdminStore(PlanningAgainStore):
    """People's actions. Each locks its rows first, so that no release moves them.

    `closed_at` says which closing of the conversation is meant, if several could be.
    """

    def cancel(
        self, conversation_id: str, closed_at: datetime | None, by: Actor, why: str, *, dry_run: bool
    ) -> dict[str, int]:
        """Planned → cancelled."""
        with self._by_hand(dry_run) as connection:
            row = _lock_closing(connection, conversation_id, closed_at, State.PLANNED)
            move(connection, self._now(), [row.id], (State.PLANNED, State.CANCELLED), Reason.BY_HAND, why, by)
        return {"cancelled": 1}

    def release_now(
        self,
        conversation_id: str,
        closed_at: datetime | None,
        by: Actor,
        why: str,
        *,
        is_open: Callable[[str | None], bool] | None = None,
        any_time: bool = False,
        dry_run: bool,
    ) -> dict[str, int]:
        """Make a planned interaction due now: the next release sends it.

        Its expiry counts from this instant too. The person claims it and gives it back at once: two legal steps
        with their two events, since there is no event without a step.

        `is_open` says whether the send window is open for a customer in that time zone; None: there is no window.
        With `any_time` the person wants it sent even if the window is closed.
        """
        now = self._now()
        with self._by_hand(dry_run) as connection:
            row = _lock_closing(connection, conversation_id, closed_at, State.PLANNED)
            if is_open and not any_time and not is_open(row.time_zone):
                raise ActionRefusedError(
                    "The send window is closed now, so a release would move the due time. Say that it may be "
                    "sent outside the window, or leave it planned."
                )
            token = {"token": secrets.token_hex(16), "lease_until": now + timedelta(minutes=1)}
            move(connection, now, [row.id], (State.PLANNED, State.CLAIMED), None, why, by, **token)
            due = {"token": None, "lease_until": None, "due_at": max(now, row.closed_at), "first_due_at": None}
            due["any_time"] = any_time or None
            move(connection, now, [row.id], (State.CLAIMED, State.PLANNED), None, why, by, **due)
        return {"due_now": 1}

    def settle(
        self,
        conversation_id: str,
        closed_at: datetime | None,
        outcome: State,
        by: Actor,
        why: str,
        *,
        dry_run: bool,
    ) -> dict[str, int]:
        """Unknown → sent, planned (to be sent again) or cancelled.

        The time of sending is the one in Data Return, else the time when the request left.
        """
        with self._by_hand(dry_run) as connection:
            row = _lock_closing(connection, conversation_id, closed_at, State.UNKNOWN)
            _settle(connection, self._now(), row, outcome, by, why)
        return {str(outcome): 1}

    def settle_batch(
        self, seen: Collection[tuple[int, str]], outcome: State, by: Actor, why: str
    ) -> dict[str, int]:
        """Settle, as `settle` does, the interactions that are still unknown since the attempt that the person saw.

        `seen` holds id and token of each; another token means that a later attempt has begun since. Returns how
        many were settled, and how many were `left`: settled meanwhile, or not to be settled this way.
        """
        settled = 0
        with self._engine.begin() as connection:
            for row in _lock_unknown(connection, seen):
                try:
                    _settle(connection, self._now(), row, outcome, by, why)
                except ActionRefusedError:
                    continue
                settled += 1
        return {str(outcome): settled, "left": len(seen) - settled}

    def send_again(
        self, agent_email: str, expire_after: timedelta, by: Actor, why: str, *, dry_run: bool
    ) -> dict[str, int]:
        """Skipped because the profile was not approved → planned, for one agent and within the expiry.

        Interactions past their expiry, with a later closing or without an address stay skipped and are counted.
        """
        with self._by_hand(dry_run) as connection:
            now = self._now()
            candidates, ids = _lock_unapproved(connection, agent_email, now - expire_after)
            transition = (State.SKIPPED, State.PLANNED)
            move(connection, now, ids, transition, None, why, by, agent_profile=None)
            doubted = sum(restoring.doubt(connection, now, by, some) for some in batches(ids))
        counts = {"planned": len(ids) - doubted, "left": candidates - len(ids)}
        return counts | ({"unknown": doubted} if doubted else {})

    def mark_restored(self, due_until: datetime, by: Actor) -> int:
        """Mark the ledger as restored from an older copy: what was due until then is looked up before it is sent.

        Call it before anything else uses the copy. Returns how many interactions are unknown now.
        """
        with self._engine.begin() as connection:
            return restoring.restored(connection, self._now(), due_until, by)


def _settle(connection: Connection, now: datetime, row: Any, outcome: State, by: Actor, why: str) -> None:
    """Settle an unknown row, which the caller has locked."""
    values: dict[str, Any] = {"token": None}
    if outcome is State.SENT:
        values["sent_at"] = _taken_at(connection, row)
    else:
        _check_not_taken(connection, row, outcome)
    reason = Reason.BY_HAND if outcome is State.CANCELLED else None
    move(connection, now, [row.id], (State.UNKNOWN, outcome), reason, why, by, **values)


def _lock_unknown(connection: Connection, seen: Collection[tuple[int, str]]) -> Sequence[Any]:
    """Lock those of these rows that are unknown under the given token."""
    return connection.execute(
        select(interaction)
        .where(state_is(State.UNKNOWN), tuple_(interaction.c.id, interaction.c.token).in_(list(seen)))
        .order_by(interaction.c.id)
        .with_for_update()
    ).all()


def _lock_unapproved(connection: Connection, agent_email: str, due_after: datetime) -> tuple[int, Sequence[int]]:
    """Lock what may be sent again of this agent; returns how many were skipped, and the ids of those that may."""
    refused = (state_is(State.SKIPPED), interaction.c.reason == Reason.AGENT_PROFILE_NOT_APPROVED)
    spelt = spellings(connection, interaction.c.agent_email, agent_email, *refused)
    of_agent = (*refused, interaction.c.agent_email.in_(spelt))
    candidates = connection.execute(select(func.count()).where(*of_agent)).scalar_one()
    if not candidates:
        raise ActionRefusedError(
            "No interaction of this agent is skipped because of the profile. Check the address; perhaps they were "
            "sent again already."
        )
    ids = (
        connection.execute(
            select(interaction.c.id)
            .where(
                *of_agent,
                interaction.c.due_at > due_after,
                interaction.c.customer_email.is_not(None),
                ~has_later_closing(),
            )
            .order_by(interaction.c.id)
            .with_for_update(of=interaction)
        )
        .scalars()
        .all()
    )
    if not ids:
        raise ActionRefusedError(
            f"{candidates} interactions of this agent are skipped because of the profile. None may be sent again: "
            f"they are past their expiry, have a later closing, or are erased."
        )
    return candidates, ids


def _taken_at(connection: Connection, row: Any) -> datetime:
    """Return when Stella Connect took the request, as well as the ledger knows."""
    _, shown_at = _shown(connection, row.id)
    attempted_at = connection.execute(
        select(func.max(interaction_event.c.at)).where(
            interaction_event.c.interaction_id == row.id, interaction_event.c.to_state == State.SENDING
        )
    ).scalar()
    moment: datetime = shown_at or attempted_at or row.updated_at
    return moment


def _check_not_taken(connection: Connection, row: Any, outcome: State) -> None:
    number, _ = _shown(connection, row.id)
    if number:
        raise ActionRefusedError(
            f"Stella Connect shows the interaction of conversation {row.conversation_id}, closed "
            f"{utc_text(row.closed_at)}: it was taken. Settle it as sent."
        )
    if outcome is State.PLANNED and (row.customer_email is None or row.agent_email is None):
        raise ActionRefusedError(
            f"The addresses of conversation {row.conversation_id}, closed {utc_text(row.closed_at)}, have been "
            f"erased: it cannot be sent again. Settle it as sent or cancelled."
        )


def _shown(connection: Connection, interaction_id: int) -> tuple[int, datetime | None]:
    """Count the records that Stella Connect shows of it; returns also when it took the first."""
    created_at = func.coalesce(survey_response.c.request_created_at, survey_response.c.read_at)
    number, first = connection.execute(
        select(func.count(), func.min(created_at)).where(survey_response.c.interaction_id == interaction_id)
    ).one()
    return number, first


def _lock_closing(connection: Connection, conversation_id: str, closed_at: datetime | None, state: State) -> Any:
    """Lock and return the conversation's row in this state."""
    rows = connection.execute(
        select(interaction)
        .where(interaction.c.conversation_id == conversation_id)
        .order_by(interaction.c.closed_at)
        .with_for_update()
    ).all()
    if not rows:
        raise ActionRefusedError(f"The ledger knows no conversation {conversation_id!r:.80}.")
    standing = "; ".join(f"closed {utc_text(row.closed_at)}: {row.state}" for row in rows)
    fitting = [row for row in rows if row.state == state and closed_at in (None, row.closed_at)]
    if not fitting:
        closing = "" if closed_at is None else f" closed {utc_text(closed_at)}"
        raise ActionRefusedError(
            f"Conversation {conversation_id} has no {state} interaction{closing} ({standing})."
        )
    if len(fitting) > 1:
        raise ActionRefusedError(
            f"Conversation {conversation_id} has {len(fitting)} {state} interactions ({standing}): say which "
            f"by the time of its closing."
        )
    return fitting[0]
