"""The table of what was written to Kustomer."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, literal_column

from include.interactions.write_back import Target, WriteState
from include.ledger.columns import Instant, StorableText
from include.ledger.schema import metadata, word_list

answer_write = Table(
    "answer_write",
    metadata,
    Column("uuid", StorableText, ForeignKey("survey_response.uuid"), primary_key=True),
    Column("target", Text, primary_key=True),
    Column("state", Text, nullable=False),
    # The version of the answer that is to be written, or was: the `read_at` of its record.
    Column("answer_read_at", Instant, nullable=False),
    # Hash of what was last written.
    Column("content_hash", Text),
    Column("tries", Integer, nullable=False),
    Column("last_tried", Instant),
    # When a note was sent of which it is not known yet whether Kustomer took it.
    Column("doubtful_since", Instant),
    # A few words beside the state; never personal data.
    Column("detail", StorableText),
    # Kustomer's id of the note or custom object.
    Column("object_id", StorableText),
    CheckConstraint(f"state IN ({word_list(WriteState)})", name="state"),
    CheckConstraint(f"target IN ({word_list(Target)})", name="target"),
)

is_pending = answer_write.c.state == literal_column("'pending'")
is_failed = answer_write.c.state == literal_column("'failed'")
Index(
    "ix_answer_write_pending",
    answer_write.c.target,
    answer_write.c.tries,
    answer_write.c.uuid,
    postgresql_where=is_pending,
    sqlite_where=is_pending,
)
Index("ix_answer_write_failed", answer_write.c.last_tried, postgresql_where=is_failed, sqlite_where=is_failed)
