"""The vendors' real credentials, if `.env` holds them."""

from pathlib import Path

from dotenv import dotenv_values

from scripts.stack.connections import Connections, connections
from scripts.stack.stack import ROOT

RUNS = ROOT / ".run"
LIVE = RUNS / "live"


class CredentialsError(Exception):
    """`.env` names real credentials, but not all of them."""


def real_connections(env_file: Path) -> Connections | None:
    """Return the connections to the real vendors if `.env` names them, else None.

    Raises:
        CredentialsError: only some are named.
    """
    named = {name: value for name, value in dotenv_values(env_file, interpolate=False).items() if value}
    needed = ("KUSTOMER_API_KEY", "KUSTOMER_URL", "STELLA_CONNECT_API_KEY", "STELLA_CONNECT_API_SECRET")
    missing = [name for name in needed if name not in named]
    if len(missing) == len(needed):
        return None
    if missing:
        raise CredentialsError(
            f"{env_file.name} names real credentials but lacks {', '.join(missing)}. "
            f"Fill in all of them, or none to use simulators of both vendors."
        )
    return connections(
        kustomer=(
            named.get("KUSTOMER_API_URL") or "https://api.kustomerapp.com",
            named["KUSTOMER_API_KEY"],
            named["KUSTOMER_URL"],
        ),
        stella=(
            named.get("STELLA_CONNECT_API_URL") or "https://api.stellaconnect.net",
            named["STELLA_CONNECT_API_KEY"],
            named["STELLA_CONNECT_API_SECRET"],
        ),
        ledger=LIVE / "ledger.db",
    )
