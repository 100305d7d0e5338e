"""The two tasks that speak Stella Connect: the early warning about profiles, and the release."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator, Context

from include.interactions.addresses import same_address
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.release import Release
from plugins.runtime.failures import fail_for_good
from plugins.runtime.metrics import count_interactions
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import actor_of, canonical_line, open_ledger, settings_of
from plugins.stella_connect.hook import StellaConnectHook


class CheckAgentProfilesOperator(BaseOperator):
    """Marks planned interactions whose agent has no approved profile: a warning while there is time to approve.

    The decision is made at the release, with the profiles as they are then. A failed lookup fails the task; it
    never counts as "not approved".

    Returns counts: `agents` with planned interactions, of them `not_approved`, and their `interactions_at_risk`.
    """

    def __init__(self, *, organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.organisation = organisation

    def execute(self, context: Context) -> dict[str, int]:
        """Compare the agents who have planned interactions with the approved profiles."""
        ledger = open_ledger(self.organisation)
        waiting = ledger.extraction.count_planned_by_agent()
        with fail_for_good(), StellaConnectHook(self.organisation.stella_connect_connection) as stella_connect:
            approved = {same_address(address) for address in stella_connect.active_employees()}
        missing = {address for address in waiting if same_address(address) not in approved}
        ledger.extraction.mark_profiles(approved=waiting.keys() - missing, not_approved=missing)
        facts = {
            "agents": len(waiting),
            "not_approved": len(missing),
            "interactions_at_risk": sum(waiting[address] for address in missing),
        }
        self.log.info(canonical_line("profiles", facts))
        if missing:
            self.log.warning(
                "%d agents have no approved Stella Connect profile; their %d planned interactions will be "
                "skipped unless the profiles are approved before the send.",
                facts["not_approved"],
                facts["interactions_at_risk"],
            )
        return facts


class ReleaseInteractionsOperator(BaseOperator):
    """Sends what the ledger says is due in one release window.

    Args:
        window: `due_from`, `due_until` (ISO 8601) and `limit` (None: all) as `plan_release_windows` gives them.

    Returns counts by outcome and the lateness in seconds.
    """

    template_fields = ("window",)

    def __init__(self, *, window: Mapping[str, Any], organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window
        self.organisation = organisation

    def execute(self, context: Context) -> dict[str, Any]:
        """Release the window.

        Raises:
            AirflowFailException: Stella Connect or Kustomer refuses the key; everything unsent stays planned.
            ReleaseInterrupted: a vendor does not answer; everything unsent stays planned for the next try.
        """
        settings = settings_of(context, self.organisation)
        ledger = open_ledger(self.organisation)
        with (
            fail_for_good(),
            KustomerHook(
                self.organisation.kustomer_connection, requests_per_minute=settings.kustomer_requests_per_minute
            ) as kustomer,
            StellaConnectHook(self.organisation.stella_connect_connection) as stella_connect,
        ):
            release = Release(ledger, kustomer, stella_connect, settings, by=actor_of(context))
            try:
                release.window(
                    datetime.fromisoformat(self.window["due_from"]),
                    datetime.fromisoformat(self.window["due_until"]),
                    limit=self.window.get("limit"),
                )
            finally:
                facts = release.facts()
                count_interactions(facts, self.organisation)
                self.log.info(canonical_line("released", facts))
        return facts
