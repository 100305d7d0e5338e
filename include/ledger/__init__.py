"""The interaction ledger: every interaction, its state and every transition, in SQLite or PostgreSQL.

The ledger alone changes states, each in one conditional statement plus its event row.
"""

from include.interactions.span import Watermark
from include.ledger.claiming import Recovered
from include.ledger.closings import Recorded
from include.ledger.engine import connect
from include.ledger.ledger import Ledger, utc_now
from include.ledger.queries import Backlog, Event

__all__ = ["Backlog", "Event", "Ledger", "Recorded", "Recovered", "Watermark", "connect", "utc_now"]
