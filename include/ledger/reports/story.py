"""One interaction from beginning to end, beside the other closings of its conversation."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from include.interactions.states import Reason, State
from include.ledger.reports.listing import Line
from include.ledger.reports.responses import Card


@dataclass(frozen=True, slots=True)
class Step:
    """One event: what happened when, by whom and why."""

    at: datetime
    from_state: State | None
    """None: the beginning."""
    to_state: State
    reason: Reason | None
    detail: str | None
    actor: str | None
    """A run's id, or a person (personal data); None once erased."""


@dataclass(frozen=True, slots=True)
class Closing:
    """One closing of the conversation: where it stands, its steps in order, what Stella Connect says of it."""

    line: Line
    steps: tuple[Step, ...]
    responses: tuple[Card, ...]
    """Newest first; more than one if Stella Connect shows the interaction more than once."""


@dataclass(frozen=True, slots=True)
class Story:
    """The interaction asked for, and every closing of its conversation (itself included), oldest first."""

    chosen: Closing
    closings: tuple[Closing, ...]


def story(connection: Connection, interaction_id: int) -> Story | None:
    """The story of the interaction with this row id; None if there is none."""
    raise NotImplementedError


def latest_closing(connection: Connection, conversation_id: str) -> int | None:
    """The row id of the conversation's latest closing, for links that know the conversation only."""
    raise NotImplementedError
