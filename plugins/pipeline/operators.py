"""The three tasks that speak to the vendors: extraction, the early warning about profiles, and the release."""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from include.interactions.addresses import same_address
from include.interactions.interaction import Interaction
from include.interactions.span import OLDEST, span_of
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.extraction import Extraction, whole_enough
from plugins.pipeline.release import Release
from plugins.pipeline.surveying import make_planner
from plugins.runtime.failures import fail_for_good
from plugins.runtime.metrics import count_interactions
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import (
    actor_of,
    canonical_line,
    open_ledger,
    origin_of,
    own_interval_of,
    settings_of,
)
from plugins.stella_connect.hook import StellaConnectHook


class ExtractClosedConversationsOperator(BaseOperator):
    """Finds the closings of the run's span and records each as planned or as skipped with its reason.

    Returns counts (never personal data): `found` closings, of them `planned` and `skipped` by reason; `known`
    were in the ledger before, `unreadable` records cannot even be told apart, `not_closings` were returned by
    the search without being one.
    """

    def __init__(self, *, organisation: Organisation, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.organisation = organisation

    def execute(self, context: Context) -> dict[str, Any]:
        """Extract, record, and move the watermark if the schedule started this run.

        A customer or agent who cannot be read is not the fault of all others: their closings are recorded, and the
        next try reads again, within minutes. After the last try of a scheduled run the watermark stays before the
        closing, so that the next runs look again; a run after which nobody would look again fails. A closing
        older than `LONGEST_DOUBT`, or `DOUBT_OF_AN_AGENT`, is settled by the last try: skipped, with the reason in
        its row. Where an outage may be the reason (no answer, 429), nothing is settled, and two such are one.

        Raises:
            AirflowFailException: a setting, connection or key is wrong.
            AirflowException: Kustomer did not answer, or somebody could not be read: what could be read is
                recorded, the watermark stays, and the next try or run covers the span again.
        """
        settings, ledger = settings_of(context, self.organisation), open_ledger(self.organisation)
        own, origin = own_interval_of(context), origin_of(context)
        if origin == "schedule" and ledger.extraction.read_watermark() is None:
            # From here on no hour may be missing, not even the first, should it fail.
            ledger.extraction.advance_watermark(own[0], own[0])
        span = span_of(
            own,
            origin,
            ledger.extraction.read_watermark(),
            overlap_seconds=settings.overlap_seconds,
            handover_seconds=settings.handover_seconds,
        )
        self.log.info("closings in [%s, %s)", span.closed_from.isoformat(), span.closed_to.isoformat())
        if span.closed_from < datetime.now(UTC) - OLDEST:
            self.log.warning("Kustomer's search ends two years ago; older closings of this span cannot be found.")
        with (
            fail_for_good(),
            KustomerHook(
                self.organisation.kustomer_connection, requests_per_minute=settings.kustomer_requests_per_minute
            ) as kustomer,
        ):
            last_try = context["ti"].try_number > context["ti"].max_tries

            def is_recorded(one: Interaction) -> bool:
                return any(event.closed_at == one.closed_at for event in ledger.history(one.conversation_id))

            extraction = Extraction(
                kustomer,
                settings,
                make_planner(kustomer, settings),
                is_recorded=is_recorded,
                last_try_at=datetime.now(UTC) if last_try else None,
            )
            try:
                with closing(extraction.interactions(span)) as judged:
                    for interactions in judged:
                        extraction.count(ledger.extraction.record_closings(interactions, by=actor_of(context)))
            finally:
                facts = extraction.facts()
                skipped = {f"skipped.{reason}": number for reason, number in facts["skipped"].items()}
                count_interactions({"planned": facts["planned"], **skipped}, self.organisation)
                self.log.info(canonical_line("extracted", facts))
        if extraction.unread:
            told = (
                f"{len(extraction.unread)} customers or agents could not be read from Kustomer (first: id "
                f"{next(iter(extraction.unread))}). Their closings are not recorded yet, everything else is; "
                f"they are read again with the next try, or whenever this interval is read again."
            )
            if origin != "schedule" or not last_try:
                raise AirflowException(told)
            self.log.warning(told)
        # With our clock ahead, the end of the span is a time to which Kustomer had not come when it was searched.
        read_until = min(span.closed_to, kustomer.asked_at or span.closed_to, *extraction.unread.values())
        if origin == "schedule" and whole_enough(span, facts["short"]) and read_until > span.closed_from:
            ledger.extraction.advance_watermark(span.closed_from, read_until)
        return {**facts, "finished_at": datetime.now(UTC).isoformat()}


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
