"""The three tasks that speak to the vendors: extraction, the early warning about profiles, and the release."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from include.interactions.addresses import same_address
from include.interactions.settings import Settings
from include.interactions.span import OLDEST, Span, span_of
from include.ledger import Ledger, utc_now
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.checking.vendor_check import refuse_failed_readings
from plugins.pipeline.deferred_readings import describe_incomplete, read_again, read_span
from plugins.pipeline.extraction import Extraction
from plugins.pipeline.lineage import describe_lineage
from plugins.pipeline.masking import note_readable_addresses, report_masking
from plugins.pipeline.planning_again import plan_skipped_again
from plugins.pipeline.release import Release
from plugins.pipeline.served_organisation import check_key_before_release, refuse_other_organisation
from plugins.runtime.failures import fail_for_good
from plugins.runtime.metrics import count_interactions
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import (
    actor_of,
    canonical_line,
    find_interval,
    open_ledger,
    origin_of,
    settings_of,
)
from plugins.stella_connect.hook import StellaConnectHook


class _CountingOperator(BaseOperator):
    """Works for one organisation, and keeps its counts for OpenLineage."""

    def __init__(self, *, organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.organisation = organisation
        self.facts: dict[str, Any] = {}


class ExtractClosedConversationsOperator(_CountingOperator):
    """Finds the closings of the run's span and records each as planned or as skipped with its reason.

    Returns counts, never personal data:

    - `found` closings, of them `planned` and `skipped` by reason; `known` were in the ledger before
    - `deferred` could not be read; later runs read them again
    - `short` rows were counted by the search and not returned
    - `not_closings` were returned by the search without being one
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the span, record its closings, move the watermark if the schedule started this run.

        What cannot be read does not fail a scheduled run: it is deferred, and the next runs read it again.

        Raises:
            AirflowFailException: a setting, connection or key is wrong.
            AirflowException: Kustomer masks every address, or this is a backfill or a manual run and the search did
                not return all closings.
            VendorApiError: Kustomer is down. What was read is recorded; the next attempt or run reads the span
            again.
        """
        settings, ledger = settings_of(context, self.organisation), open_ledger(self.organisation)
        span, is_scheduled, began_at = self._find_span(context, settings, ledger), _is_scheduled(context), utc_now()
        with (
            fail_for_good(),
            report_masking(ledger, self.organisation),
            KustomerHook(
                self.organisation.kustomer_connection, requests_per_minute=settings.kustomer_requests_per_minute
            ) as kustomer,
        ):
            refuse_other_organisation(ledger, kustomer)
            extraction = Extraction(
                kustomer,
                settings,
                ledger.extraction,
                by=actor_of(context),
            )
            try:
                incomplete = read_span(extraction, ledger.extraction, span, around_broken=is_scheduled)
                if is_scheduled:
                    # If our clock is ahead, Kustomer's time had not reached the end of the span at the search.
                    read_until = min(span.closed_to, kustomer.asked_at or span.closed_to)
                    if read_until > span.closed_from:
                        ledger.extraction.advance_watermark(span.closed_from, read_until)
                    read_again(extraction, ledger.extraction, began_at)
                elif context["params"].get("judge_again"):
                    plan_skipped_again(ledger, kustomer, settings, span, actor_of(context))
                if extraction.masking.has_seen_address:
                    note_readable_addresses(ledger)
            finally:
                facts = self.facts = extraction.facts()
                skipped = {f"skipped.{reason}": number for reason, number in facts["skipped"].items()}
                count_interactions({"planned": facts["planned"], **skipped}, self.organisation)
                self.log.info(canonical_line("extracted", facts))
        extraction.warn_about_unseen_attribute()
        if incomplete:
            if not is_scheduled:
                raise AirflowException(describe_incomplete(incomplete))
            self.log.warning(describe_incomplete(incomplete))
        return {**facts, "finished_at": utc_now().isoformat()}

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Tell OpenLineage what was read and recorded."""
        recorded = self.facts.get("planned", 0) + sum(self.facts.get("skipped", {}).values())
        return describe_lineage(
            self.organisation,
            read={
                "kustomer.conversation": self.facts.get("found"),
                "kustomer.customer": None,
                "kustomer.user": None,
            },
            written={"interaction_ledger.interaction": recorded},
        )

    def _find_span(self, context: Context, settings: Settings, ledger: Ledger) -> Span:
        """Return what this run reads; the very first scheduled run sets the watermark."""
        interval = find_interval(context)
        if _is_scheduled(context) and ledger.extraction.read_watermark() is None:
            # From here on no hour may be missing, not even the first if it fails.
            ledger.extraction.advance_watermark(interval[0], interval[0])
        span = span_of(
            interval,
            origin_of(context),
            ledger.extraction.read_watermark(),
            overlap_seconds=settings.overlap_seconds,
        )
        self.log.info("closings in [%s, %s)", span.closed_from.isoformat(), span.closed_to.isoformat())
        if span.closed_from < utc_now() - OLDEST:
            self.log.warning(
                "Kustomer's search reaches back two years. Older closings of this span cannot be found."
            )
        return span


