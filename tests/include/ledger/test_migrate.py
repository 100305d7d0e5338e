from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, inspect, text

from include.ledger import Ledger, connect
from include.ledger.migrate import NEWEST, SCRIPTS, VERSION_TABLE, revisions, version
from include.ledger.schema import metadata
from tests.support.ledger import by_run, closing

# SQLAlchemy does not read such an index from SQLite.
pytestmark = pytest.mark.filterwarnings("ignore:.*expression-based index")


def described(engine: Engine) -> dict[str, Any]:
    """Everything an inspector sees in the ledger's tables."""
    inspector = inspect(engine)

    def plain(thing: Any) -> Any:
        if isinstance(thing, dict):
            return {key: plain(value) for key, value in thing.items()}
        return str(thing)

    def by_name(things: Any) -> list[str]:
        return sorted(repr(plain(thing)) for thing in things)

    return {
        table: {
            "columns": [plain(column) for column in inspector.get_columns(table)],
            "checks": by_name(inspector.get_check_constraints(table)),
            "indexes": by_name(inspector.get_indexes(table)),
            "unique": by_name(inspector.get_unique_constraints(table)),
            "foreign": by_name(inspector.get_foreign_keys(table)),
            "primary": inspector.get_pk_constraint(table),
        }
        for table in metadata.tables
    }


def test_an_empty_database_is_brought_to_the_schema_of_this_code(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        differences = compare_metadata(context, metadata)
        if connection.dialect.name == "sqlite":  # which would take it where it harms
            differences.remove(
                next(one for one in differences if one[0] == "add_index" and one[1].name == "ix_interaction_state")
            )
        assert differences == []


def test_the_migrations_create_what_the_schema_says_to_the_last_check(url: str, engine: Engine) -> None:
    migrated = described(engine)
    with engine.begin() as connection:
        for view in ("analytics_agent_day", "analytics_answer", "analytics_interaction"):
            connection.execute(text(f"DROP VIEW {view}"))
        for table in reversed(metadata.sorted_tables):
            connection.execute(text(f"DROP TABLE {table.name}"))
        metadata.create_all(connection)
    assert described(create_engine(url)) == migrated


def test_the_names_of_the_files_say_what_alembic_reads_in_them() -> None:
    read = [script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()]
    assert tuple(read) == revisions()


def test_migrating_again_changes_nothing_and_waits_for_nobody(url: str, ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing()], by_run("run"))
    statements: list[str] = []
    engine = connect(url)
    event.listen(engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    with connect(url).begin() as writer:  # holds SQLite's write lock meanwhile
        writer.execute(text("UPDATE watermark SET covered_until = 0"))
        Ledger(engine).migrate()
    assert not [one for one in statements if one.startswith(("CREATE", "ALTER", "BEGIN IMMEDIATE"))]
    assert len(ledger.history(closing().conversation_id)) == 1


def test_a_schema_newer_than_the_code_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'tomorrow'"))
    with pytest.raises(CommandError, match="tomorrow"):
        Ledger(engine).migrate()
    with engine.connect() as connection:
        assert version(connection) == "tomorrow"


def test_another_owner_of_the_same_database_keeps_his_alembic_version(empty_url: str) -> None:
    engine = connect(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of Airflow')"))
    Ledger(engine).migrate()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "of Airflow"


def test_a_migration_that_breaks_off_leaves_nothing_behind(empty_url: str) -> None:
    engine = connect(empty_url)

    def stumble(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "TRIGGER" in statement:
            raise RuntimeError("the plug was pulled")

    event.listen(engine, "before_cursor_execute", stumble)
    with pytest.raises(RuntimeError, match="plug"):
        Ledger(engine).migrate()
    assert inspect(create_engine(empty_url)).get_table_names() == []
    Ledger(connect(empty_url)).migrate()


def test_who_enters_an_empty_database_creates_the_ledger(empty_url: str) -> None:
    engine = connect(empty_url)

    Ledger(engine).enter("interaction_ledger")

    with engine.connect() as connection:
        assert version(connection) == NEWEST == revisions()[0]


def test_who_enters_a_newer_ledger_leaves_it_as_it_is(engine: Engine, ledger: Ledger) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9000'"))

    ledger.enter("interaction_ledger")  # during an upgrade, tasks of the older version go on

    with engine.connect() as connection:
        assert version(connection) == "9000"


@pytest.mark.parametrize("elsewhere", ["mysql://localhost/x", "mssql+pyodbc://localhost/x"])
def test_other_databases_are_refused_by_name(elsewhere: str) -> None:
    with pytest.raises(ValueError, match="SQLite or PostgreSQL"):
        connect(elsewhere)
