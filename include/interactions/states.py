"""The states of an interaction and the way between them.

The words are stored in the ledger and shown in the UI: changing one needs a migration.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an interaction stands. The way between them: `docs/architecture.md`, "States"."""

    PLANNED = "planned"
    """Waits for its due time, or for the next release after a request that was not taken."""
    CLAIMED = "claimed"
    """One release holds it under a lease; nothing has been sent."""
    SENDING = "sending"
    """Committed before the first byte is sent: from here on a crash means "unknown"."""
    SENT = "sent"
    """Stella Connect took it."""
    REJECTED = "rejected"
    """Stella Connect definitely refused it."""
    UNKNOWN = "unknown"
    """Sent, but whether it was taken is not known; looked up in Data Return, never repeated on a timer."""
    CANCELLED = "cancelled"
    """Was planned, then something happened that forbids the survey."""
    SKIPPED = "skipped"
    """Not eligible."""


TRANSITIONS: frozenset[tuple[State | None, State]] = frozenset(
    {
        (None, State.PLANNED),
        (None, State.SKIPPED),
        (State.PLANNED, State.CLAIMED),
        (State.PLANNED, State.CANCELLED),
        (State.PLANNED, State.SKIPPED),
        (State.CLAIMED, State.PLANNED),
        (State.CLAIMED, State.SENDING),
        (State.CLAIMED, State.CANCELLED),
        (State.CLAIMED, State.SKIPPED),
        (State.SENDING, State.SENT),
        (State.SENDING, State.REJECTED),
        (State.SENDING, State.UNKNOWN),
        (State.SENDING, State.PLANNED),
        (State.UNKNOWN, State.SENT),
        (State.UNKNOWN, State.REJECTED),
        (State.UNKNOWN, State.PLANNED),
        (State.UNKNOWN, State.CANCELLED),
        (State.SKIPPED, State.PLANNED),
        (State.CANCELLED, State.PLANNED),
        (State.REJECTED, State.PLANNED),
    }
)
"""Every legal (from, to); the ledger's schema refuses all others. `None` is the insert."""

REPLACING: frozenset[State] = frozenset({State.PLANNED, State.CLAIMED, State.SENDING, State.SENT, State.UNKNOWN})
"""In these states a later closing takes the place of an earlier one: it will be, or was, sent."""

NOTED: frozenset[State] = frozenset({State.SENT, State.REJECTED, State.UNKNOWN, State.CANCELLED, State.SKIPPED})
"""States in which the history may tell of an act that moves nothing, such as an erasure: (state, state)."""
