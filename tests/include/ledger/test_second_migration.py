"""A migration changes a ledger in use without stopping it. Nothing is released yet: the second one is synthetic."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from include.interactions.reasons import Reason
from include.ledger import Ledger, connect
from include.ledger.migrate import SCRIPTS, migrate, revisions, version
from tests.include.ledger import second_migration
from tests.support.ledger import by_run, closing

ROOT = Path(__file__).parents[3]
BEING_MADE = text("SELECT count(*) FROM pg_stat_progress_create_index")
UNFINISHED = text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The migrations of a later release: today's and one more."""
    return add_second(Path(shutil.copytree(SCRIPTS, tmp_path / "migrations")))


def add_second(migrations: Path) -> Path:
    shutil.copy(second_migration.__file__, migrations / "versions" / "ledger_0002_second.py")
    return migrations


def in_use(url: str) -> Engine:
    """A ledger of this release, with a row in it."""
    engine = connect(url)
    Ledger(engine).migrate()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO interaction (conversation_id, closed_at, due_at, state, customer_email, agent_email, "
                "do_not_send, attempts, created_at, updated_at, agent_name) "
                "VALUES ('c1', 0, 0, 'planned', 'c@example.com', 'a@example.com', FALSE, 0, 0, 0, 'Ada')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO survey_response (uuid, sequence_id, interaction_id, read_at) "
                "SELECT 'u-1', 1, id, 0 FROM interaction"
            )
        )
    return engine


def test_the_newest_version_follows_from_the_files(scripts: Path) -> None:
    assert revisions(scripts) == (second_migration.revision, *revisions())


def test_an_empty_database_gets_every_version(empty_url: str, scripts: Path) -> None:
    engine = connect(empty_url)
    migrate(engine, scripts)
    with engine.connect() as connection:
        assert version(connection) == second_migration.revision


def test_an_older_ledger_keeps_its_events_and_what_guards_them(empty_url: str, scripts: Path) -> None:
    engine = connect(empty_url)
    ledger = Ledger(engine)
    ledger.migrate()
    ledger.extraction.record_closings([closing(1), closing(2, skip=Reason.MERGED)], by_run("run"))
    before = [ledger.history(closing(number).conversation_id) for number in (1, 2)]

    migrate(engine, scripts)

    with engine.connect() as connection:
        assert version(connection) == second_migration.revision
    assert [ledger.history(closing(number).conversation_id) for number in (1, 2)] == before
    rules = inspect(create_engine(empty_url)).get_check_constraints("interaction_event")
    assert rules
    assert not [rule for rule in rules if "not_valid" in str(rule)], "they hold for the old rows too"
    assert ledger.admin.erase_customer("customer-2", by_run("ada"), "ticket 12", dry_run=False)["erased"] == 1
    for forbidden in ("DELETE FROM interaction_event", "UPDATE interaction_event SET to_state = 'sent'"):
        with pytest.raises(IntegrityError, match="an event of an interaction"), engine.begin() as connection:
            connection.execute(text(forbidden))


def test_who_enters_an_older_ledger_brings_it_up_to_date(empty_url: str, tmp_path: Path) -> None:
    engine = in_use(empty_url)
    release = tmp_path / "release"
    shutil.copytree(ROOT / "include", release / "include", ignore=shutil.ignore_patterns("__pycache__"))
    add_second(release / "include/ledger/migrations")
    enter = "import sys; from include.ledger import Ledger, connect; Ledger(connect(sys.argv[1])).enter('ledger')"

    subprocess.run(
        [sys.executable, "-c", enter, empty_url], cwd=release, env={"PYTHONPATH": str(release)}, check=True
    )

    with engine.connect() as connection:
        assert version(connection) == second_migration.revision


@pytest.mark.postgres
def test_releases_go_on_while_the_indexes_are_made(postgres_url: str, scripts: Path) -> None:
    engine = in_use(postgres_url)
    with ThreadPoolExecutor() as threads:
        with engine.connect() as reader:  # what it sees must stay: an index waits for it
            reader.execution_options(isolation_level="REPEATABLE READ").execute(text("SELECT 1 FROM interaction"))
            migrations = [threads.submit(migrate, connect(postgres_url), scripts) for _ in range(2)]
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
        assert version(connection) == second_migration.revision
        assert connection.execute(UNFINISHED).scalar() == 0


@pytest.mark.postgres
def test_a_try_that_broke_off_is_finished_by_the_next(postgres_url: str, scripts: Path) -> None:
    engine = in_use(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE survey_response ADD COLUMN agent_name TEXT"))
        connection.execute(text("CREATE INDEX ix_interaction_due_at_new ON interaction (due_at)"))
        connection.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_interaction_due_at_new'::regclass")
        )
    migrate(engine, scripts)
    with engine.connect() as connection:
        assert connection.execute(UNFINISHED).scalar() == 0
        assert connection.execute(text("SELECT agent_name FROM survey_response")).scalar_one() == "Ada"
        for name in second_migration.INDEXES:
            definition = connection.execute(text("SELECT pg_get_indexdef(to_regclass(:name))"), {"name": name})
            assert "INCLUDE" in str(definition.scalar_one())
