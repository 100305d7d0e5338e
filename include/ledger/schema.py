"""The ledger's tables.

The migrations create them and the triggers that refuse an illegal transition and a changed event;
a test holds both against this file.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    exists,
    func,
    literal_column,
    or_,
    select,
)

from include.interactions.states import NOTED, REPLACING, TRANSITIONS, State
from include.ledger.columns import Instant, StorableText, SurveyAnswers, TagNames, TextMapping

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

RowId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only a column that is declared INTEGER."""


def word_list(words: Any) -> str:
    """Return the words as SQL literals, for a CHECK."""
    return ", ".join(f"'{word}'" for word in sorted(words))


_HELD = "'claimed', 'sending'"
_EVENTS = word_list(
    [f"{before or ''}>{after}" for before, after in TRANSITIONS] + [f"{state}>{state}" for state in NOTED]
)

interaction = Table(
    "interaction",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("conversation_id", StorableText, nullable=False),
    Column("closed_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    # A few words beside the state, from the last step that had any; never personal data.
    Column("detail", StorableText),
    Column("customer_id", StorableText),
    Column("customer_name", StorableText),
    Column("customer_email", StorableText),
    Column("agent_id", StorableText),
    Column("agent_email", StorableText),
    Column("agent_name", StorableText),
    # The early warning, hours before the release checks again; NULL until the first check.
    Column("agent_profile", Text),
    Column("tags", TagNames),
    # The customer's opt-out as the conversation showed it; NULL: it could not be read.
    Column("do_not_send", Boolean),
    # From here to `facts`: fixed when the closing is recorded.
    # The due time before a send window moved it: the expiry counts from it. NULL: it is `due_at`.
    Column("first_due_at", Instant),
    Column("rule", StorableText),
    # 'count': no survey, by a rule. NULL: a survey.
    Column("survey", Text),
    Column("channel", StorableText),
    Column("brand", StorableText),
    Column("language", StorableText),
    Column("country", StorableText),
    Column("custom_properties", TextMapping),
    # The customer's, for a send window in it.
    Column("time_zone", StorableText),
    # A person released it outside the send window.
    Column("any_time", Boolean),
    # The answer after which we reopened the conversation: the survey of this closing is a service recovery.
    Column("recovers_uuid", StorableText),
    # What rules can ask about the closing, as JSON: for the second look and for simulations.
    Column("facts", StorableText),
    # Keyed hash of the customer's address: outlives the address for as long as the cap needs.
    Column("customer_key", Text),
    # Fencing token of the claim: a row that is unknown keeps it, so that its holder, and no other
    # process, may still come back with the true outcome.
    Column("token", Text),
    Column("lease_until", Instant),
    Column("attempts", SmallInteger, nullable=False),
    Column("sent_at", Instant),
    Column("http_status", SmallInteger),
    # What the latest request said, written by the commit before it left. The request (JSON, without its customer)
    # is erased with the personal data; the channel, and whether a survey was asked for, stay.
    Column("sent_channel", StorableText),
    Column("sent_do_not_send", Boolean),
    Column("sent_request", StorableText),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("conversation_id", "closed_at"),
    CheckConstraint(f"state IN ({word_list(State)})", name="state"),
    CheckConstraint(f"(state IN ({_HELD}, 'unknown')) = (token IS NOT NULL)", name="token"),
    CheckConstraint(f"(state IN ({_HELD})) = (lease_until IS NOT NULL)", name="lease"),
    CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent"),
    CheckConstraint("(state IN ('cancelled', 'skipped')) = (reason IS NOT NULL)", name="reason"),
    CheckConstraint(
        f"state NOT IN ('planned', {_HELD}) OR (customer_email IS NOT NULL AND agent_email IS NOT NULL)",
        name="addresses",
    ),
    CheckConstraint("state NOT IN ('sending', 'sent', 'rejected', 'unknown') OR attempts > 0", name="attempts"),
    CheckConstraint("agent_profile IN ('approved', 'not_approved')", name="agent_profile"),
    CheckConstraint("due_at >= closed_at", name="due"),
    CheckConstraint("survey IN ('count')", name="survey"),
)

interaction_event = Table(
    "interaction_event",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("interaction_id", BigInteger, ForeignKey("interaction.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    Column("reason", Text),
    Column("detail", StorableText),
    # Who did it: a run, a person, or a person through a run. All NULL: the holder of the claim, who is named at the
    # event of the claim; or erased.
    Column("dag_id", StorableText),
    Column("run_id", StorableText),
    Column("person", StorableText),
    CheckConstraint(f"(coalesce(from_state, '') || '>' || to_state) IN ({_EVENTS})", name="transition"),
)

watermark = Table(
    "watermark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("covered_from", Instant, nullable=False),
    Column("covered_until", Instant, nullable=False),
    CheckConstraint("covered_until >= covered_from", name="order"),
)

# What could not be read yet: a closing, or a span of closings, that later runs read again.
deferred_reading = Table(
    "deferred_reading",
    metadata,
    Column("id", RowId, primary_key=True),
    # Empty for a span.
    Column("conversation_id", StorableText, nullable=False),
    # The closing's time, or the bounds in which it lies.
    Column("closed_from", Instant, nullable=False),
    Column("closed_to", Instant, nullable=False),
    # What failed and how; never personal data.
    Column("detail", StorableText, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_tried", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
    UniqueConstraint("conversation_id", "closed_from", "closed_to"),
    CheckConstraint("closed_to > closed_from", name="order"),
    CheckConstraint("last_tried >= first_seen", name="tried"),
)

survey_response = Table(
    "survey_response",
    metadata,
    # Stella Connect's own id: several records may tell of one interaction.
    Column("uuid", StorableText, primary_key=True),
    # Grows with each change of the record.
    Column("sequence_id", BigInteger, nullable=False),
    Column("interaction_id", BigInteger, ForeignKey("interaction.id"), nullable=False),
    Column("delivery_status", StorableText),
    Column("request_created_at", Instant),
    Column("request_sent_at", Instant),
    Column("response_received_at", Instant),
    Column("rating", SmallInteger),
    # From 0 to 10.
    Column("nps", SmallInteger),
    # First contact resolution.
    Column("resolved", Boolean),
    # The customer's own words: may hold personal data, and go when those of the interaction go.
    Column("comment", StorableText),
    # Every question with its answer, as JSON: may hold personal data too.
    Column("answers", SurveyAnswers),
    Column("disputed", Boolean),
    Column("reward", StorableText),
    Column("channel", StorableText),
    Column("brand", StorableText),
    Column("language", StorableText),
    Column("survey_name", StorableText),
    # A name, which goes with the other personal data.
    Column("team_leader", StorableText),
    # Of a service recovery; then `parent_uuid` is the record of the first survey.
    Column("is_recovery", Boolean),
    Column("parent_uuid", StorableText),
    # When the ledger last learnt something new of it.
    Column("read_at", Instant, nullable=False),
    # The interaction's, kept in step by triggers of the database: answers are counted by agent without a join.
    Column("agent_id", StorableText),
)

PERSONAL_WORDS = ("comment", "answers", "team_leader")
"""Columns of a survey response that may name a person."""

data_return_cursor = Table(
    "data_return_cursor",
    metadata,
    Column("name", Text, primary_key=True),
    # The highest number read; everything up to it has been recorded.
    Column("sequence_id", BigInteger),
    # The last complete reading by time of creation: from which creation on, and when.
    Column("reread_from", Instant),
    Column("reread_at", Instant),
    CheckConstraint("(reread_from IS NULL) = (reread_at IS NULL)", name="reread"),
)

ledger_use = Table(
    "ledger_use",
    metadata,
    Column("name", Text, primary_key=True),
    # The Airflow connection through which it was first used; another one is another organisation's mistake.
    Column("used_by", Text),
    # Why it must not be used any more; NULL while it may be used.
    Column("retired", Text),
    # The table of PostgreSQL that it was used in: a dump brings it back into another one.
    Column("place", Text),
)

ledger_restore = Table(
    "ledger_restore",
    metadata,
    Column("restored_at", Instant, primary_key=True),
    # The lost ledger may have sent what was due until then.
    Column("due_until", Instant, nullable=False),
    Column("actor", StorableText, nullable=False),
)

# What the ledger remembers besides interactions, one value for each name: `include/ledger/facts.py`.
ledger_fact = Table(
    "ledger_fact",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", StorableText, nullable=False),
    Column("changed_at", Instant, nullable=False),
)


def state_is(*states: State, row: Any = interaction) -> ColumnElement[bool]:
    """Return the condition that a row is in one of the states.

    Spelt with literals and OR: with bound values, or with IN, SQLite does not see that a partial index applies.
    """
    return or_(*(row.c.state == literal_column(f"'{state}'") for state in states))


def has_later_closing() -> ColumnElement[bool]:
    """Return the condition that a later closing of the same conversation will be, or has been, sent."""
    later = interaction.alias("later")
    return exists(
        select(later.c.id).where(
            later.c.conversation_id == interaction.c.conversation_id,
            later.c.closed_at > interaction.c.closed_at,
            state_is(*(state for state in State if state in REPLACING), row=later),
        )
    )


# Small however long the ledger grows: only the rows that still have something before them are in it.
Index(
    "ix_interaction_planned",
    interaction.c.due_at,
    postgresql_where=state_is(State.PLANNED),
    sqlite_where=state_is(State.PLANNED),
)
_open = state_is(State.CLAIMED, State.SENDING, State.UNKNOWN)
Index(
    "ix_interaction_open",
    interaction.c.state,
    interaction.c.lease_until,
    postgresql_where=_open,
    sqlite_where=_open,
)
Index("ix_interaction_event_interaction", interaction_event.c.interaction_id)

# Queries for missing and refused interactions cover only the last hours and days.
_was_sent = interaction.c.sent_at.is_not(None)
Index("ix_interaction_sent_at", interaction.c.sent_at, postgresql_where=_was_sent, sqlite_where=_was_sent)
_rejected = state_is(State.REJECTED)
Index("ix_interaction_rejected", interaction.c.updated_at, postgresql_where=_rejected, sqlite_where=_rejected)
Index(
    "ix_survey_response_interaction",
    survey_response.c.interaction_id,
    postgresql_include=["delivery_status", "response_received_at"],
)
Index("ix_survey_response_read_at", survey_response.c.read_at)

# For the page's lists. Retention removes personal data and their entries after some weeks. PostgreSQL counts by
# day from the index alone (INCLUDE), because a week has hundreds of thousands of rows.
_has_reason = interaction.c.reason.is_not(None)
_has_agent = interaction.c.agent_id.is_not(None)
_has_address = interaction.c.customer_email.is_not(None)
_has_customer = interaction.c.customer_id.is_not(None)
_has_key = interaction.c.customer_key.is_not(None)
_recovers = interaction.c.recovers_uuid.is_not(None)
_has_rule = interaction.c.rule.is_not(None)
_answered = survey_response.c.response_received_at.is_not(None)
_counted = ["id", "state", "reason"]
Index("ix_interaction_closed_at", interaction.c.closed_at, postgresql_include=[*_counted, "agent_id"])
Index("ix_interaction_due_at", interaction.c.due_at)
# Not on SQLite, which would take it for claiming, in place of ix_interaction_planned.
Index("ix_interaction_state", interaction.c.state, interaction.c.closed_at, postgresql_include=["id"]).ddl_if(
    dialect="postgresql"
)
Index(
    "ix_interaction_reason",
    interaction.c.reason,
    interaction.c.closed_at,
    postgresql_where=_has_reason,
    sqlite_where=_has_reason,
)
Index(
    "ix_interaction_agent",
    interaction.c.agent_id,
    interaction.c.closed_at,
    postgresql_include=_counted,
    postgresql_where=_has_agent,
    sqlite_where=_has_agent,
)
Index(
    "ix_interaction_customer_email",
    func.lower(interaction.c.customer_email).label("address"),
    postgresql_ops={"address": "text_pattern_ops"},  # finds by the beginning, whatever the server's locale
    postgresql_where=_has_address,
    sqlite_where=_has_address,
)
Index(
    "ix_interaction_customer",
    interaction.c.customer_id,
    postgresql_using="hash",  # half the size; no query sorts by it
    postgresql_where=_has_customer,
    sqlite_where=_has_customer,
)
Index(
    "ix_interaction_customer_key",
    interaction.c.customer_key,
    postgresql_using="hash",
    postgresql_where=_has_key,
    sqlite_where=_has_key,
)
Index("ix_interaction_recovers", interaction.c.recovers_uuid, postgresql_where=_recovers, sqlite_where=_recovers)
Index(
    "ix_interaction_rule",
    interaction.c.rule,
    interaction.c.closed_at,
    postgresql_include=[*_counted, "survey"],
    postgresql_where=_has_rule,
    sqlite_where=_has_rule,
)
Index(
    "ix_survey_response_answered",
    survey_response.c.response_received_at,
    postgresql_include=[
        "uuid",
        "agent_id",
        "team_leader",
        "brand",
        "channel",
        "rating",
        "nps",
        "resolved",
        "disputed",
        "is_recovery",
        "request_sent_at",
    ],
    postgresql_where=_answered,
    sqlite_where=_answered,
)
_answered_by_agent = _answered & survey_response.c.agent_id.is_not(None)
Index(
    "ix_survey_response_agent",
    survey_response.c.agent_id,
    survey_response.c.response_received_at,
    postgresql_where=_answered_by_agent,
    sqlite_where=_answered_by_agent,
)
Index("ix_survey_response_requested", survey_response.c.request_created_at)
Index("ix_survey_response_channel", survey_response.c.channel)
