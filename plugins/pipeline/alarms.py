"""Alarms: what needs a person, as the ledger shows it.

An alarm is a line at level ERROR that begins with ALARM, a metric and, if a webhook is set up, a message. It does
not fail the run that raises it: a red run means that the run itself failed.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context

from include.interactions.settings import Settings
from include.ledger import Ledger
from include.ledger.reports.endings import find_unusual_endings
from include.ledger.reports.overview import OVERDUE, REJECTED_SHARE
from plugins.pipeline.feedback import GRACE, REREAD_SPAN, list_undecided
from plugins.pipeline.masking import masked_addresses
from plugins.pipeline.messages import Alarm, end_alarms, raise_alarm
from plugins.pipeline.recovering import REOPENINGS_SPAN
from plugins.pipeline.release import RELEASE_FAULT
from plugins.runtime.metrics import set_gauge
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import (
    actor_of,
    canonical_line,
    open_ledger,
    settings_of,
)
from plugins.runtime.schedule import next_ticks

log = logging.getLogger(__name__)

REFUSALS_SPAN = timedelta(hours=1)
UNMAPPED_SPAN = timedelta(days=1)
"""By the closing; older ones were reported while they were new."""
ANSWERS_SPAN = timedelta(days=1)
FAILED_ACTIONS_SPAN = timedelta(days=1)
MAX_TIME_TO_READ = timedelta(hours=3)
"""From the tick of a scheduled run until it has read its closings, with all its retries."""
MAX_TIME_DEFERRED = timedelta(hours=6)


def raise_alarms(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Read only the ledger, whatever vendors and pipeline are doing, and raise the active alarms.

    Each alarm is logged while it is active. People get a message when it starts and a daily reminder.

    Returns:
        The ledger's backlog, and `alarms`, the names of the active ones.
    """
    settings, ledger, now = settings_of(context, organisation), open_ledger(organisation), datetime.now(UTC)
    ledger.releasing.recover(by=actor_of(context))  # interactions held by a dead release are due too
    # A longer release window makes interactions later without a fault.
    grace = max(OVERDUE, timedelta(seconds=2 * settings.release_window_seconds))
    backlog = measure_backlog(ledger, now, organisation, grace)
    found = [
        _extraction_behind(ledger, now, organisation),
        _readings_deferred(ledger, now),
        _overdue(backlog, grace, organisation),
        _release_stopped(ledger, backlog, organisation),
        _masked(ledger, organisation),
        masked_addresses(ledger, organisation),
        _unmapped(ledger, now, organisation),
        *_recovery(ledger, settings, now),
        _unusual_endings(ledger, now, organisation),
        *_afterwards(ledger, now, organisation),
        refusals(*ledger.feedback.count_refused_and_sent(since=now - REFUSALS_SPAN), "in the last hour"),
        _answers_not_written(ledger, settings, now, organisation),
    ]
    alarms = [alarm for alarm in found if alarm]
    standing = [alarm.name for alarm in alarms]
    log.info(canonical_line("alarms", {**backlog, "standing": ",".join(standing) or "none"}))
    for name in NAMES:
        set_gauge(f"alarms.{name}", int(name in standing), organisation)
    for alarm in alarms:
        raise_alarm(ledger, alarm, now)
    end_alarms(ledger, set(NAMES) - set(standing))
    return {**backlog, "alarms": standing}


def measure_backlog(
    ledger: Ledger, now: datetime, organisation: Organisation, grace: timedelta = OVERDUE
) -> dict[str, Any]:
    """Count unfinished interactions, also as metrics; `oldest_overdue_seconds` counts from the due time."""
    left = ledger.backlog(grace=grace)
    late = max(0.0, (now - left.oldest_due).total_seconds()) if left.oldest_due else 0.0
    facts = {
        "planned": left.planned,
        "overdue": left.overdue,
        "oldest_overdue_seconds": round(late),
        "held": left.held,
        "unknown": left.unknown,
    }
    for name, number in facts.items():
        set_gauge(f"ledger.{name}", number, organisation)
    return facts


