"""Who uses a ledger, whether it still may be used, and what an older copy of it cannot know.

A migration is history: it spells everything out and imports nothing of ours that may change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create two small tables."""
    op.create_table(
        "ledger_use",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("used_by", sa.Text),
        sa.Column("retired", sa.Text),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ledger_use")),
    )
    op.create_table(
        "ledger_restore",
        sa.Column("restored_at", sa.BigInteger, nullable=False),
        sa.Column("due_until", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("restored_at", name=op.f("pk_ledger_restore")),
    )


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")
