"""Read Stella Connect's reports: survey responses, and settling of unknown outcomes.

It only reads and records. Only the setting `on_absent` = "resend" can lead to another request.
"""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow.sdk import Asset, Context

from include.interactions.actor import Actor
from include.interactions.survey_response import CLOCK_SLACK, read_survey_response
from include.ledger import Cursor, Ledger, UnknownOutcome
from plugins.runtime.assets import make_asset
from plugins.runtime.failures import fail_for_good
from plugins.runtime.metrics import count, set_gauge
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import actor_of, canonical_line, open_ledger, settings_of
from plugins.stella_connect.hook import StellaConnectHook

log = logging.getLogger(__name__)

GRACE = timedelta(hours=6)
"""Until then Stella Connect may still show a request that it took. The exact time is unknown; the fact sheet says
"some hours" (stella-connect.md, 4.5)."""
LOOKED_FOR = timedelta(minutes=15)
"""After the grace, the next reading looks for an unknown outcome again."""
REREAD_EVERY = timedelta(days=1)
REREAD_SPAN = timedelta(days=3)
"""Read again by time of creation, because late answers and disputes may keep their number (4.1, 4.2)."""
MAX_REREAD_SPAN = timedelta(days=30)
"""After this time Stella Connect may have deleted its records (4.5)."""


def survey_responses_read(organisation: Organisation) -> Asset:
    """Return the asset for the event that each run emits with its counts."""
    return make_asset(organisation, "survey_responses_read", "survey-responses/read")


def list_undecided(ledger: Ledger, now: datetime) -> list[UnknownOutcome]:
    """List unknown outcomes that Stella Connect does not show although it was read after the grace."""
    return [
        outcome
        for outcome in ledger.feedback.list_unknown_outcomes()
        if outcome.shown_at is None and outcome.attempted_at + GRACE + LOOKED_FOR <= now
    ]


