# ruff: noqa: S608 - the SQL is put together from this file's own constants
"""A ledger as it looks after months: any number of believable interactions, with their events and responses.

Made inside the database, by arithmetic on the row's number: the same at each run, and 100,000 rows a second.
It holds what makes lists slow: few busy agents and many quiet ones, an agent who left long ago, reasons and states
that are rare or occurred only in the first weeks, a channel that only came lately.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from include.interactions.utc import EPOCH, MILLISECOND
from include.ledger.schema import metadata

DELAY = timedelta(days=1)
AGENTS = 300
LEFT_EARLY = 7
"""The number of the agent whom only the first tenth of the closings know."""

_FIRST = (  # noqa: SIM905 - three lines instead of forty
    "Ada Aisha Anna Arjun Ben Carla Chen Clara David Elena Emil Fatima Felix Greta Hana Hugo Ines Ivan Jonas "
    "Julia Kofi Lara Leo Lina Luca Maja Marta Mia Mila Noah Nora Omar Oskar Paula Rosa Sami Sofia Tara Theo Yuki"
).split()
_LAST = (  # noqa: SIM905 - the same
    "Abe Adler Bauer Becker Berg Braun Costa Diaz Dubois Ebert Ferrari Fischer Frank Garcia Gomez Haas Hansen "
    "Hoang Ito Jansen Jung Kaya Keller Khan Kim Klein Koch Kowalski Kraus Lang Larsen Lopez Maier Meyer Moreau "
    "Nagy Novak Okafor Olsen Otto Park Patel Perez Rossi Roth Ruiz Santos Sato Schulz Silva Singh Smith Sousa "
    "Tan Vogel Weber Wolf Yilmaz Young Zimmer"
).split()
_COMMENTS = (
    "Quick and friendly, thank you!",
    "Took a while, but the answer was right and the agent stayed with me until the very end.",
    "I had to explain everything twice.",
)
_TAGS = ('["billing"]', '["delivery", "late"]', '["returns"]', None, '["account", "password", "second contact"]')

# Of 100,000 closings: below which number of the draw, what became of them. The last column: only when due.
_VERDICTS = (
    (3_000, "skipped", "no_customer_email", False),
    (5_000, "skipped", "no_agent_assigned", False),
    (6_500, "skipped", "merged", False),
    (7_100, "skipped", "invalid_customer_email", False),
    (7_300, "skipped", "agent_without_email", False),
    (7_320, "skipped", "malformed_record", False),
    (9_800, "cancelled", "reopened", False),
    (10_800, "cancelled", "superseded", False),
    (11_200, "cancelled", "deleted", False),
    (11_210, "cancelled", "by_hand", False),
    (13_200, "skipped", "agent_profile_not_approved", True),
    (13_300, "rejected", None, True),
    (100_000, "sent", None, True),
)
_NO_AGENT = "'no_agent_assigned', 'merged', 'malformed_record'"
_AT_EXTRACTION = f"{_NO_AGENT}, 'no_customer_email', 'invalid_customer_email', 'agent_without_email'"
_MULTIPLIERS = (
    2654435761, 2246822519, 3266489917, 668265263, 374761393, 1597334677, 3812015801, 958282463
)  # fmt: skip


def fill(
    engine: Engine,
    interactions: int,
    *,
    until: datetime,
    days: int = 30,
) -> None:
    """Fill an empty, migrated ledger with the closings of the days before `until`.

    What is due by then has been released a day after its closing, the rest is planned.
    """
    with _unguarded(engine) as connection:
        _words(connection, postgresql=engine.dialect.name == "postgresql")
        for statement in _statements(engine.dialect.name, interactions, (until - EPOCH) // MILLISECOND, days):
            connection.execute(text(statement))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE")


def agent_id(number: int) -> str:
    """Return the id of an agent; 0 is the busiest."""
    return f"5e1f{number:020x}"


@contextmanager
def _unguarded(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that takes rows in any state and makes the indexes at the end, which is quicker."""
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    with engine.begin() as connection:
        guards: list[tuple[str, str]] = []
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
            connection.execute(text("SET LOCAL work_mem = '256MB'"))
        else:
            guards = [
                (name, sql)
                for name, sql in connection.execute(
                    text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
                )
            ]
        for name, _ in guards:
            connection.execute(text(f"DROP TRIGGER {name}"))
        for index in indexes:
            index.drop(connection)
        yield connection
        for index in indexes:
            index.create(connection)
        for _, sql in guards:
            connection.execute(text(sql))


