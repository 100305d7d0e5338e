"""The interaction ledger: every interaction, its state and every transition, in SQLite or PostgreSQL.

The ledger alone changes states, each in one conditional statement plus its event row.
"""

from include.interactions.span import Watermark
from include.ledger.admin import ActRefusedError
from include.ledger.claiming import Recovered
from include.ledger.closings import Recorded
from include.ledger.data_return import Cursor
from include.ledger.engine import connect
from include.ledger.facts import Fact
from include.ledger.ledger import Ledger, utc_now
from include.ledger.maintenance.use import LedgerRefusedError
from include.ledger.queries import Backlog, Event
from include.ledger.settling import UnknownOutcome
from include.ledger.survey_responses import Learnt, Shown

__all__ = [
    "ActRefusedError",
    "Backlog",
    "Cursor",
    "Event",
    "Fact",
    "Learnt",
    "Ledger",
    "LedgerRefusedError",
    "Recorded",
    "Recovered",
    "Shown",
    "UnknownOutcome",
    "Watermark",
    "connect",
    "utc_now",
]
