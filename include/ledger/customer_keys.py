"""The ledger's secret for the hash that recognises a customer after the address was erased."""

import secrets
from datetime import datetime

from sqlalchemy import Connection

from include.interactions.cap import KEY_BYTES
from include.ledger import facts

KEY_FACT = "customer_key"
"""Name of the ledger's fact that holds it."""


def read_secret(connection: Connection, now: datetime) -> bytes:
    """Return the key; the first who asks makes it."""
    facts.replace(connection, KEY_FACT, None, secrets.token_hex(KEY_BYTES), now)
    made = facts.read(connection, KEY_FACT)
    return bytes.fromhex(made.value if made else "")
