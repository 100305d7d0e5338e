"""A second migration, as the first release after 1.0.0 may need one; tests copy it beside the real first one.

It shows how a ledger in use is changed while others read and write: on PostgreSQL on a connection of its own
(`apart`), where each statement commits by itself.

- A CHECK is replaced in two steps. `NOT VALID` takes a moment; `VALIDATE` reads the table and locks nobody out.
- A column is filled some thousand rows at a time.
- An index is made with `CREATE INDEX CONCURRENTLY` under another name before the old one is dropped. If that broke
  off, the next try drops the invalid index and makes it again.

SQLite has no such way: its writers wait. A ledger that the same transaction has just created is empty.
"""

import warnings

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHECK = "ck_interaction_event_transition"
CONDITION = (
    "(coalesce(from_state, '') || '>' || to_state) IN ("
    "'>planned', '>skipped', 'cancelled>cancelled', 'cancelled>planned', 'claimed>cancelled', 'claimed>planned', "
    "'claimed>sending', 'claimed>skipped', 'planned>cancelled', 'planned>claimed', 'planned>planned', "
    "'planned>skipped', 'rejected>planned', 'rejected>rejected', 'sending>planned', 'sending>rejected', "
    "'sending>sent', 'sending>unknown', 'sent>sent', 'skipped>planned', 'skipped>skipped', 'unknown>cancelled', "
    "'unknown>planned', 'unknown>rejected', 'unknown>sent', 'unknown>unknown')"
)
REPLACE_CHECK = f"ALTER TABLE interaction_event DROP CONSTRAINT {CHECK}, ADD CONSTRAINT {CHECK} CHECK ({CONDITION})"
# SQLite changes a CHECK by copying the table, which loses its triggers.
SQLITE_TRIGGERS = (
    "CREATE TRIGGER interaction_event_change "
    "BEFORE UPDATE OF id, interaction_id, at, from_state, to_state, reason ON interaction_event "
    "BEGIN SELECT RAISE(ABORT, 'an event of an interaction does not change'); END",
    "CREATE TRIGGER interaction_event_removal BEFORE DELETE ON interaction_event "
    "BEGIN SELECT RAISE(ABORT, 'an event of an interaction stays'); END",
)
FILL = (
    "UPDATE survey_response SET agent_name = (SELECT agent_name FROM interaction "
    "WHERE interaction.id = survey_response.interaction_id) WHERE agent_name IS NULL"
)
INDEXES = {
    "ix_survey_response_channel": "survey_response (channel) INCLUDE (uuid)",
    "ix_interaction_due_at": "interaction (due_at) INCLUDE (id)",
}
BATCH = 20_000


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        _upgrade_sqlite()
        return
    with bind.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as apart:
        # If this connection does not see the table, our own transaction has just made it and holds its locks.
        in_use = sa.inspect(apart).has_table("survey_response")
        if in_use:
            _upgrade_in_use(apart)
    if not in_use:
        op.execute(
            f"ALTER TABLE interaction_event DROP CONSTRAINT {CHECK}, ADD CONSTRAINT {CHECK} CHECK ({CONDITION})"
        )
        op.execute("ALTER TABLE survey_response ADD COLUMN agent_name TEXT")
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX {name}")
            op.execute(f"CREATE INDEX {name} ON {columns}")


def _upgrade_sqlite() -> None:
    # Reflection leaves CHECK constraints out: the copy has only the new one.
    with warnings.catch_warnings():
        # The foreign key leads SQLAlchemy to the other table, which stays as it is.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
        with op.batch_alter_table("interaction_event", recreate="always") as table:
            table.create_check_constraint(op.f(CHECK), sa.text(CONDITION))
    for statement in (*SQLITE_TRIGGERS, "ALTER TABLE survey_response ADD COLUMN agent_name TEXT", FILL):
        op.execute(statement)


def _upgrade_in_use(apart: sa.Connection) -> None:
    apart.execute(sa.text(f"{REPLACE_CHECK} NOT VALID"))
    apart.execute(sa.text(f"ALTER TABLE interaction_event VALIDATE CONSTRAINT {CHECK}"))
    apart.execute(sa.text("ALTER TABLE survey_response ADD COLUMN IF NOT EXISTS agent_name TEXT"))
    last = apart.execute(sa.text("SELECT coalesce(max(interaction_id), 0) FROM survey_response")).scalar_one()
    batch = sa.text(f"{FILL} AND interaction_id BETWEEN :first AND :last")
    for first in range(1, last + 1, BATCH):
        apart.execute(batch, {"first": first, "last": first + BATCH - 1})
    for name, columns in INDEXES.items():
        _replace(apart, name, columns)


def _replace(apart: sa.Connection, name: str, columns: str) -> None:
    finished = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    replaced = sa.text("SELECT pg_get_indexdef(to_regclass(:name)) LIKE '%INCLUDE%'")
    if apart.execute(replaced, {"name": name}).scalar():
        return
    if not apart.execute(finished, {"name": f"{name}_new"}).scalar():
        apart.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}_new"))
        apart.execute(sa.text(f"CREATE INDEX CONCURRENTLY {name}_new ON {columns}"))
    apart.execute(sa.text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    apart.execute(sa.text(f"ALTER INDEX {name}_new RENAME TO {name}"))
