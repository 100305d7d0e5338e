"""The interactions, their events, the watermark, and what must never happen to them.

A migration is history: it spells everything out and imports nothing of ours that may change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

TRANSITIONS = """
    'planned>claimed', 'planned>cancelled', 'planned>skipped',
    'claimed>planned', 'claimed>sending', 'claimed>cancelled', 'claimed>skipped',
    'sending>sent', 'sending>rejected', 'sending>unknown', 'sending>planned',
    'unknown>sent', 'unknown>rejected', 'unknown>planned', 'unknown>cancelled',
    'skipped>planned'
"""


def upgrade() -> None:
    """Create tables, indexes and triggers."""
    op.create_table(
        "interaction",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("closed_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("customer_id", sa.Text),
        sa.Column("customer_name", sa.Text),
        sa.Column("customer_email", sa.Text),
        sa.Column("agent_id", sa.Text),
        sa.Column("agent_email", sa.Text),
        sa.Column("agent_name", sa.Text),
        sa.Column("agent_profile", sa.Text),
        sa.Column("tags", sa.Text),
        sa.Column("do_not_send", sa.Boolean, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("http_status", sa.SmallInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint(
            "state IN ('cancelled', 'claimed', 'planned', 'rejected', 'sending', 'sent', 'skipped', 'unknown')",
            name=op.f("ck_interaction_state"),
        ),
        sa.CheckConstraint(
            "(state IN ('claimed', 'sending', 'unknown')) = (token IS NOT NULL)",
            name=op.f("ck_interaction_token"),
        ),
        sa.CheckConstraint(
            "(state IN ('claimed', 'sending')) = (lease_until IS NOT NULL)", name=op.f("ck_interaction_lease")
        ),
        sa.CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name=op.f("ck_interaction_sent")),
        sa.CheckConstraint(
            "(state IN ('cancelled', 'skipped')) = (reason IS NOT NULL)", name=op.f("ck_interaction_reason")
        ),
        sa.CheckConstraint(
            "state NOT IN ('planned', 'claimed', 'sending') "
            "OR (customer_email IS NOT NULL AND agent_email IS NOT NULL)",
            name=op.f("ck_interaction_addresses"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('sending', 'sent', 'rejected', 'unknown') OR attempts > 0",
            name=op.f("ck_interaction_attempts"),
        ),
        sa.CheckConstraint(
            "agent_profile IN ('approved', 'not_approved')", name=op.f("ck_interaction_agent_profile")
        ),
        sa.CheckConstraint("due_at >= closed_at", name=op.f("ck_interaction_due")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction")),
        sa.UniqueConstraint("conversation_id", "closed_at", name=op.f("uq_interaction_conversation_id_closed_at")),
    )
    planned = sa.text("state = 'planned'")
    op.create_index(
        "ix_interaction_planned", "interaction", ["due_at"], postgresql_where=planned, sqlite_where=planned
    )
    held = sa.text("state = 'claimed' OR state = 'sending' OR state = 'unknown'")
    op.create_index(
        "ix_interaction_open",
        "interaction",
        ["state", "lease_until"],
        postgresql_where=held,
        sqlite_where=held,
    )
    op.create_table(
        "interaction_event",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("interaction_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("from_state", sa.Text),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("actor", sa.Text),
        sa.CheckConstraint(
            "(coalesce(from_state, '') || '>' || to_state) IN ("
            "'>planned', '>skipped', "
            "'claimed>cancelled', 'claimed>planned', 'claimed>sending', 'claimed>skipped', "
            "'planned>cancelled', 'planned>claimed', 'planned>skipped', "
            "'sending>planned', 'sending>rejected', 'sending>sent', 'sending>unknown', "
            "'skipped>planned', "
            "'unknown>cancelled', 'unknown>planned', 'unknown>rejected', 'unknown>sent')",
            name=op.f("ck_interaction_event_transition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction_event")),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interaction.id"], name=op.f("fk_interaction_event_interaction_id")
        ),
    )
    op.create_index("ix_interaction_event_interaction", "interaction_event", ["interaction_id"])
    op.create_table(
        "watermark",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("covered_from", sa.BigInteger, nullable=False),
        sa.Column("covered_until", sa.BigInteger, nullable=False),
        sa.CheckConstraint("covered_until >= covered_from", name=op.f("ck_watermark_order")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watermark")),
    )
    # Naming `state` in an UPDATE is a transition, even one to the same state.
    _refuse(
        "interaction_transition",
        "BEFORE UPDATE OF state ON interaction",
        "illegal transition of an interaction",
        when=f"(OLD.state || '>' || NEW.state) NOT IN ({TRANSITIONS})",
    )
    _refuse(
        "interaction_beginning",
        "BEFORE INSERT ON interaction",
        "an interaction begins planned or skipped",
        when="NEW.state NOT IN ('planned', 'skipped')",
    )
    # What happened stays; who and the words beside it may be blanked when a person's data are erased.
    _refuse(
        "interaction_event_change",
        "BEFORE UPDATE OF id, interaction_id, at, from_state, to_state, reason ON interaction_event",
        "an event of an interaction does not change",
    )
    _refuse(
        "interaction_event_removal",
        "BEFORE DELETE ON interaction_event",
        "an event of an interaction stays",
    )


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")


def _refuse(name: str, occasion: str, message: str, when: str | None = None) -> None:
    condition = f"WHEN ({when})" if when else ""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {name} {occasion} {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN RAISE check_violation USING MESSAGE = '{message}'; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} {occasion} FOR EACH ROW {condition} EXECUTE FUNCTION {name}()")
