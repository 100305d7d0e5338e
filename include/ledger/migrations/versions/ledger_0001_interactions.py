"""Create the ledger: its tables, indexes, and the triggers that refuse what must never happen.

A migration is history: it spells everything out and imports none of our code, which may change.
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
    'skipped>planned', 'cancelled>planned', 'rejected>planned'
"""
EVENTS = (
    "'>planned', '>skipped', "
    "'cancelled>cancelled', 'cancelled>planned', "
    "'claimed>cancelled', 'claimed>planned', 'claimed>sending', 'claimed>skipped', "
    "'planned>cancelled', 'planned>claimed', 'planned>skipped', "
    "'rejected>planned', 'rejected>rejected', "
    "'sending>planned', 'sending>rejected', 'sending>sent', 'sending>unknown', "
    "'sent>sent', "
    "'skipped>planned', 'skipped>skipped', "
    "'unknown>cancelled', 'unknown>planned', 'unknown>rejected', 'unknown>sent', 'unknown>unknown'"
)
"""Every transition, and the states in which an event may be recorded without a transition."""

# Keeps `survey_response.agent_id` equal to the interaction's.
SQLITE_AGENT_TRIGGERS = (
    "CREATE TRIGGER survey_response_agent AFTER INSERT ON survey_response BEGIN UPDATE survey_response "
    "SET agent_id = (SELECT agent_id FROM interaction WHERE id = NEW.interaction_id) WHERE uuid = NEW.uuid; END",
    "CREATE TRIGGER survey_response_moved AFTER UPDATE OF interaction_id ON survey_response "
    "WHEN NEW.interaction_id <> OLD.interaction_id BEGIN UPDATE survey_response "
    "SET agent_id = (SELECT agent_id FROM interaction WHERE id = NEW.interaction_id) WHERE uuid = NEW.uuid; END",
    "CREATE TRIGGER interaction_agent AFTER UPDATE OF agent_id ON interaction "
    "WHEN NEW.agent_id IS NOT OLD.agent_id BEGIN UPDATE survey_response "
    "SET agent_id = NEW.agent_id WHERE interaction_id = NEW.id; END",
)
POSTGRESQL_AGENT_TRIGGERS = (
    "CREATE FUNCTION survey_response_agent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "SELECT agent_id INTO NEW.agent_id FROM interaction WHERE id = NEW.interaction_id; RETURN NEW; END $$",
    "CREATE TRIGGER survey_response_agent BEFORE INSERT OR UPDATE OF interaction_id ON survey_response "
    "FOR EACH ROW EXECUTE FUNCTION survey_response_agent()",
    "CREATE FUNCTION interaction_agent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "UPDATE survey_response SET agent_id = NEW.agent_id WHERE interaction_id = NEW.id; RETURN NULL; END $$",
    "CREATE TRIGGER interaction_agent AFTER UPDATE OF agent_id ON interaction FOR EACH ROW "
    "WHEN (OLD.agent_id IS DISTINCT FROM NEW.agent_id) EXECUTE FUNCTION interaction_agent()",
)

# One row for each agent and day (UTC) of the closings; `agent_id` is NULL without an agent, or once it is erased.
VIEW_OF_AGENTS_AND_DAYS = """
    CREATE VIEW analytics_agent_day AS SELECT
        agent_id,
        max(agent_name) AS agent_name,
        closed_day,
        count(*) AS closed,
        count(CASE WHEN state IN ('planned', 'claimed', 'sending') THEN 1 END) AS planned,
        count(CASE WHEN state = 'sent' THEN 1 END) AS sent,
        count(CASE WHEN state = 'skipped' THEN 1 END) AS skipped,
        count(CASE WHEN state = 'cancelled' THEN 1 END) AS cancelled,
        count(CASE WHEN state = 'rejected' THEN 1 END) AS rejected,
        count(CASE WHEN state = 'unknown' THEN 1 END) AS unknown,
        count(CASE WHEN lower(delivery_status) = 'sent' OR answered_at IS NOT NULL THEN 1 END) AS delivered,
        count(answered_at) AS answered,
        count(stars) AS rated,
        avg(CAST(stars AS double precision)) AS average_stars,
        count(CASE WHEN nps >= 9 THEN 1 END) AS promoters,
        count(CASE WHEN nps <= 6 THEN 1 END) AS detractors,
        count(nps) AS nps_answers,
        count(CASE WHEN resolved THEN 1 END) AS resolved,
        count(resolved) AS resolution_answers,
        count(CASE WHEN disputed THEN 1 END) AS disputed,
        avg(hours_to_answer) AS average_hours_to_answer
    FROM analytics_interaction
    GROUP BY agent_id, closed_day"""

