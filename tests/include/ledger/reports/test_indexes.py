"""The indexes come to a ledger in use without stopping it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, Index, text
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.ledger import Ledger, connect
from include.ledger.migrate import revisions, version
from include.ledger.schema import metadata
from tests.support.ledger import upgrade

pytestmark = pytest.mark.postgres
BEING_MADE = text("SELECT count(*) FROM pg_stat_progress_create_index")
UNFINISHED = text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")


def older(url: str) -> Engine:
    """A ledger of the version before, with a row in it."""
    engine = connect(url)
    with engine.begin() as connection:
        upgrade(connection, "0002")
        connection.execute(
            text(
                "INSERT INTO interaction (conversation_id, closed_at, due_at, state, customer_email, agent_email, "
                "do_not_send, attempts, created_at, updated_at, agent_id) "
                "VALUES ('c1', 0, 0, 'planned', 'c@example.com', 'a@example.com', FALSE, 0, 0, 0, 'agent-1')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO survey_response (uuid, sequence_id, interaction_id, read_at) "
                "SELECT 'u-1', 1, id, 0 FROM interaction"
            )
        )
    return engine


def test_releases_go_on_while_the_indexes_are_made(postgres_url: str) -> None:
    engine = older(postgres_url)
    with ThreadPoolExecutor() as threads:
        with engine.connect() as reader:  # what it sees must stay: an index waits for it
            reader.execution_options(isolation_level="REPEATABLE READ").execute(text("SELECT 1 FROM interaction"))
            migrations = [threads.submit(Ledger(connect(postgres_url)).migrate) for _ in range(2)]
            with engine.connect() as watcher:
                watcher.execution_options(isolation_level="AUTOCOMMIT")
                waiting = Retrying(
                    retry=retry_if_result(lambda number: number == 0),
                    stop=stop_after_delay(30),
                    wait=wait_fixed(0.05),
                )
                waiting(lambda: watcher.execute(BEING_MADE).scalar())
            with engine.begin() as writer:
                writer.execute(text("SET LOCAL lock_timeout = '5s'"))
                writer.execute(text("UPDATE interaction SET detail = 'written meanwhile'"))
            assert not any(migration.done() for migration in migrations)
        for migration in migrations:
            migration.result(60)
    with engine.connect() as connection:
        assert version(connection) == revisions()[0]
        assert connection.execute(UNFINISHED).scalar() == 0


def test_an_index_that_was_left_unfinished_is_made_anew(postgres_url: str) -> None:
    engine = older(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE INDEX ix_interaction_agent ON interaction (agent_id)"))
        connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_interaction_agent'::regclass")
        )
    Ledger(engine).migrate()
    with engine.connect() as connection:
        assert connection.execute(UNFINISHED).scalar() == 0
        definition = connection.execute(text("SELECT pg_get_indexdef('ix_interaction_agent'::regclass)")).scalar()
    assert "(agent_id, closed_at) INCLUDE (id, state, reason)" in str(definition)


def test_what_is_counted_in_an_older_ledger_is_in_its_indexes_after_a_try_that_broke_off(postgres_url: str) -> None:
    engine = older(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE survey_response ADD COLUMN agent_id TEXT"))
        connection.execute(text("CREATE INDEX ix_interaction_closed_at_new ON interaction (due_at)"))
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_interaction_closed_at_new'::regclass"
            )
        )
    Ledger(engine).migrate()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT agent_id FROM survey_response")).scalar_one() == "agent-1"
        names = connection.execute(text("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%INCLUDE%'"))
        assert set(names.scalars()) == {index.name for index in indexes_with_more()}


def indexes_with_more() -> list[Index]:
    return [
        index
        for table in metadata.sorted_tables
        for index in table.indexes
        if index.dialect_options["postgresql"]["include"]
    ]
