"""The indexes of what people look up: lists by state, reason, agent and customer, and what was answered when.

On PostgreSQL a ledger that is in use gets them one by one with CREATE INDEX CONCURRENTLY, on a connection of
their own: a plain CREATE INDEX lets nobody write, so that with ten million interactions releases would stand still
for a minute and longer. It takes longer itself, and waits for transactions that are open already. If it breaks off,
the next try keeps what is finished and makes the rest; the version is written after the last index. A ledger that
the same transaction has just created gets them plainly.

SQLite knows no such way: its writers wait meanwhile.

A migration is history: it spells everything out and imports nothing of ours that may change.
"""

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes."""
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        _create(Operations(op.get_context()), concurrently=False)
        return
    with bind.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as apart:
        # Else our own transaction has just made it, and holds what an index made apart would wait for.
        in_use = sa.inspect(apart).has_table("survey_response")
        if in_use:
            _drop_unfinished(apart)
            _create(Operations(MigrationContext.configure(apart)), concurrently=True)
    if not in_use:
        _create(Operations(op.get_context()), concurrently=False)


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")


def _create(operations: Operations, *, concurrently: bool) -> None:
    def index(
        name: str,
        table: str,
        columns: list[str | sa.TextClause],
        where: str | None = None,
        using: str | None = None,
    ) -> None:
        condition = sa.text(where) if where else None
        operations.create_index(
            name,
            table,
            columns,
            if_not_exists=concurrently,
            postgresql_concurrently=concurrently,
            postgresql_using=using,
            postgresql_where=condition,
            sqlite_where=condition,
        )

    address = "lower(customer_email)"
    if op.get_bind().dialect.name == "postgresql":
        address += " text_pattern_ops"
    index("ix_interaction_closed_at", "interaction", ["closed_at"])
    index("ix_interaction_due_at", "interaction", ["due_at"])
    operations.create_index(
        "ix_interaction_state",
        "interaction",
        ["state", "closed_at"],
        if_not_exists=concurrently,
        postgresql_concurrently=concurrently,
        # SQLite would otherwise take it for claiming, in place of ix_interaction_planned.
        sqlite_where=sa.text("state != 'planned'"),
    )
    index("ix_interaction_reason", "interaction", ["reason", "closed_at"], "reason IS NOT NULL")
    index("ix_interaction_agent", "interaction", ["agent_id", "closed_at"], "agent_id IS NOT NULL")
    index("ix_interaction_customer_email", "interaction", [sa.text(address)], "customer_email IS NOT NULL")
    index("ix_interaction_customer", "interaction", ["customer_id"], "customer_id IS NOT NULL", "hash")
    answered = "response_received_at IS NOT NULL"
    index("ix_survey_response_answered", "survey_response", ["response_received_at"], answered)
    index("ix_survey_response_channel", "survey_response", ["channel"])


def _drop_unfinished(apart: sa.Connection) -> None:
    """An index whose concurrent creation broke off is there, invalid, and in the way of its name."""
    unfinished = apart.execute(
        sa.text(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE NOT i.indisvalid AND i.indrelid IN (to_regclass('interaction'), to_regclass('survey_response'))"
        )
    ).scalars()
    for name in unfinished.all():
        apart.execute(sa.text(f'DROP INDEX CONCURRENTLY "{name}"'))
