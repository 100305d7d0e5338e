"""Alembic's entry: runs on the connection, and inside the transaction, that `include.ledger.migrate` gives it."""

from alembic import context

from include.ledger.migrate import VERSION_TABLE
from include.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # Alembic does not expect it of SQLite; our BEGIN covers the DDL there too
)
context.run_migrations()
