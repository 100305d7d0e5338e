"""The task that writes customers' answers to Kustomer, as the setting `write_back` says."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Context
from airflow.sdk.exceptions import AirflowSkipException

from include.interactions.settings import Settings
from include.interactions.write_back import Target, WriteBack
from include.ledger import Ledger
from plugins.kustomer.calls import BULK, FOR_TARGET
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.answer_writer import AnswerWriter, TargetStoppedError
from plugins.pipeline.served_organisation import check_key
from plugins.runtime.assets import make_asset
from plugins.runtime.failures import fail_for_good
from plugins.runtime.metrics import count, set_gauge
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import canonical_line, open_ledger, settings_of

log = logging.getLogger(__name__)

WRITE_FOR = timedelta(minutes=14.5)
"""The next run begins 15 minutes after this one and goes on; until then alarms and readings must not wait."""
COUNTED = ("written", "unchanged", "gone", "failed")


def answers_written(organisation: Organisation) -> Asset:
    """Return the asset for the event that each run emits with its counts."""
    return make_asset(organisation, "answers_written", "answers/written")


def write_answers(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Write what is due, and report in one log line, metrics and an asset event.

    A missing role, class or attribute stops only its target;
    the result names it under `stopped`.

    Raises:
        AirflowFailException: a setting, connection or key is wrong.
        AirflowSkipException: the setting `write_back` is empty; no call was made.
        VendorApiError: Kustomer is down. What was written is recorded; the next attempt goes on.
    """
    settings = settings_of(context, organisation)
    if settings.write_back is None:
        raise AirflowSkipException("The setting write_back is empty: answers are not written to Kustomer.")
    run = WritingBack(open_ledger(organisation), settings, settings.write_back, organisation)
    try:
        with fail_for_good():
            run.write(until=datetime.now(UTC) + WRITE_FOR)
    finally:
        run.report()
    context["outlet_events"][answers_written(organisation)].extra = run.facts
    return run.facts


class WritingBack:
    """One run over all targets.

    Attributes:
        facts: counts by target, and why a target stopped; without personal data.
    """

    def __init__(
        self, ledger: Ledger, settings: Settings, write_back: WriteBack, organisation: Organisation
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._write_back = write_back
        self._organisation = organisation
        self.facts: dict[str, Any] = {}

    def write(self, until: datetime) -> None:
        """Write every target; if nothing is due, no call is made."""
        now = datetime.now(UTC)
        due = []
        for target in self._write_back.targets:
            self._ledger.writing.plan(target)
            if self._ledger.writing.list_due(target, 1, now):
                due.append(target)
        if due:
            connection = self._organisation.kustomer_connection
            with KustomerHook(connection, requests_per_minute=self._write_back.per_minute) as kustomer:
                self._write_targets(kustomer, due, until)

    def _write_targets(self, kustomer: KustomerHook, targets: list[Target], until: datetime) -> None:
        check_key(self._ledger, kustomer)
        lacking = set(
            kustomer.list_calls_without_role([BULK, *(call for target in targets for call in FOR_TARGET[target])])
        )
        for target in targets:
            if missing := [call.roles[0] for call in FOR_TARGET[target] if call in lacking]:
                self._stop(target, f"the key of connection {kustomer.conn_id!r} lacks {', '.join(missing)}")
                continue
            writer = AnswerWriter(
                self._ledger, kustomer, self._write_back, target, until=until, may_bulk=BULK not in lacking
            )
            try:
                writer.write()
            except TargetStoppedError as stopped:
                self._stop(target, str(stopped))
            finally:
                self.facts.setdefault(target.value, {}).update({name: writer.counts[name] for name in COUNTED})

    def _stop(self, target: Target, why: str) -> None:
        log.error("Nothing more is written to %s in this run: %s", target, why)
        self.facts.setdefault(target.value, {})["stopped"] = why

    def report(self) -> None:
        """Write the log line and the metrics."""
        for target in self._write_back.targets:
            pending = self._ledger.writing.count_pending(target)
            self.facts.setdefault(target.value, {})["pending"] = pending
        log.info(canonical_line("write_back", self.facts))
        for name in ("written", "gone", "failed"):
            count(f"answers.{name}", sum(facts.get(name, 0) for facts in self.facts.values()), self._organisation)
        pending = sum(facts["pending"] for facts in self.facts.values())
        set_gauge("answers.pending", pending, self._organisation)
