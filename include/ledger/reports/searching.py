"""Free text: what the one search box of the table finds."""

import re

from sqlalchemy import ColumnElement, Connection, and_, func, or_

from include.ledger.columns import storable
from include.ledger.reports.people import known
from include.ledger.schema import interaction

SHORTEST = 3
"""Characters of a name or an e-mail that are worth looking for."""
_LINK = re.compile(r"^https?://\S*/event/([^/?#\s]+)")


def found_by(connection: Connection, text: str, *, whole_addresses: bool = False) -> ColumnElement[bool]:
    """The condition that the text leads to a row: see `listing.Filter`.

    Each way has an index of its own, so that a text which finds nothing costs nothing. Agents are few: their names
    are looked through here.
    """
    wanted = storable(text)
    if link := _LINK.match(wanted):
        wanted = link[1]
    row = interaction.c
    ways = [row.conversation_id == wanted, row.customer_id == wanted]
    if len(wanted) >= SHORTEST:
        if whole_addresses:
            ways.append(func.lower(row.customer_email) == func.lower(wanted))
        else:
            ways.append(_begins_with(connection, row.customer_email, wanted))
        folded = wanted.casefold()
        agents = [
            agent.id
            for agent in known(connection)
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
    # Both sides are put into small letters by the database, since each has its own idea of them beyond ASCII.
    small = func.lower(column)
    if connection.dialect.name == "postgresql":
        pattern = re.sub(r"([\\%_])", r"\\\1", wanted) + "%"
        return small.like(func.lower(pattern))
    begin = func.lower(wanted)
    # SQLite's LIKE does not use an index of an expression; nothing sorts behind the last character there is.
    return and_(column.is_not(None), small >= begin, small < begin.concat("\U0010ffff"))