def _words(connection: Connection, *, postgresql: bool) -> None:
    connection.execute(text("CREATE TEMP TABLE word (kind TEXT, number BIGINT, word TEXT)"))
    for kind, words in {"first": _FIRST, "last": _LAST, "comment": _COMMENTS, "tags": _TAGS}.items():
        rows = [{"kind": kind, "number": number, "word": word} for number, word in enumerate(words)]
        connection.execute(text("INSERT INTO word VALUES (:kind, :number, :word)"), rows)
    connection.execute(text("CREATE TEMP TABLE agent (number BIGINT, id TEXT, name TEXT, email TEXT)"))
    agents = [
        {
            "number": number,
            "id": agent_id(number),
            "name": (name := f"{_FIRST[number * 7 % len(_FIRST)]} {_LAST[number * 11 % len(_LAST)]}"),
            "email": f"{name.replace(' ', '.').lower()}.{number}@support.example.com",
        }
        for number in range(AGENTS)
    ]
    connection.execute(text("INSERT INTO agent VALUES (:number, :id, :name, :email)"), agents)
    if postgresql:
        connection.execute(text("ANALYZE word; ANALYZE agent"))


def _statements(dialect: str, interactions: int, until: int, days: int) -> Iterator[str]:
    """Return the filling, in order. All times are milliseconds since 1970."""
    postgresql = dialect == "postgresql"
    hour, minute = 3_600_000, 60_000
    begin, span = until - days * 24 * hour, days * 24 * hour - 2 * hour

    def draw(which: int, of: int | str, number: str = "n") -> str:
        """Return an integer in [0, of), which looks random and depends on the row's number alone."""
        return f"((({number} * {_MULTIPLIERS[which]}) % 4294967296) * ({of}) / 4294967296)"

    def identity(prefix: str, number: str) -> str:
        scattered = f"({number} * 2654435761) % 4294967296"
        if postgresql:
            return f"'{prefix}' || lpad(to_hex({number}), 12, '0') || lpad(to_hex({scattered}), 8, '0')"
        return f"'{prefix}' || printf('%012x%08x', {number}, {scattered})"

    least = "least" if postgresql else "min"
    if postgresql:
        series = f"SELECT n FROM generate_series(CAST(1 AS BIGINT), {interactions}) AS numbers(n)"
    else:
        series = (
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {interactions}) "
            f"SELECT n FROM numbers"
        )

    state = " ".join(
        f"WHEN {'is_due AND ' if due else ''}drawn < {below} THEN '{word}'" for below, word, _, due in _VERDICTS
    )
    reason = " ".join(
        f"WHEN {'is_due AND ' if due else ''}drawn < {below} THEN "
        + (f"'{word}'" if word else "CAST(NULL AS TEXT)")
        for below, _, word, due in _VERDICTS
    )
    yield f"""
        CREATE TEMP TABLE closing AS
        WITH drawn AS (
            SELECT n,
                {begin} + n * {span} / {interactions} + {draw(0, hour)} AS closed_at,
                {draw(1, 100_000)} AS drawn,
                -- squared: the busiest agent has some six of a hundred interactions, the quietest next to none
                {draw(2, 10_000)} * {draw(2, 10_000)} * {AGENTS} / 100000000 AS agent,
                {draw(3, f"{interactions} / 3 + 1")} AS customer
            FROM ({series}) AS every
        ), due AS (
            SELECT n, closed_at, drawn, customer, closed_at + {DELAY // MILLISECOND} AS due_at,
                CASE WHEN agent = {LEFT_EARLY} AND n > {interactions} / 10 THEN agent + 1 ELSE agent END AS agent,
                closed_at + {DELAY // MILLISECOND} <= {until} AS is_due
            FROM drawn
        ), judged AS (
            SELECT n, closed_at, customer, due_at, agent,
                {least}((closed_at / {hour} + 1) * {hour} + 3 * {minute}, {until}) AS created_at,
                CASE
                    WHEN drawn BETWEEN 13300 AND 13309 AND n < {interactions} / 4 THEN 'skipped'
                    WHEN is_due AND drawn >= 99990 AND due_at > {until - 24 * hour} THEN 'unknown'
                    WHEN is_due AND drawn >= 95000 AND due_at > {until - 20 * minute} THEN 'planned'
                    WHEN is_due AND drawn BETWEEN 13310 AND 23310
                        AND due_at BETWEEN {begin} + {span} / 2 AND {begin} + {span} / 2 + {hour} THEN 'rejected'
                    {state} ELSE 'planned'
                END AS state,
                CASE
                    WHEN drawn BETWEEN 13300 AND 13309 AND n < {interactions} / 4 THEN 'expired'
                    {reason}
                END AS reason
            FROM due
        )
        SELECT n, closed_at, due_at, customer, agent, state, created_at,
            CASE WHEN state IN ('skipped', 'cancelled') THEN reason END AS reason,
            {least}({until}, CASE
                WHEN state IN ('sent', 'rejected', 'unknown') OR reason IN ('agent_profile_not_approved', 'expired')
                THEN due_at + {draw(4, 55_000)} + CASE
                    WHEN {draw(5, 1_000)} < 3 THEN {draw(6, 20 * minute)}
                    WHEN {draw(5, 1_000)} < 20 THEN {draw(6, 2 * minute)} ELSE 0 END
                WHEN state = 'cancelled' THEN (closed_at + due_at) / 2 ELSE created_at
            END) AS ended_at,
            -- one in forty was closed before: the same conversation again
            CASE WHEN n % 40 = 0 THEN n - 17 ELSE n END AS conversation
        FROM judged
    """
    no_agent = f"reason IN ({_NO_AGENT})"
    no_customer = f"reason IN ({_AT_EXTRACTION})"
    yield f"""
        INSERT INTO interaction (conversation_id, closed_at, due_at, state, reason, customer_id, customer_name,
            customer_email, agent_id, agent_email, agent_name, agent_profile, tags, do_not_send, token, attempts,
            sent_at, http_status, created_at, updated_at)
        SELECT
            {identity("66aa", "conversation")}, closed_at, due_at, state, reason,
            {identity("65cc", "customer")},
            CASE WHEN {no_customer} THEN NULL ELSE first.word || ' ' || last.word END,
            CASE WHEN {no_customer} THEN NULL
                ELSE lower(first.word) || '.' || lower(last.word) || customer || '@example.com' END,
            CASE WHEN {no_agent} THEN NULL ELSE agent.id END,
            CASE WHEN {no_agent} OR reason = 'agent_without_email' THEN NULL ELSE agent.email END,
            CASE WHEN {no_agent} THEN NULL ELSE agent.name END,
            CASE WHEN reason = 'agent_profile_not_approved' OR (state = 'planned' AND agent.number % 23 = 0)
                THEN 'not_approved' WHEN reason IS NULL THEN 'approved' END,
            CASE WHEN {no_customer} THEN NULL ELSE tags.word END,
            {draw(7, 100)} < 2,
            CASE WHEN state = 'unknown' THEN 'ffffffffffffffffffffffffffffffff' END,
            CASE WHEN state IN ('sent', 'rejected', 'unknown') THEN 1 ELSE 0 END,
            CASE WHEN state = 'sent' THEN ended_at END,
            CASE state WHEN 'sent' THEN 200 WHEN 'rejected' THEN 400 END,
            created_at, ended_at
        FROM closing
        JOIN agent ON agent.number = closing.agent
        JOIN word AS first ON first.kind = 'first' AND first.number = customer % {len(_FIRST)}
        JOIN word AS last ON last.kind = 'last' AND last.number = customer / {len(_FIRST)} % {len(_LAST)}
        JOIN word AS tags ON tags.kind = 'tags' AND tags.number = n % {len(_TAGS)}
        ORDER BY n
        ON CONFLICT DO NOTHING
    """
    by_run = "'kustomer_stella_connect', 'scheduled__2026-01-01T00:00:00+00:00'"
    tried = "state IN ('sent', 'rejected', 'unknown')"
    at_release = f"({tried} OR reason IN ('agent_profile_not_approved', 'expired'))"
    at_extraction = f"coalesce(reason IN ({_AT_EXTRACTION}), FALSE)"
    yield f"""
        INSERT INTO interaction_event (interaction_id, at, from_state, to_state, reason, detail, dag_id, run_id)
        SELECT id, created_at, CAST(NULL AS TEXT), CASE WHEN {at_extraction} THEN 'skipped' ELSE 'planned' END,
            CASE WHEN {at_extraction} THEN reason END, CAST(NULL AS TEXT), {by_run} FROM interaction
        UNION ALL
        SELECT id, updated_at - 300, 'planned', 'claimed', NULL, NULL, {by_run} FROM interaction WHERE {at_release}
        UNION ALL
        SELECT id, updated_at - 200, 'claimed', 'sending', NULL, NULL, NULL, NULL FROM interaction WHERE {tried}
        UNION ALL
        SELECT id, updated_at, CASE WHEN {tried} THEN 'sending' WHEN {at_release} THEN 'claimed' ELSE 'planned' END,
            state, reason, CASE state WHEN 'rejected' THEN 'POST /v1/requests: status 400, ValidationFailed' END,
            CASE WHEN {at_release} THEN NULL ELSE 'kustomer_stella_connect' END,
            CASE WHEN {at_release} THEN NULL ELSE 'scheduled__2026-01-01T00:00:00+00:00' END
        FROM interaction WHERE state <> 'planned' AND NOT {at_extraction}
        ORDER BY 2
    """
    if postgresql:
        identifier = "md5(id::text || 'response')"
        identifier = f"substr({identifier}, 1, 8) || '-' || substr({identifier}, 9, 27)"
    else:
        identifier = "printf('%08x-%027x', (id * 2654435761) % 4294967296, id)"
    answered_at = f"sent_at + {draw(3, 20 * hour, 'id')}"
    answered = f"{draw(5, 100, 'id')} < 22 AND {draw(1, 100, 'id')} < 93 AND {answered_at} < {until}"
    stars = draw(7, 100, "id")  # not by the agent, whom draw 2 has chosen
    rating = (
        f"CASE WHEN {stars} < 70 THEN 5 WHEN {stars} < 84 THEN 4 WHEN {stars} < 91 THEN 3 WHEN {stars} < 95 "
        f"THEN 2 ELSE 1 END"
    )
    asked = '{"question": "How did we do in this matter?", "comment": null, "type": '
    areas = "CASE id % 3 WHEN 0 THEN 'Speed' WHEN 1 THEN 'Friendliness' ELSE 'Knowledge' END"
    answers = (
        f"""'[{asked}"agent_star_rating", "value": ' || {rating} || ', "options": ["stars"]}}, """
        f"""{asked}"nps", "value": ' || (2 * ({rating})) || ', "options": []}}, """
        f"""{asked}"areas_of_excellence", "value": null, "options": ["' || {areas} || '"]}}]'"""
    )
    yield f"""
        INSERT INTO survey_response (uuid, sequence_id, interaction_id, delivery_status, request_created_at,
            request_sent_at, response_received_at, rating, nps, resolved, comment, answers, disputed, reward,
            channel, brand, team_leader, read_at, agent_id)
        SELECT {identifier}, 1000 + 2 * id, id,
            CASE WHEN {draw(1, 100, "id")} < 93 THEN 'Sent' WHEN {draw(1, 100, "id")} < 98
                THEN 'Not sent: suppression period' ELSE 'Hard bounce' END,
            sent_at, CASE WHEN {draw(1, 100, "id")} < 93 THEN sent_at END,
            CASE WHEN {answered} THEN {answered_at} END,
            CASE WHEN {answered} THEN {rating} END, CASE WHEN {answered} THEN 2 * ({rating}) END,
            CASE WHEN {answered} THEN {stars} < 88 END,
            CASE WHEN {answered} AND customer_email IS NOT NULL THEN word.word END,
            CASE WHEN {answered} AND customer_email IS NOT NULL THEN {answers} END,
            CASE WHEN {answered} THEN {stars} > 97 END,
            CASE WHEN {answered} AND {draw(4, 10, "id")} < 3 THEN 'Coffee voucher' END,
            CASE WHEN {draw(6, 100, "id")} < 1 AND closed_at > {begin} + {span} / 10 * 9
                THEN 'sms' ELSE 'email' END,
            'Acme', CASE WHEN customer_email IS NOT NULL THEN 'Leader ' || (length(agent_name) % 6) END,
            {least}(sent_at + {draw(3, 21 * hour, "id")}, {until}), agent_id
        FROM interaction LEFT JOIN word ON word.kind = 'comment' AND word.number = id % 7
        WHERE state = 'sent' AND {draw(0, 100, "id")} < 97
        ORDER BY sent_at
    """
    covered = until // hour * hour
    yield f"INSERT INTO watermark VALUES ('extraction', {begin}, {covered})"
    yield f"INSERT INTO data_return_cursor VALUES ('data_return', {1000 + 2 * interactions}, NULL, NULL)"
    for table in ("closing", "word", "agent"):
        yield f"DROP TABLE {table}"
