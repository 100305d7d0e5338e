"""The ledger's own key for the hash by which a customer is recognised once the address is erased."""

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