GRANT_TO_READER = """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_reader') THEN
            GRANT SELECT ON analytics_interaction, analytics_answer, analytics_agent_day TO ledger_reader;
        END IF;
    END $$"""


def upgrade() -> None:
    """Create tables, indexes and triggers."""
    _create_interaction()
    _create_interaction_event()
    _create_watermark()
    _create_deferred_reading()
    _create_survey_response()
    _create_answer_write()
    _create_recovery_step()
    _create_data_return_cursor()
    _create_ledger_use()
    _create_ledger_restore()
    _create_ledger_fact()
    _create_interaction_indexes()
    _create_survey_response_indexes()
    _create_refusals()
    _create_views()
    for statement in SQLITE_AGENT_TRIGGERS if _is_sqlite() else POSTGRESQL_AGENT_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: the ledger is the only memory of what was sent."""
    raise NotImplementedError("the ledger is not taken down by a migration")


def _create_interaction() -> None:
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
        sa.Column("do_not_send", sa.Boolean),
        sa.Column("first_due_at", sa.BigInteger),
        sa.Column("rule", sa.Text),
        sa.Column("survey", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("brand", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("country", sa.Text),
        sa.Column("custom_properties", sa.Text),
        sa.Column("time_zone", sa.Text),
        sa.Column("any_time", sa.Boolean),
        sa.Column("recovers_uuid", sa.Text),
        sa.Column("facts", sa.Text),
        sa.Column("customer_key", sa.Text),
        sa.Column("token", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("http_status", sa.SmallInteger),
        sa.Column("sent_channel", sa.Text),
        sa.Column("sent_do_not_send", sa.Boolean),
        sa.Column("sent_request", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        *_interaction_rules(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction")),
        sa.UniqueConstraint("conversation_id", "closed_at", name=op.f("uq_interaction_conversation_id_closed_at")),
    )


def _interaction_rules() -> list[sa.CheckConstraint]:
    rules = {
        "state": (
            "state IN ('cancelled', 'claimed', 'planned', 'rejected', 'sending', 'sent', 'skipped', 'unknown')"
        ),
        "token": "(state IN ('claimed', 'sending', 'unknown')) = (token IS NOT NULL)",
        "lease": "(state IN ('claimed', 'sending')) = (lease_until IS NOT NULL)",
        "sent": "(state = 'sent') = (sent_at IS NOT NULL)",
        "reason": "(state IN ('cancelled', 'skipped')) = (reason IS NOT NULL)",
        "addresses": (
            "state NOT IN ('planned', 'claimed', 'sending') "
            "OR (customer_email IS NOT NULL AND agent_email IS NOT NULL)"
        ),
        "attempts": "state NOT IN ('sending', 'sent', 'rejected', 'unknown') OR attempts > 0",
        "agent_profile": "agent_profile IN ('approved', 'not_approved')",
        "due": "due_at >= closed_at",
        "survey": "survey IN ('count')",
    }
    return [sa.CheckConstraint(rule, name=op.f(f"ck_interaction_{name}")) for name, rule in rules.items()]


def _create_interaction_event() -> None:
    op.create_table(
        "interaction_event",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("interaction_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("from_state", sa.Text),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("dag_id", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("person", sa.Text),
        sa.CheckConstraint(
            f"(coalesce(from_state, '') || '>' || to_state) IN ({EVENTS})",
            name=op.f("ck_interaction_event_transition"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interaction_event")),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interaction.id"], name=op.f("fk_interaction_event_interaction_id")
        ),
    )
    op.create_index("ix_interaction_event_interaction", "interaction_event", ["interaction_id"])


def _create_watermark() -> None:
    op.create_table(
        "watermark",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("covered_from", sa.BigInteger, nullable=False),
        sa.Column("covered_until", sa.BigInteger, nullable=False),
        sa.CheckConstraint("covered_until >= covered_from", name=op.f("ck_watermark_order")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watermark")),
    )


def _create_deferred_reading() -> None:
    op.create_table(
        "deferred_reading",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("closed_from", sa.BigInteger, nullable=False),
        sa.Column("closed_to", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("last_tried", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deferred_reading")),
        sa.UniqueConstraint(
            "conversation_id",
            "closed_from",
            "closed_to",
            name=op.f("uq_deferred_reading_conversation_id_closed_from_closed_to"),
        ),
        sa.CheckConstraint("closed_to > closed_from", name=op.f("ck_deferred_reading_order")),
        sa.CheckConstraint("last_tried >= first_seen", name=op.f("ck_deferred_reading_tried")),
    )


def _create_survey_response() -> None:
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
        sa.Column("nps", sa.SmallInteger),
        sa.Column("resolved", sa.Boolean),
        sa.Column("comment", sa.Text),
        sa.Column("answers", sa.Text),
        sa.Column("disputed", sa.Boolean),
        sa.Column("reward", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("brand", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("survey_name", sa.Text),
        sa.Column("team_leader", sa.Text),
        sa.Column("is_recovery", sa.Boolean),
        sa.Column("parent_uuid", sa.Text),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("agent_id", sa.Text),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_survey_response")),
        sa.ForeignKeyConstraint(
            ["interaction_id"], ["interaction.id"], name=op.f("fk_survey_response_interaction_id")
        ),
    )


def _create_answer_write() -> None:
    op.create_table(
        "answer_write",
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("answer_read_at", sa.BigInteger, nullable=False),
        sa.Column("content_hash", sa.Text),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("last_tried", sa.BigInteger),
        sa.Column("doubtful_since", sa.BigInteger),
        sa.Column("detail", sa.Text),
        sa.Column("object_id", sa.Text),
        sa.CheckConstraint("state IN ('failed', 'gone', 'pending', 'written')", name=op.f("ck_answer_write_state")),
        sa.CheckConstraint(
            "target IN ('conversation_attributes', 'kobject', 'note')", name=op.f("ck_answer_write_target")
        ),
        sa.PrimaryKeyConstraint("uuid", "target", name=op.f("pk_answer_write")),
        sa.ForeignKeyConstraint(["uuid"], ["survey_response.uuid"], name=op.f("fk_answer_write_uuid")),
    )
    _index("pending", "answer_write", ["target", "tries", "uuid"], "state = 'pending'")
    _index("failed", "answer_write", ["last_tried"], "state = 'failed'")


def _create_recovery_step() -> None:
    op.create_table(
        "recovery_step",
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("acted_at", sa.BigInteger),
        sa.Column("detail", sa.Text),
        sa.Column("planned_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("action IN ('note', 'reopen', 'tag', 'webhook')", name=op.f("ck_recovery_step_action")),
        sa.CheckConstraint(
            "state IN ('acting', 'done', 'failed', 'gone', 'pending')", name=op.f("ck_recovery_step_state")
        ),
        sa.CheckConstraint("(state = 'acting') = (token IS NOT NULL)", name=op.f("ck_recovery_step_token")),
        sa.CheckConstraint("(state = 'acting') = (lease_until IS NOT NULL)", name=op.f("ck_recovery_step_lease")),
        sa.PrimaryKeyConstraint("uuid", "action", name=op.f("pk_recovery_step")),
        sa.ForeignKeyConstraint(["uuid"], ["survey_response.uuid"], name=op.f("fk_recovery_step_uuid")),
    )
    _index("open", "recovery_step", ["planned_at"], "state IN ('acting', 'pending')")
    _index("reopening", "recovery_step", ["conversation_id"], "action = 'reopen'")
    _index("acted_at", "recovery_step", ["acted_at"])


def _create_data_return_cursor() -> None:
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


def _create_ledger_use() -> None:
    op.create_table(
        "ledger_use",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("used_by", sa.Text),
        sa.Column("retired", sa.Text),
        sa.Column("place", sa.Text),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ledger_use")),
    )


def _create_ledger_restore() -> None:
    op.create_table(
        "ledger_restore",
        sa.Column("restored_at", sa.BigInteger, nullable=False),
        sa.Column("due_until", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("restored_at", name=op.f("pk_ledger_restore")),
    )


def _create_ledger_fact() -> None:
    op.create_table(
        "ledger_fact",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ledger_fact")),
    )


def _create_interaction_indexes() -> None:
    # The condition of a partial index is spelt with OR: SQLite does not use one with IN.
    counted = ["id", "state", "reason"]
    _index("planned", "interaction", ["due_at"], "state = 'planned'")
    _index(
        "open",
        "interaction",
        ["state", "lease_until"],
        "state = 'claimed' OR state = 'sending' OR state = 'unknown'",
    )
    _index("sent_at", "interaction", ["sent_at"], "sent_at IS NOT NULL")
    _index("rejected", "interaction", ["updated_at"], "state = 'rejected'")
    _index("closed_at", "interaction", ["closed_at"], include=[*counted, "agent_id"])
    _index("due_at", "interaction", ["due_at"])
    if not _is_sqlite():  # which would use it for claiming instead of ix_interaction_planned
        _index("state", "interaction", ["state", "closed_at"], include=["id"])
    _index("reason", "interaction", ["reason", "closed_at"], "reason IS NOT NULL")
    _index("agent", "interaction", ["agent_id", "closed_at"], "agent_id IS NOT NULL", include=counted)
    # text_pattern_ops finds by the beginning, whatever the server's locale.
    address = sa.text("lower(customer_email)" if _is_sqlite() else "lower(customer_email) text_pattern_ops")
    _index("customer_email", "interaction", [address], "customer_email IS NOT NULL")
    # A hash is half the size; no query sorts by it.
    _index("customer", "interaction", ["customer_id"], "customer_id IS NOT NULL", using="hash")
    _index("customer_key", "interaction", ["customer_key"], "customer_key IS NOT NULL", using="hash")
    _index("recovers", "interaction", ["recovers_uuid"], "recovers_uuid IS NOT NULL")
    _index("rule", "interaction", ["rule", "closed_at"], "rule IS NOT NULL", include=[*counted, "survey"])


def _create_survey_response_indexes() -> None:
    _index(
        "interaction", "survey_response", ["interaction_id"], include=["delivery_status", "response_received_at"]
    )
    _index("read_at", "survey_response", ["read_at"])
    _index(
        "answered",
        "survey_response",
        ["response_received_at"],
        "response_received_at IS NOT NULL",
        include=[
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
    )
    has_agent = "response_received_at IS NOT NULL AND agent_id IS NOT NULL"
    _index("agent", "survey_response", ["agent_id", "response_received_at"], has_agent)
    _index("requested", "survey_response", ["request_created_at"])
    _index("channel", "survey_response", ["channel"])


def _index(
    name: str,
    table: str,
    columns: list[str | sa.TextClause],
    where: str | None = None,
    *,
    using: str | None = None,
    include: list[str] | None = None,
) -> None:
    """Create `ix_<table>_<name>`; `using` and `include` are PostgreSQL's."""
    condition = sa.text(where) if where else None
    op.create_index(
        f"ix_{table}_{name}",
        table,
        columns,
        postgresql_where=condition,
        sqlite_where=condition,
        postgresql_using=using,
        postgresql_include=include,
    )


