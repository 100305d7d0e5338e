"""A stable place between 0 and 1 for each closing, so that retries and backfills decide alike."""

import hashlib
from datetime import datetime
from typing import Literal

from include.interactions.utc import EPOCH, MILLISECOND

Purpose = Literal["sample", "spread"]
"""Each purpose has separate places: who is in a small sample must not also be the first in the morning."""


def stable_fraction(purpose: Purpose, conversation_id: str, closed_at: datetime) -> float:
    """Return the closing's place in [0, 1): evenly distributed over closings, always the same for one of them.

    The ledger keeps a closing's time in milliseconds, so anything finer is not looked at.
    """
    milliseconds = (closed_at - EPOCH) // MILLISECOND
    digest = hashlib.sha256(f"{purpose}\n{conversation_id}\n{milliseconds}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
