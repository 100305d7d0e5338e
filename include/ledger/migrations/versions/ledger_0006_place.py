"""Where a ledger was used: one that a dump has brought elsewhere does not know what has been sent since.

A migration is history: it spells everything out and imports nothing of ours that may change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column to a table of one row."""
    op.add_column("ledger_use", sa.Column("place", sa.Text))


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")