def _create_views() -> None:
    """Create the views for analysts. They hold no id, name, address, comment or tag of a customer.

    In PostgreSQL the role `ledger_reader` may read them, if it exists.
    """
    for statement in (_view_of_interactions(), _view_of_answers(), VIEW_OF_AGENTS_AND_DAYS):
        op.execute(statement)
    if not _is_sqlite():
        op.execute(GRANT_TO_READER)


def _time(column: str) -> str:
    if _is_sqlite():
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch')"
    return f"to_timestamp({column} / 1000.0)"


def _day(column: str) -> str:
    if _is_sqlite():
        return f"date({column} / 1000, 'unixepoch')"
    return f"CAST(to_timestamp({column} / 1000.0) AT TIME ZONE 'UTC' AS date)"


def _view_of_interactions() -> str:
    """One row for each interaction, with the newest record of its survey."""
    return f"""
        CREATE VIEW analytics_interaction AS SELECT
            i.id AS interaction_id,
            i.conversation_id,
            {_time("i.closed_at")} AS closed_at,
            {_day("i.closed_at")} AS closed_day,
            {_time("i.due_at")} AS due_at,
            {_time("i.sent_at")} AS sent_at,
            CAST((i.sent_at - i.due_at) / 1000.0 AS double precision) AS seconds_late,
            {_time("i.updated_at")} AS changed_at,
            i.state,
            i.reason,
            i.rule,
            CASE WHEN i.survey = 'count' OR coalesce(i.sent_do_not_send, i.do_not_send) THEN 'count'
                ELSE 'survey' END AS survey,
            coalesce(r.channel, i.sent_channel, i.channel) AS channel,
            coalesce(r.brand, i.brand) AS brand,
            coalesce(r.language, i.language) AS language,
            i.country,
            i.recovers_uuid IS NOT NULL AS is_recovery,
            i.agent_id,
            i.agent_name,
            r.team_leader,
            i.attempts,
            i.http_status,
            r.uuid AS survey_uuid,
            r.survey_name,
            r.delivery_status,
            {_time("r.request_sent_at")} AS survey_sent_at,
            {_time("r.response_received_at")} AS answered_at,
            {_day("r.response_received_at")} AS answered_day,
            CAST((r.response_received_at - r.request_sent_at) / 3600000.0 AS double precision) AS hours_to_answer,
            r.rating AS stars,
            r.nps,
            r.resolved,
            r.disputed
        FROM interaction AS i
        LEFT JOIN survey_response AS r ON r.uuid = (
            SELECT newest.uuid FROM survey_response AS newest
            WHERE newest.interaction_id = i.id AND newest.is_recovery IS NOT TRUE
            ORDER BY newest.sequence_id DESC, newest.uuid LIMIT 1
        )"""  # noqa: S608 - only constants


