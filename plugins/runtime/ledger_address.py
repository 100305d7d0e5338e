"""Where a ledger is, as an Airflow connection says it.

For PostgreSQL that is everything with which Airflow's own Postgres hook would connect: the extras of the connection
(`sslmode`, `options`, `connect_timeout`, `keepalives`, …) and IAM tokens, too.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from airflow.sdk import Connection

_FIELDS = ("host", "login", "password", "port", "schema", "extra")
_FOR_SQLALCHEMY_ALONE = ("sqlalchemy_query", "sqlalchemy_scheme")
_FOR_OTHER_ROWS = ("cursor",)
"""The hook would make rows of another shape with it, which SQLAlchemy cannot read."""


class AddressError(ValueError):
    """The connection cannot lead to a ledger; the message names it, and what it must be."""


@dataclass(frozen=True, slots=True)
class LedgerAddress:
    """A SQLite file, or what PostgreSQL is connected with.

    Attributes:
        conn_id: Airflow's name of the connection, for messages.
        file: the absolute path; None for PostgreSQL.
    """

    conn_id: str
    file: Path | None
    _fields: tuple[tuple[str, str | int | None], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Read a connection of type `sqlite` (host = file) or `postgres`.

        Raises:
            AddressError: it has another type, or its file cannot be used.
        """
        if connection.conn_type == "sqlite":
            return cls(connection.conn_id, _usable_file(connection))
        if connection.conn_type == "postgres":
            return cls(connection.conn_id, None, tuple((name, getattr(connection, name)) for name in _FIELDS))
        raise AddressError(
            f"Connection {connection.conn_id!r} has type {connection.conn_type!r}. The ledger is kept in SQLite or "
            f"PostgreSQL: 'sqlite' | 'postgres'."
        )

    def connector(self, **defaults: Any) -> Callable[[], Any]:
        """Return a function that connects to PostgreSQL as the hook does.

        Args:
            defaults: connection arguments for what the connection's extra leaves open.
        """
        # Here, because the DAG processor imports this module every time it parses a DAG file.
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        fields: dict[str, Any] = dict(self._fields)
        extra = json.loads(fields["extra"] or "{}")
        given = {
            name: value for name, value in extra.items() if name not in _FOR_SQLALCHEMY_ALONE + _FOR_OTHER_ROWS
        }
        prepare_after = given.pop("prepare_threshold", None)
        fields["extra"] = json.dumps(defaults | (extra.get("sqlalchemy_query") or {}) | given)
        connection = Connection(conn_id=self.conn_id, conn_type="postgres", **fields)

        def connect() -> Any:
            made: Any = PostgresHook(postgres_conn_id=self.conn_id, connection=connection).get_conn()
            # Without it no statements are prepared: see `include.ledger.engine.WITHOUT_PREPARING`.
            made.prepare_threshold = None if prepare_after is None else int(prepare_after)
            return made

        return connect


def _usable_file(connection: Connection) -> Path:
    # host="/a/b.db" (JSON) and sqlite:////a/b.db (URI, path in the schema) mean the same file.
    file = Path(connection.host or f"/{(connection.schema or '').lstrip('/')}")
    if not file.is_absolute() or file == Path("/"):
        problem = "host must be the absolute path of the ledger's file"
    elif file.is_dir():
        problem = "this is a folder, not a file"
    elif not file.parent.is_dir():
        problem = f"there is no folder {str(file.parent)!r}"
    elif not os.access(file.parent, os.W_OK | os.X_OK):
        problem = f"this process may not write to the folder {str(file.parent)!r}, which SQLite must"
    elif file.exists() and not os.access(file, os.R_OK | os.W_OK):
        problem = "this process may not read and write the file"
    else:
        return file
    raise AddressError(f"Connection {connection.conn_id!r}: the ledger {str(file)!r} cannot be opened: {problem}.")
