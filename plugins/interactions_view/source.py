"""Where the API server finds the ledger, the settings and Kustomer's address.

An API server is a "server" to Airflow's SDK (`airflow.api_fastapi.main` says so in its environment). Airflow
therefore looks for connections and Variables in the environment, then in secrets backends, then where the UI stores
them, as for a task. The page reads nothing else from Airflow, and never its database.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import Connection, Engine

from include.interactions.settings import Settings, SettingsError, load_settings
from include.ledger import Ledger, LedgerRefusedError
from include.ledger.engine import connect_to_look
from include.ledger.maintenance import use
from plugins.kustomer.hook import KustomerHook
from plugins.runtime.ledger_address import LedgerAddress
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import ledger_address
from plugins.vendor_api.errors import ConfigurationError
from plugins.vendor_api.lookup import LookupFailedError, find_variable

KEPT_SECONDS = 30
"""After this time the page notices a changed connection or setting."""


class NoSourceError(Exception):
    """The ledger's connection is missing or wrong; the message says how to correct it."""


@dataclass(frozen=True, slots=True)
class Source:
    """The sources of one organisation's page."""

    connection: str
    """Airflow's name of the ledger's connection."""
    ledger: Ledger
    settings: Settings
    """The settings; the defaults if the Variable cannot be used. A run reports what is wrong with it."""
    web_url: str | None
    """The address at which people open Kustomer; None if its connection is missing or incomplete."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for `include.ledger.reports`; see `Ledger.read`.

        Raises:
            NoSourceError: the ledger belongs to another organisation, which this visitor may not see.
        """
        with self.ledger.read() as connection:
            try:
                use.look(connection, self.connection)
            except LedgerRefusedError as refusal:
                raise NoSourceError(str(refusal)) from None
            yield connection


def source(organisation: Organisation) -> Source:
    """Return the sources of an organisation's page.

    Raises:
        NoSourceError: the ledger's connection is missing or wrong.
    """
    return _source(organisation, int(time.monotonic() // KEPT_SECONDS))


@lru_cache(maxsize=8)
def _source(organisation: Organisation, _period: int) -> Source:
    try:
        address = ledger_address(organisation.ledger_connection)
    except (AirflowFailException, LookupFailedError) as failure:
        raise NoSourceError(str(failure)) from None
    return Source(
        connection=organisation.ledger_connection,
        ledger=Ledger(_engine(address)),
        settings=_settings(organisation.settings_variable),
        web_url=_web_url(organisation.kustomer_connection),
    )


@lru_cache(maxsize=8)
def _engine(address: LedgerAddress) -> Engine:
    return connect_to_look(address)


def _settings(variable: str) -> Settings:
    try:
        text = find_variable(variable)
        return load_settings(None if text is None else json.loads(text), {})
    except (SettingsError, LookupFailedError, ValueError):
        return Settings()


def _web_url(conn_id: str) -> str | None:
    try:
        return KustomerHook(conn_id).web_url
    except (ConfigurationError, LookupFailedError):
        return None