def refusals(refused: int, taken: int, since: str) -> Alarm | None:
    """Return the alarm about refusals if they are above Stella Connect's own mark."""
    if refused <= REJECTED_SHARE * (refused + taken):
        return None
    return Alarm(
        "refused",
        f"Stella Connect refused {refused} of {refused + taken} interactions {since}, more than "
        f"{REJECTED_SHARE:.0%}. The ledger holds the reasons (state rejected, column detail). Most often the "
        "cause is a profile, channel, brand or language.",
    )


NAMES = (
    "extraction_behind",
    "readings_deferred",
    "overdue",
    "release_stopped",
    "opt_out_masked",
    "masked_addresses",
    "unmapped",
    "unusual_endings",
    "reopenings_stopped",
    "recovery_failed",
    "unknown",
    "not_shown",
    "shown_twice",
    "refused",
    "answers_not_written",
)


def _extraction_behind(ledger: Ledger, now: datetime, organisation: Organisation) -> Alarm | None:
    """The alarm that closings are not read any more. A ledger for which no scheduled run has read raises none."""
    watermark = ledger.extraction.read_watermark()
    if watermark is None:
        return None
    covered = watermark.covered_until
    tick = next_ticks(organisation.schedule, covered)[0]
    if now - tick <= MAX_TIME_TO_READ:
        return None
    return Alarm(
        "extraction_behind",
        f"Closings have been read only up to {covered:%Y-%m-%d %H:%M} UTC. The run of "
        f"{tick:%Y-%m-%d %H:%M} UTC should have read on. Check whether {organisation.dag_id} runs, is paused "
        f"or fails in extract_closed_conversations. Nothing is lost: the next run that succeeds reads "
        f"everything since.",
    )


def _readings_deferred(ledger: Ledger, now: datetime) -> Alarm | None:
    deferred = ledger.extraction.summarise_deferred()
    if deferred.oldest is None or now - deferred.oldest <= MAX_TIME_DEFERRED:
        return None
    return Alarm(
        "readings_deferred",
        f"{deferred.closings} closings and {deferred.spans} spans of time could not be read from Kustomer yet, "
        f"the oldest since {deferred.oldest:%Y-%m-%d %H:%M} UTC. Later runs try again. The log of "
        f"extract_closed_conversations says what fails. Look at these records in Kustomer.",
    )


def _unusual_endings(ledger: Ledger, now: datetime, organisation: Organisation) -> Alarm | None:
    with ledger.read() as connection:
        found = find_unusual_endings(connection, now)
    if not found:
        return None
    shares = "; ".join(
        f"{ending.why} {ending.ended} of {ending.closings} (in the week before {ending.usual_share:.0%})"
        for ending in found
    )
    return Alarm(
        "unusual_endings",
        f"Many more closings of a day than usual ended without a survey: {shares}. If this is not intended, a "
        f"setting, a key, or the data at a vendor has changed. The tab Interactions lists them by reason. "
        f"Correct the cause, then plan them again in the DAG {organisation.admin_dag_id}.",
    )


def _overdue(backlog: dict[str, Any], grace: timedelta, organisation: Organisation) -> Alarm | None:
    if not backlog["overdue"]:
        return None
    return Alarm(
        "overdue",
        f"{backlog['overdue']} planned interactions have been due for more than "
        f"{grace // timedelta(minutes=1)} minutes, the oldest for {backlog['oldest_overdue_seconds'] // 60}. "
        f"Nothing is lost: the next run of {organisation.dag_id} releases them. Check whether it runs, is "
        f"paused or fails, and check max_releases_per_run. Trigger it to release them at once.",
    )


def _answers_not_written(
    ledger: Ledger, settings: Settings, now: datetime, organisation: Organisation
) -> Alarm | None:
    if settings.write_back is None:
        return None
    left = ledger.writing.count_unwritten(settings.write_back.targets, since=now - ANSWERS_SPAN)
    if not left.failed and not left.waiting:
        return None
    return Alarm(
        "answers_not_written",
        f"{left.failed} answers could not be written to Kustomer in the last day, and {left.waiting} have "
        f"waited for more than a day. The log of write_answers_to_kustomer in the DAG "
        f"{organisation.feedback_dag_id} says what is missing. Then run the action “Write answers to Kustomer "
        f"again” of {organisation.admin_dag_id}.",
    )


