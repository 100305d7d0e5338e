"""`make check`: read-only calls to both vendors, and what they mean. Nothing is sent.

If the environment holds the connections of both vendors (`AIRFLOW_CONN_*`) and names no database of Airflow, only
the environment is read, and Airflow need not run. Otherwise the connections and Variables of Airflow's database are
read, too, as in the containers of docker-compose.yaml. Status 0: no finding is red. 1: some are. 2: a setting or a
connection cannot be read, so nothing was checked.
"""

import argparse
import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from airflow.sdk.exceptions import AirflowException
from sqlalchemy.exc import SQLAlchemyError

from include.interactions.settings import Settings
from include.ledger import Ledger
from plugins.pipeline.checking.vendor_check import Checked, check_vendors, describe
from plugins.runtime.ledger_naming import looking_like_an_api_server
from plugins.runtime.organisations import Organisation, organisations
from plugins.runtime.run_context import configured_settings, open_ledger
from plugins.vendor_api.lookup import find_variable

WRONG, NOT_CHECKED = 1, 2
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def main(arguments: list[str] | None = None, out: TextIO | None = None) -> int:
    """Check the accounts, print the findings to `out` (stdout), and return the status."""
    given = _parser().parse_args(arguments)
    organisation = next(known for known in organisations() if known.name == given.organisation)
    with _looking_where_connections_are(organisation):
        ledger, note = _open_ledger(organisation)
        try:
            settings = _read_settings(organisation, ledger)
            checked = check_vendors(ledger, organisation, settings)
        except AirflowException as fault:
            sys.stderr.write(f"Nothing was checked: {fault}\n")
            return NOT_CHECKED
    if given.json:
        more = {"without_profile": checked.without_profile} if given.names else {}
        print(json.dumps(checked.report | more, indent=2), file=out)
    else:
        print(f"{_table(checked, names=given.names)}\n{note}", file=out)
    return WRONG if checked.report["lights"]["red"] else 0


def _looking_where_connections_are(organisation: Organisation) -> AbstractContextManager[None]:
    vendors = (organisation.kustomer_connection, organisation.stella_connect_connection)
    in_environment = all(f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ for conn_id in vendors)
    return nullcontext() if in_environment and DATABASE not in os.environ else looking_like_an_api_server()


def _open_ledger(organisation: Organisation) -> tuple[Ledger | None, str]:
    """Return the ledger that remembers the result, if it can be opened, and what to say about it."""
    try:
        return open_ledger(organisation), "The ledger remembers the result; the page Vendors shows it."
    except (AirflowException, SQLAlchemyError) as fault:
        reason = str(fault) if isinstance(fault, AirflowException) else type(fault).__name__
        return None, f"The result is not remembered, and what was sent could not be compared: {reason}"


def _read_settings(organisation: Organisation, ledger: Ledger | None) -> Settings:
    if ledger is None and find_variable(organisation.settings_variable) is None:
        return Settings()  # nothing has run yet, so no settings can be lost
    return configured_settings(organisation)


def _table(checked: Checked, *, names: bool) -> str:
    lines = []
    for row in checked.report["findings"]:
        verdict = f" [{row['reading']} {row['verdict']}]" if row["reading"] else ""
        lines.append(f"{row['light']:6}  {row['word']:10}  {row['vendor']}: {row['topic']} {row['found']}{verdict}")
        if row["light"] != "green":
            lines.append(f"{'':20}{row['meaning']}")
    if names and checked.without_profile:
        lines += ["", "Agents of recent closings without an approved profile:", *checked.without_profile]
    return "\n".join([*lines, "", describe(checked.report)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plugins.pipeline.checking", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--names", action="store_true", help="print agents without an approved profile by address")
    parser.add_argument(
        "--organisation",
        choices=[known.name for known in organisations()],
        default=organisations()[0].name,
        help="left out: the first one",
    )
    return parser


if __name__ == "__main__":
    # Airflow logs to stdout. Its lines go to stderr instead, so that stdout holds the result alone.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as result:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        sys.exit(main(out=result))