def record_feedback(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Read new records, settle unknown outcomes, and report in one log line, metrics and an asset event.

    Raises:
        AirflowFailException: a setting, connection or key is wrong.
        VendorApiError: Stella Connect did not answer. What was read is kept; the next attempt continues there.
    """
    settings, ledger = settings_of(context, organisation), open_ledger(organisation)
    with fail_for_good(), StellaConnectHook(organisation.stella_connect_connection) as stella_connect:
        facts = Feedback(ledger, stella_connect, settings.on_absent, by=actor_of(context)).read(datetime.now(UTC))
    log.info(canonical_line("feedback", facts))
    for name in ("recorded", "answered", "settled", "resent"):
        count(f"feedback.{name}", facts[name], organisation)
    for name in ("unknown", "unknown_past_grace", "not_shown", "shown_twice"):
        set_gauge(f"feedback.{name}", facts[name], organisation)
    context["outlet_events"][survey_responses_read(organisation)].extra = facts
    return facts


class Feedback:
    """One reading of Data Return. Repeating it after a crash changes nothing."""

    def __init__(
        self, ledger: Ledger, stella_connect: StellaConnectHook, on_absent: Literal["ask", "resend"], by: Actor
    ) -> None:
        self.ledger = ledger
        self.stella_connect = stella_connect
        self.on_absent = on_absent
        self.by = by
        self._counts: Counter[str] = Counter()

    def read(self, now: datetime) -> dict[str, Any]:
        """Bring the ledger up to date; return counts without personal data."""
        self.ledger.releasing.recover(self.by)  # also look for what a dead release was sending
        self._read_data_return(now)
        unknown = [
            outcome for outcome in self.ledger.feedback.list_unknown_outcomes() if not self._settled(outcome)
        ]
        late = [outcome for outcome in unknown if _past_grace(outcome, now)]
        resent = self._resend(late) if self.on_absent == "resend" else 0
        shown = self.ledger.feedback.compare_with_data_return(since=now - REREAD_SPAN, until=now - GRACE)
        names = ("records", "recorded", "answered", "not_ours", "unreadable", "reread", "settled")
        return {name: self._counts[name] for name in names} | {
            "resent": resent,
            "unknown": len(unknown) - resent,
            "unknown_past_grace": len(late) - resent,
            "not_shown": shown.missing,
            "shown_twice": shown.twice,
        }

    def _read_data_return(self, now: datetime) -> None:
        cursor = self.ledger.feedback.read_cursor()
        if cursor.sequence_id is None:
            # Without a cursor the account's oldest records would come first, perhaps years of them.
            began = self.ledger.feedback.find_first_attempt()
            if began is not None:  # otherwise Stella Connect has nothing to report
                self._reread(began - CLOCK_SLACK, now, moves_cursor=True)
            return
        self._pages(after=cursor.sequence_id, created_from=None, moves_cursor=True)
        absent = [outcome for outcome in self.ledger.feedback.list_unknown_outcomes() if outcome.shown_at is None]
        if _reread_is_due(cursor, absent, now):
            oldest = min((outcome.earliest_at - CLOCK_SLACK for outcome in absent), default=now)
            created_from = max(now - MAX_REREAD_SPAN, min(now - REREAD_SPAN, oldest))
            # Records created earlier are not in it, so the cursor stays.
            self._reread(created_from, now, moves_cursor=False)

    def _reread(self, created_from: datetime, now: datetime, *, moves_cursor: bool) -> None:
        self._counts["reread"] += 1
        if self._pages(after=None, created_from=created_from, moves_cursor=moves_cursor):
            self.ledger.feedback.note_reread(created_from, now)

    def _pages(self, *, after: int | None, created_from: datetime | None, moves_cursor: bool) -> bool:
        """Record page after page, each in its own commit; return False if records may be missing.

        Each page starts after the highest number of the one before. That skips records where numbers come out of
        order, so such a reading proves no absence.
        """
        complete, with_recoveries = True, self.ledger.recovery.has_recoveries()
        while records := self.stella_connect.data(
            after=after, created_at_gte=created_from, include_recovery=with_recoveries
        ):
            responses = [response for response in map(read_survey_response, records) if response is not None]
            highest = max((response.sequence_id for response in responses), default=None)
            learnt = self.ledger.feedback.record_responses(responses, cursor=highest if moves_cursor else None)
            self._counts.update(
                records=len(records),
                unreadable=len(records) - len(responses),
                recorded=learnt.changed,
                answered=learnt.answered,
                not_ours=learnt.not_ours,
            )
            if highest is None or (after is not None and highest <= after):
                log.warning("Data Return gave a page after %s that ends at %s. Reading stops here.", after, highest)
                return False
            numbers = [response.sequence_id for response in responses]
            if numbers != sorted(numbers) or (after is not None and numbers[0] <= after):
                log.warning(
                    "Data Return gave a page after %s whose numbers are not in order: some may be missing.", after
                )
                complete = False
            after = highest
        return complete

    def _settled(self, outcome: UnknownOutcome) -> bool:
        if outcome.shown_at is None:
            return False
        self._counts["settled"] += self.ledger.feedback.settle_found(
            outcome.interaction_id, outcome.shown_at, self.by
        )
        return True

    def _resend(self, late: list[UnknownOutcome]) -> int:
        """Plan again what a reading by time of creation, begun after the grace, did not show."""
        cursor = self.ledger.feedback.read_cursor()
        if cursor.reread_at is None or cursor.reread_from is None:
            return 0
        absent = [
            outcome
            for outcome in late
            if _past_grace(outcome, cursor.reread_at) and cursor.reread_from <= outcome.earliest_at - CLOCK_SLACK
        ]
        return self.ledger.feedback.resend_absent(absent, self.by)


def _past_grace(outcome: UnknownOutcome, at: datetime) -> bool:
    return outcome.attempted_at + GRACE <= at


def _reread_is_due(cursor: Cursor, absent: list[UnknownOutcome], now: datetime) -> bool:
    """Tell whether to read again: once a day, and when an unknown outcome has passed its grace since."""
    last = cursor.reread_at
    if last is None or now - last >= REREAD_EVERY:
        return True
    return any(_past_grace(outcome, now) and not _past_grace(outcome, last) for outcome in absent)
