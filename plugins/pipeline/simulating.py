"""The action *Simulate rules*: what rules would do with the closings that the ledger holds."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from include.interactions.settings import Settings, SettingsError, read_rules
from include.interactions.simulation import OUTCOMES, Simulation, simulate
from include.ledger import ActionRefusedError, Ledger
from include.ledger.reports.rules import SIMULATION, closings_to_simulate
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.surveying import make_planner
from plugins.vendor_api.errors import VendorApiError

DEFAULT_DAYS = 7


def simulate_rules(
    ledger: Ledger, kustomer: KustomerHook, settings: Settings, rules: list[Any] | None, days: int
) -> dict[str, Any]:
    """Judge the closings of the last days by the rules, or by those of the settings if there are none.

    From Kustomer only the names that the rules use are read.

    Raises:
        ActionRefusedError: the rules cannot be used.
    """
    now = datetime.now(UTC)
    try:
        proposed = settings if rules is None else settings.model_copy(update={"rules": read_rules(rules)})
        today, then = make_planner(kustomer, settings), make_planner(kustomer, proposed)
    except (SettingsError, VendorApiError) as fault:
        raise ActionRefusedError(str(fault)) from fault
    with ledger.read() as connection:
        found = simulate(closings_to_simulate(connection, now - timedelta(days=days)), today, then)
    result = describe(found, now, days)
    ledger.set_fact(SIMULATION, json.dumps(result))
    return result


def describe(found: Simulation, now: datetime, days: int) -> dict[str, Any]:
    """Return the simulation as plain lists: for XCom, the log and the page."""
    return {
        "rules": [
            {
                "rule": rule.name,
                "closings": rule.closings,
                **{outcome: rule.outcomes[outcome] for outcome in OUTCOMES},
                "changed": rule.changed,
            }
            for rule in found.rules
        ],
        "changes": [
            {"today": was, "then": becomes, "closings": number}
            for (was, becomes), number in sorted(found.changes.items())
        ],
        "closings": [
            {
                "at": now.isoformat(timespec="seconds"),
                "days": days,
                "judged": found.closings,
                "without_facts": found.without_facts,
            }
        ],
        "not_recorded": list(found.missing),
    }
