"""What the page counts is found in indexes alone, and answers are counted by agent without a join.

Each survey response gets the agent of its interaction. Triggers keep it in step: what a worker of the older version
writes has it too, and the retention that forgets an agent forgets it here as well.

On PostgreSQL a ledger in use gets all this on a connection of its own, step by step: the column, the triggers, the
agents of older responses some thousand at a time, then each index with CREATE INDEX CONCURRENTLY under another
name, before the old one leaves. Meanwhile others read and write. If it breaks off, the next try does again what was
not finished. A ledger that the same transaction has just created is empty, and gets the indexes plainly.

A migration is history: it spells everything out and imports nothing of ours that may change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_interaction_closed_at": "interaction (closed_at) INCLUDE (id, state, reason)",
    "ix_interaction_state": "interaction (state, closed_at) INCLUDE (id)",
    "ix_interaction_agent": (
        "interaction (agent_id, closed_at) INCLUDE (id, state, reason) WHERE agent_id IS NOT NULL"
    ),
    "ix_survey_response_interaction": (
        "survey_response (interaction_id) INCLUDE (delivery_status, response_received_at)"
    ),
    "ix_survey_response_answered": (
        "survey_response (response_received_at) INCLUDE (interaction_id, agent_id, rating, uuid) "
        "WHERE response_received_at IS NOT NULL"
    ),
}
NEW = "_new"
BATCH = 20_000

OF_OLDER = (
    "UPDATE survey_response SET agent_id = (SELECT agent_id FROM interaction "
    "WHERE interaction.id = survey_response.interaction_id) WHERE agent_id IS NULL"
)
SQLITE_TRIGGERS = (
    "CREATE TRIGGER survey_response_agent AFTER INSERT ON survey_response BEGIN UPDATE survey_response "
    "SET agent_id = (SELECT agent_id FROM interaction WHERE id = NEW.interaction_id) WHERE uuid = NEW.uuid; END",
    "CREATE TRIGGER survey_response_moved AFTER UPDATE OF interaction_id ON survey_response "
    "WHEN NEW.interaction_id <> OLD.interaction_id BEGIN UPDATE survey_response "
    "SET agent_id = (SELECT agent_id FROM interaction WHERE id = NEW.interaction_id) WHERE uuid = NEW.uuid; END",
    "CREATE TRIGGER interaction_agent AFTER UPDATE OF agent_id ON interaction "
    "WHEN NEW.agent_id IS NOT OLD.agent_id BEGIN UPDATE survey_response "
    "SET agent_id = NEW.agent_id WHERE interaction_id = NEW.id; END",
)
POSTGRESQL_TRIGGERS = (
    "CREATE OR REPLACE FUNCTION survey_response_agent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "SELECT agent_id INTO NEW.agent_id FROM interaction WHERE id = NEW.interaction_id; RETURN NEW; END $$",
    "CREATE OR REPLACE TRIGGER survey_response_agent BEFORE INSERT OR UPDATE OF interaction_id ON survey_response "
    "FOR EACH ROW EXECUTE FUNCTION survey_response_agent()",
    "CREATE OR REPLACE FUNCTION interaction_agent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "UPDATE survey_response SET agent_id = NEW.agent_id WHERE interaction_id = NEW.id; RETURN NULL; END $$",
    "CREATE OR REPLACE TRIGGER interaction_agent AFTER UPDATE OF agent_id ON interaction FOR EACH ROW "
    "WHEN (OLD.agent_id IS DISTINCT FROM NEW.agent_id) EXECUTE FUNCTION interaction_agent()",
)


def upgrade() -> None:
    """Add the column, its triggers and wider indexes of the same names."""
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        op.add_column("survey_response", sa.Column("agent_id", sa.Text))
        for statement in (*SQLITE_TRIGGERS, OF_OLDER, "DROP INDEX ix_interaction_state"):  # it was never used
            op.execute(statement)
        return
    with bind.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as apart:
        # Else our own transaction has just made it, and holds what an index made apart would wait for.
        in_use = sa.inspect(apart).has_table("survey_response")
        if in_use:
            _upgrade_in_use(apart)
    if not in_use:
        op.add_column("survey_response", sa.Column("agent_id", sa.Text))
        for statement in POSTGRESQL_TRIGGERS:
            op.execute(statement)
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX {name}")
            op.execute(f"CREATE INDEX {name} ON {columns}")


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")


def _upgrade_in_use(apart: sa.Connection) -> None:
    apart.execute(sa.text("ALTER TABLE survey_response ADD COLUMN IF NOT EXISTS agent_id TEXT"))
    for statement in POSTGRESQL_TRIGGERS:
        apart.execute(sa.text(statement))
    last = apart.execute(sa.text("SELECT coalesce(max(interaction_id), 0) FROM survey_response")).scalar_one()
    some = sa.text(f"{OF_OLDER} AND interaction_id BETWEEN :first AND :last")
    for first in range(1, last + 1, BATCH):
        apart.execute(some, {"first": first, "last": first + BATCH - 1})
    for name, columns in INDEXES.items():
        _replace(apart, name, columns)


def _replace(apart: sa.Connection, name: str, columns: str) -> None:
    definition = sa.text("SELECT pg_get_indexdef(to_regclass(:name)) LIKE '%INCLUDE%'")
    if apart.execute(definition, {"name": name}).scalar():
        return
    finished = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    if not apart.execute(finished, {"name": name + NEW}).scalar():
        apart.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}{NEW}"))
        apart.execute(sa.text(f"CREATE INDEX CONCURRENTLY {name}{NEW} ON {columns}"))
    apart.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    apart.execute(sa.text(f"ALTER INDEX {name}{NEW} RENAME TO {name}"))