def _is_scheduled(context: Context) -> bool:
    return origin_of(context) == "schedule"


class CheckAgentProfilesOperator(_CountingOperator):
    """Marks planned interactions whose agent has no approved profile: a warning while there is time to approve.

    The decision is made at the release, with the profiles as they are then. A failed lookup fails the task; it
    never counts as "not approved".

    Returns counts: `agents` with planned interactions, of them `not_approved`, and their `interactions_at_risk`.
    """

    def execute(self, context: Context) -> dict[str, int]:
        """Compare the agents who have planned interactions with the approved profiles."""
        ledger = open_ledger(self.organisation)
        waiting = ledger.extraction.count_planned_by_agent()
        with fail_for_good(), StellaConnectHook(self.organisation.stella_connect_connection) as stella_connect:
            approved = {same_address(address) for address in stella_connect.active_employees()}
        missing = {address for address in waiting if same_address(address) not in approved}
        ledger.extraction.mark_profiles(approved=waiting.keys() - missing, not_approved=missing)
        facts = self.facts = {
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

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Tell OpenLineage what was compared and marked."""
        return describe_lineage(
            self.organisation,
            read={"stella_connect.employee": None, "interaction_ledger.interaction": None},
            written={"interaction_ledger.interaction": self.facts.get("interactions_at_risk")},
        )


class ReleaseInteractionsOperator(_CountingOperator):
    """Sends what the ledger says is due in one release window.

    Args:
        window: `due_from`, `due_until` (ISO 8601) and `limit` (None: all) as `plan_release_windows` gives them.

    Returns counts by outcome and the lateness in seconds.
    """

    template_fields = ("window",)

    def __init__(self, *, window: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def execute(self, context: Context) -> dict[str, Any]:
        """Release the window.

        Raises:
            AirflowFailException: Stella Connect or Kustomer refuses the key; everything unsent stays planned.
            ReleaseInterrupted: a vendor does not answer; everything unsent stays planned for the next attempt.
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
            refuse_failed_readings(ledger, task="release")
            check_key_before_release(ledger, kustomer, settings)
            release = Release(ledger, kustomer, stella_connect, settings, by=actor_of(context))
            try:
                release.window(
                    datetime.fromisoformat(self.window["due_from"]),
                    datetime.fromisoformat(self.window["due_until"]),
                    limit=self.window.get("limit"),
                )
            finally:
                facts = self.facts = release.facts()
                count_interactions(facts, self.organisation)
                self.log.info(canonical_line("released", facts))
        return facts

    def get_openlineage_facets_on_complete(self, _: Any) -> Any:
        """Tell OpenLineage what was sent."""
        return describe_lineage(
            self.organisation,
            read={
                "interaction_ledger.interaction": None,
                "kustomer.conversation": None,
                "stella_connect.employee": None,
            },
            written={
                "stella_connect.feedback_request": self.facts.get("sent", 0),
                "interaction_ledger.interaction": None,
            },
        )
