"""The organisations that this Airflow serves, and the names of their DAGs, connections and settings.

By default there is one. The environment variable `KUSTOMER_STELLA_ORGANISATIONS`, read at each parsing of a DAG
file, lists several as a JSON object, such as `{"default": {}, "acme": {"schedule": "30 * * * *"}}`.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plugins.runtime.schedule import find_fault

ENVIRONMENT, SCHEDULE = "KUSTOMER_STELLA_ORGANISATIONS", "KUSTOMER_STELLA_SCHEDULE"
DEFAULT_NAME, DEFAULT_SCHEDULE = "default", "0 * * * *"
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_NAME_LENGTH = 40
TAKEN = ("alarms",)
"""Not allowed: its Stella Connect connection would have the notifier's name."""


class OrganisationsError(ValueError):
    """The variable cannot be used; the message names it, the fault, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """One pair of a Kustomer and a Stella Connect account, with its own ledger."""

    name: str = DEFAULT_NAME
    schedule: str = DEFAULT_SCHEDULE
    """Cron in UTC: when a run starts and which closings it covers."""

    @property
    def dag_id(self) -> str:
        """Id of the hourly pipeline."""
        return self.name_for("kustomer_stella_connect", "__")

    @property
    def feedback_dag_id(self) -> str:
        """Id of the feedback DAG."""
        return self.name_for("stella_connect_feedback", "__")

    @property
    def admin_dag_id(self) -> str:
        """Id of the DAG for people's actions."""
        return self.name_for("interaction_ledger_admin", "__")

    @property
    def decision_dag_id(self) -> str:
        """Id of the DAG that asks people about unknown outcomes."""
        return self.name_for("stella_connect_unknown_outcomes", "__")

    @property
    def dag_ids(self) -> tuple[str, ...]:
        """Ids of all its DAGs."""
        return self.dag_id, self.feedback_dag_id, self.decision_dag_id, self.admin_dag_id

    @property
    def kustomer_connection(self) -> str:
        """Airflow's connection to Kustomer: `kustomer_default`, `kustomer_acme`."""
        return f"kustomer_{self.name}"

    @property
    def stella_connect_connection(self) -> str:
        """Airflow's connection to Stella Connect."""
        return f"stella_connect_{self.name}"

    @property
    def ledger_connection(self) -> str:
        """Airflow's connection to the ledger; a ledger serves only the connection that first used it."""
        return self.name_for("interaction_ledger")

    @property
    def settings_variable(self) -> str:
        """Airflow's Variable with the settings."""
        return self.name_for("kustomer_stella_connect")

    def name_for(self, name: str, between: str = "_") -> str:
        """Return the organisation's form of a name; the default organisation uses it unchanged."""
        return name if self.name == DEFAULT_NAME else f"{name}{between}{self.name}"


DEFAULT = Organisation()


def organisations() -> Sequence[Organisation]:
    """Return every organisation in the order of the configuration; by default only one.

    Raises:
        OrganisationsError: the configuration cannot be used. A DAG file then shows it as its import error.
    """
    schedule = os.environ.get(SCHEDULE, "").strip() or DEFAULT_SCHEDULE
    text = os.environ.get(ENVIRONMENT, "").strip()
    if not text:
        return [_organisation(DEFAULT_NAME, {}, schedule)]
    try:
        given = json.loads(text, object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise OrganisationsError(f"{ENVIRONMENT} is not JSON ({error}); {_ALLOWED}") from None
    if not isinstance(given, dict) or not given:
        raise OrganisationsError(
            f"{ENVIRONMENT} is not a JSON object with an entry for each organisation; {_ALLOWED}"
        )
    return [_organisation(name, options, schedule) for name, options in given.items()]


def of_dag(dag_id: str) -> Organisation | None:
    """Return the organisation that this DAG belongs to; None for any other DAG."""
    return next((found for found in organisations() if dag_id in found.dag_ids), None)


_ALLOWED = (
    'allowed: {"<name>": {"schedule": "<cron, UTC>"}, …}, names of lower-case letters, digits and single "_", '
    'starting with a letter; "default" uses names without suffix; "schedule" is optional'
)


def _organisation(name: str, options: Any, schedule: str) -> Organisation:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH or name in TAKEN:
        raise OrganisationsError(f"{ENVIRONMENT}: {name!r:.80} cannot be an organisation's name; {_ALLOWED}")
    if not isinstance(options, dict) or options.keys() - {"schedule"}:
        raise OrganisationsError(f"{ENVIRONMENT}: {options!r:.80} is not allowed for {name!r}; {_ALLOWED}")
    ticks = options.get("schedule", schedule)
    if not isinstance(ticks, str):
        raise OrganisationsError(
            f"{ENVIRONMENT}: the schedule {ticks!r:.80} of {name!r} is not allowed; {_ALLOWED}"
        )
    if (problem := find_fault(ticks)) is not None:
        variable = ENVIRONMENT if "schedule" in options else SCHEDULE
        raise OrganisationsError(
            f"{variable}: the schedule {ticks!r:.80} of {name!r} is not allowed: {problem}; {_ALLOWED}"
        )
    return Organisation(name, ticks)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)
