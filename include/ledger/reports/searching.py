"""Free text search for the table's search box."""

import re

from sqlalchemy import ColumnElement, Connection, and_, func, or_

from include.ledger.columns import storable
from include.ledger.reports.people import list_agents
from include.ledger.schema import interaction

MIN_CHARACTERS = 3
"""Names and e-mails are searched for at least so many."""
_LINK = re.compile(r"^https?://\S*/event/([^/?#\s]+)")


def found_by(connection: Connection, text: str, *, whole_addresses: bool = False) -> ColumnElement[bool]:
    """Return the condition that the text finds a row; see `listing.Filter`.

    Each way has its own index, so a text without matches costs little. Agents are few, so their names are
    compared here.
    """
    wanted = storable(text)
    if link := _LINK.match(wanted):
        wanted = link[1]
    row = interaction.c
    ways = [row.conversation_id == wanted, row.customer_id == wanted]
    if len(wanted) >= MIN_CHARACTERS:
        if whole_addresses:
            ways.append(func.lower(row.customer_email) == func.lower(wanted))
        else:
            ways.append(_begins_with(connection, row.customer_email, wanted))
        folded = wanted.casefold()
        agents = [
            agent.id
            for agent in list_agents(connection)
            if folded in (agent.name or "").casefold()
            or (
                folded == (agent.email or "").casefold()
                if whole_addresses
                else folded in (agent.email or "").casefold()
            )
        ]
        if agents:
            ways.append(row.agent_id.in_(agents))
    return or_(*ways)


def _begins_with(connection: Connection, column: ColumnElement[str], wanted: str) -> ColumnElement[bool]:
    # The database folds both sides, because each database folds characters beyond ASCII differently.
    small = func.lower(column)
    if connection.dialect.name == "postgresql":
        pattern = re.sub(r"([\\%_])", r"\\\1", wanted) + "%"
        return small.like(func.lower(pattern))
    begin = func.lower(wanted)
    # SQLite's LIKE does not use an index on an expression. No text sorts behind the last character of Unicode.
    return and_(column.is_not(None), small >= begin, small < begin.concat("\U0010ffff"))