def _view_of_answers() -> str:
    """One row for each question that a customer answered; one for each option if the customer chose several."""
    if _is_sqlite():
        questions = (
            "JOIN json_each(r.answers) AS a LEFT JOIN json_each(a.value, '$.options') AS o",
            *(f"json_extract(a.value, '$.{name}')" for name in ("type", "question", "value", "comment")),
            "o.value",
        )
    else:
        questions = (
            "CROSS JOIN LATERAL jsonb_array_elements(CAST(r.answers AS jsonb)) AS a(value) "
            "LEFT JOIN LATERAL jsonb_array_elements_text(a.value -> 'options') AS o(value) ON TRUE",
            "a.value ->> 'type'",
            "a.value ->> 'question'",
            "CAST(a.value ->> 'value' AS integer)",
            "a.value ->> 'comment'",
            "o.value",
        )
    joined, kind, question, value, comment, option = questions
    return f"""
        CREATE VIEW analytics_answer AS SELECT
            r.uuid AS survey_uuid,
            r.interaction_id,
            {_time("r.response_received_at")} AS answered_at,
            {_day("r.response_received_at")} AS answered_day,
            r.agent_id,
            i.agent_name,
            r.team_leader,
            i.rule,
            r.channel,
            r.brand,
            r.language,
            r.survey_name,
            coalesce(r.is_recovery, FALSE) AS is_recovery,
            coalesce(r.disputed, FALSE) AS disputed,
            {kind} AS question_type,
            {question} AS question,
            {option} AS option_text,
            {value} AS value,
            {comment} IS NOT NULL AS commented
        FROM survey_response AS r
        JOIN interaction AS i ON i.id = r.interaction_id
        {joined}
        WHERE r.response_received_at IS NOT NULL
            AND ({option} IS NOT NULL OR {value} IS NOT NULL OR {comment} IS NOT NULL)"""  # noqa: S608 - only constants


def _create_refusals() -> None:
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


def _refuse(name: str, occasion: str, message: str, when: str | None = None) -> None:
    condition = f"WHEN ({when})" if when else ""
    if _is_sqlite():
        op.execute(f"CREATE TRIGGER {name} {occasion} {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN RAISE check_violation USING MESSAGE = '{message}'; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} {occasion} FOR EACH ROW {condition} EXECUTE FUNCTION {name}()")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