def _recovery(ledger: Ledger, settings: Settings, now: datetime) -> list[Alarm]:
    """Return the alarms that reopenings have stopped, and that actions after bad answers failed."""
    counts, alarms = ledger.recovery.count(now - FAILED_ACTIONS_SPAN, now - REOPENINGS_SPAN), []
    if counts.reopenings_waiting and counts.reopened >= settings.max_reopenings_per_hour:
        alarms.append(
            Alarm(
                "reopenings_stopped",
                f"{counts.reopened} conversations were reopened within an hour, as many as max_reopenings_per_hour "
                f"allows; {counts.reopenings_waiting} more wait. Look at the latest answers, and whether the "
                f"conditions of the setting recovery are too wide. Nothing is lost: they are reopened later.",
            )
        )
    if counts.failed:
        alarms.append(
            Alarm(
                "recovery_failed",
                f"{counts.failed} actions after bad answers failed within a day, or their outcome is unknown. "
                f"The log of the feedback DAG's recovery task names the conversations and the causes.",
            )
        )
    return alarms


def _masked(ledger: Ledger, organisation: Organisation) -> Alarm | None:
    if not (number := ledger.unread_opt_outs()):
        return None
    return Alarm(
        "opt_out_masked",
        f"{number} planned interactions have a do-not-send attribute that Kustomer masks: it may say “do "
        f"not send”. They wait until their expiry. Put a key that may read sensitive values (“Read "
        f"Sensitive”) into the connection {organisation.kustomer_connection}.",
    )


def _unmapped(ledger: Ledger, now: datetime, organisation: Organisation) -> Alarm | None:
    if not (number := ledger.unmapped(now - UNMAPPED_SPAN)):
        return None
    return Alarm(
        "unmapped",
        f"{number} interactions of the last day were skipped because the settings channel, brand, language or "
        f"country have no entry for them. The tab Interactions names the values (reasons unmapped_…). Add the "
        f"entries or a default, then plan again in the DAG {organisation.admin_dag_id}.",
    )


def _release_stopped(ledger: Ledger, backlog: dict[str, Any], organisation: Organisation) -> Alarm | None:
    """The alarm that runs happen but what is due is not sent, since a vendor's answers cannot be right."""
    fault = ledger.get_fact(RELEASE_FAULT)
    if fault is None or not fault.value or not backlog["planned"]:
        return None
    since = fault.changed_at.strftime("%Y-%m-%d %H:%M UTC")
    return Alarm(
        "release_stopped",
        f"Releases of {organisation.dag_id} have stopped since {since}, and nothing has been sent after that. "
        f"{fault.value} Nothing is lost: the next run that succeeds sends what is due.",
    )


def _afterwards(ledger: Ledger, now: datetime, organisation: Organisation) -> list[Alarm]:
    """Return the alarms about what Stella Connect shows or does not show."""
    hours, alarms = GRACE // timedelta(hours=1), []
    if unknown := len(list_undecided(ledger, now)):
        alarms.append(
            Alarm(
                "unknown",
                f"{unknown} interactions have had an unknown outcome for more than {hours} hours, and Stella "
                f"Connect does not show them. Look for them on its Invalid Requests tab, then answer the question "
                f"of {organisation.decision_dag_id} under Required Actions, or settle each in the DAG "
                f"{organisation.admin_dag_id}.",
            )
        )
    shown = ledger.feedback.compare_with_data_return(since=now - REREAD_SPAN, until=now - GRACE)
    if shown.missing:
        alarms.append(
            Alarm(
                "not_shown",
                f"{shown.missing} interactions were sent more than {hours} hours ago, and Stella Connect does not "
                f"show them. Look at its Invalid Requests tab, and check that the connection's key belongs to the "
                f"account you look at.",
            )
        )
    if shown.twice:
        alarms.append(
            Alarm(
                "shown_twice",
                f"Stella Connect shows {shown.twice} interactions more than once. Look for a second sender: the "
                f"official app, another installation with its own ledger, or a person who sent one again.",
            )
        )
    return alarms
