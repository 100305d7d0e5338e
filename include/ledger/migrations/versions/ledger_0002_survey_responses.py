"""What Stella Connect says became of each interaction, and how far that has been read.

A migration is history: it spells everything out and imports nothing of ours that may change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create tables and indexes."""
    op.create_table(
        "survey_response",
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("sequence_id", sa.BigInteger, nullable=False),
        sa.Column("interaction_id", sa.BigInteger, nullable=False),
        sa.Column("delivery_status", sa.Text),
        sa.Column("request_created_at", sa.BigInteger),
        sa.Column("request_sent_at", sa.BigInteger),
        sa.Column("response_received_at", sa.BigInteger),
        sa.Column("rating", sa.SmallInteger),
        sa.Column("comment", sa.Text),
        sa.Column("reward", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("brand", sa.Text),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_survey_response")),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interaction.id"], name=op.f("fk_survey_response_interaction_id")
        ),
    )
    op.create_index("ix_survey_response_interaction", "survey_response", ["interaction_id"])
    op.create_index("ix_survey_response_read_at", "survey_response", ["read_at"])
    op.create_table(
        "data_return_cursor",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sequence_id", sa.BigInteger),
        sa.Column("reread_from", sa.BigInteger),
        sa.Column("reread_at", sa.BigInteger),
        sa.CheckConstraint(
            "(reread_from IS NULL) = (reread_at IS NULL)", name=op.f("ck_data_return_cursor_reread")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_data_return_cursor")),
    )
    was_sent = sa.text("sent_at IS NOT NULL")
    op.create_index(
        "ix_interaction_sent_at", "interaction", ["sent_at"], postgresql_where=was_sent, sqlite_where=was_sent
    )
    rejected = sa.text("state = 'rejected'")
    op.create_index(
        "ix_interaction_rejected", "interaction", ["updated_at"], postgresql_where=rejected, sqlite_where=rejected
    )


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")
