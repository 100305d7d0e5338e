"""The interaction ledger: every interaction, its state and every transition, in SQLite or PostgreSQL.

The ledger alone changes states, each in one conditional statement plus its event row.
"""

from include.interactions.span import Watermark
from include.ledger.by_hand import ActionRefusedError
from include.ledger.engine import connect
from include.ledger.extraction import Recorded
from include.ledger.facts import Fact
from include.ledger.feedback import Cursor, Learnt, Shown, UnknownOutcome
from include.ledger.ledger import Ledger, utc_now
from include.ledger.maintenance.refusal import LedgerRefusedError
from include.ledger.queries import Backlog, Event
from include.ledger.recovering import RecoveryStep
from include.ledger.releasing import Recovered

__all__ = [
    "ActionRefusedError",
    "Backlog",
    "Cursor",
    "Event",
    "Fact",
    "Learnt",
    "Ledger",
    "LedgerRefusedError",
    "Recorded",
    "Recovered",
    "RecoveryStep",
    "Shown",
    "UnknownOutcome",
    "Watermark",
    "connect",
    "utc_now",
]
