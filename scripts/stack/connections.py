"""What a stack of this pipeline is given: three connections and the settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.stack.stack import SETTINGS_VARIABLE, Stack

DAG_ID = "kustomer_stella_connect"

Connections = Mapping[str, Mapping[str, Any]]


def connections(kustomer: tuple[Any, Any, Any], stella: tuple[Any, Any, Any], ledger: Path) -> Connections:
    """Return the three connections; `kustomer` is (API URL, key, web URL), `stella` (API URL, key, secret)."""
    return {
        "kustomer_default": {
            "conn_type": "kustomer",
            "host": kustomer[0],
            "password": kustomer[1],
            "extra": {"web_url": kustomer[2]},
        },
        "stella_connect_default": {
            "conn_type": "stella_connect",
            "host": stella[0],
            "password": stella[1],
            "extra": {"api_secret": stella[2]},
        },
        "interaction_ledger": {"conn_type": "sqlite", "host": str(ledger)},
    }


def set_up(stack: Stack, links: Connections, settings: Mapping[str, Any]) -> None:
    """Store connections and settings in Airflow, where the UI shows them and lets them be changed."""
    for name, link in links.items():
        stack.api.add_connection(name, **link)
    stack.api.set_variable(SETTINGS_VARIABLE, settings)
