"""The table of the actions after unhappy customers' answers."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, literal_column

from include.interactions.recovery import RecoveryAction, StepState
from include.ledger.columns import Instant, StorableText
from include.ledger.schema import metadata, word_list

recovery_step = Table(
    "recovery_step",
    metadata,
    Column("uuid", StorableText, ForeignKey("survey_response.uuid"), primary_key=True),
    Column("action", Text, primary_key=True),
    Column("conversation_id", StorableText, nullable=False),
    # The entry of the setting `recovery` that decided.
    Column("entry", StorableText, nullable=False),
    Column("state", Text, nullable=False),
    # Of the process that acts.
    Column("token", Text),
    Column("lease_until", Instant),
    Column("tries", Integer, nullable=False),
    # When the latest try began that may have done it.
    Column("acted_at", Instant),
    # A few words beside the state; never personal data.
    Column("detail", StorableText),
    Column("planned_at", Instant, nullable=False),
    CheckConstraint(f"action IN ({word_list(RecoveryAction)})", name="action"),
    CheckConstraint(f"state IN ({word_list(StepState)})", name="state"),
    CheckConstraint("(state = 'acting') = (token IS NOT NULL)", name="token"),
    CheckConstraint("(state = 'acting') = (lease_until IS NOT NULL)", name="lease"),
)

is_open = recovery_step.c.state.in_([literal_column("'acting'"), literal_column("'pending'")])
is_reopening = recovery_step.c.action == literal_column("'reopen'")
Index("ix_recovery_step_open", recovery_step.c.planned_at, postgresql_where=is_open, sqlite_where=is_open)
Index(
    "ix_recovery_step_reopening",
    recovery_step.c.conversation_id,
    postgresql_where=is_reopening,
    sqlite_where=is_reopening,
)
Index("ix_recovery_step_acted_at", recovery_step.c.acted_at)
