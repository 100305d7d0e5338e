"""The history of one interaction, with the other closings of its conversation."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from include.ledger import queries
from include.ledger.reports.listing import Line, lines
from include.ledger.reports.responses import Card, cards_of
from include.ledger.schema import interaction


@dataclass(frozen=True, slots=True)
class Closing:
    """One closing of the conversation: its state, its steps in order, and Stella Connect's reports."""

    line: Line
    steps: tuple[queries.Event, ...]
    responses: tuple[Card, ...]
    """Newest first; more than one if Stella Connect shows the interaction more than once."""


@dataclass(frozen=True, slots=True)
class Story:
    """The requested interaction, and every closing of its conversation (including this one), oldest first."""

    chosen: Closing
    closings: tuple[Closing, ...]


def story(connection: Connection, interaction_id: int) -> Story | None:
    """Return the story of the interaction with this row id; None if it does not exist."""
    conversation_id = connection.execute(
        select(interaction.c.conversation_id).where(interaction.c.id == interaction_id)
    ).scalar()
    if conversation_id is None:
        return None
    ids = connection.execute(
        select(interaction.c.id)
        .where(interaction.c.conversation_id == conversation_id)
        .order_by(interaction.c.closed_at)
    )
    found = lines(connection, list(ids.scalars()))
    events = queries.history(connection, conversation_id)
    responses = cards_of(connection, [line.id for line in found])
    closings = {
        line.id: Closing(
            line=line,
            steps=tuple(event for event in events if event.interaction_id == line.id),
            responses=tuple(card for card in responses if card.interaction_id == line.id),
        )
        for line in found
    }
    return Story(closings[interaction_id], tuple(closings.values()))


def latest_closing(connection: Connection, conversation_id: str) -> int | None:
    """Return the row id of the conversation's latest closing, for links that only know the conversation."""
    latest: int | None = connection.execute(
        select(interaction.c.id)
        .where(interaction.c.conversation_id == conversation_id)
        .order_by(interaction.c.closed_at.desc())
        .limit(1)
    ).scalar()
    return latest
