"""Which ledger a maintenance command is for: the name of an Airflow connection, or its URI or JSON."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from plugins.runtime.ledger_address import AddressError, LedgerAddress

UNNAMED = "given on the command line"
_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def find_ledger(text: str) -> LedgerAddress:
    """Return the address of a ledger, read exactly as a task reads it.

    Args:
        text: an Airflow connection's name, such as `interaction_ledger`, or its URI or JSON.

    Raises:
        AddressError: there is no such connection, or it leads to no ledger.
    """
    if "://" in text or text.lstrip().startswith("{"):
        return LedgerAddress.of(_spelled_out(text))
    try:
        with looking_like_an_api_server():
            return LedgerAddress.of(BaseHook.get_connection(text))
    except AirflowNotFoundException:
        raise AddressError(
            f"Airflow knows no connection {text!r} here. Run the command where Airflow runs (AIRFLOW_CONN_"
            f"{text.upper()}, or a connection stored in the UI), or give the connection's URI."
        ) from None


@contextmanager
def looking_like_an_api_server() -> Iterator[None]:
    """Let Airflow look in the environment, in secrets backends, and in its own database, as its commands do."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        os.environ.pop(_CONTEXT)
        if before is not None:
            os.environ[_CONTEXT] = before


def _spelled_out(text: str) -> Connection:
    try:
        if text.lstrip().startswith("{"):
            return Connection.from_json(text, conn_id=UNNAMED)
        # SQLAlchemy spells the same with its driver: postgresql+psycopg://
        return Connection.from_uri(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgres://", text), conn_id=UNNAMED)
    except (AirflowException, ValueError, TypeError):
        raise AddressError("the connection's URI or JSON cannot be read.") from None  # not its words: a password
