"""Alarms about the actions after unhappy customers' answers."""

from datetime import datetime, timedelta

from include.interactions.settings import Settings
from include.ledger import Ledger
from plugins.pipeline.messages import Alarm
from plugins.pipeline.recovering import REOPENINGS_SPAN

FAILED_SPAN = timedelta(days=1)


def recovery_alarms(ledger: Ledger, settings: Settings, now: datetime) -> list[Alarm]:
    """Return the alarms that reopenings have stopped, and that actions failed."""
    counts, alarms = ledger.recovery.count(now - FAILED_SPAN, now - REOPENINGS_SPAN), []
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
