"""The last check of both vendors, and what a check compares with Data Return."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from include.interactions.states import State
from include.interactions.vendor_check.stella_connect import SentInteraction
from include.ledger import facts
from include.ledger.schema import interaction, state_is

VENDOR_CHECK = "vendor_check"
"""The ledger's fact: the report of the last check."""


def last_check(connection: Connection) -> Mapping[str, Any] | None:
    """Return the report of the last check; None if there was none."""
    fact = facts.read(connection, VENDOR_CHECK)
    return json.loads(fact.value) if fact else None


def sent_lately(connection: Connection, since: datetime, limit: int) -> list[SentInteraction]:
    """Return the latest interactions that were sent since then, the newest first."""
    rows = connection.execute(
        select(interaction.c.conversation_id, interaction.c.closed_at, interaction.c.sent_at)
        .where(state_is(State.SENT), interaction.c.sent_at >= since)
        .order_by(interaction.c.sent_at.desc())
        .limit(limit)
    )
    return [SentInteraction(*row) for row in rows]
