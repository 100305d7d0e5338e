"""Messages about alarms: one when an alarm starts, and a daily reminder while it is active.

The ledger remembers the time of each alarm's last message. Airflow cannot: the XCom of an earlier run depends on
the order of runs without a logical date in its database, and the first run of a day may not happen.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.ledger import Ledger
from plugins.runtime.notifier import send_message

log = logging.getLogger(__name__)

REMIND_AFTER = timedelta(days=1)
ENDED = ""
"""Replaces the time of the last message while the alarm is not active."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """`name` as in the metric `alarms.<name>`; `text` says what is wrong and what to do, and names no person."""

    name: str
    text: str


def raise_alarm(ledger: Ledger, alarm: Alarm, now: datetime) -> None:
    """Log the alarm and, if its message is due, send it once, even if several runs find it at the same time."""
    log.error("ALARM: %s", alarm.text)
    name = _fact(alarm.name)
    last = ledger.get_fact(name)
    before = None if last is None else last.value
    if before and now - datetime.fromisoformat(before) < REMIND_AFTER:
        return
    if ledger.replace_fact(name, before, now.isoformat()) and not send_message(f"ALARM: {alarm.text}"):
        ledger.replace_fact(name, now.isoformat(), before or ENDED)  # the next run tries again


def end_alarms(ledger: Ledger, names: Collection[str]) -> None:
    """Note that these alarms are not active, so that a new start sends a message."""
    for name in names:
        last = ledger.get_fact(_fact(name))
        if last is not None and last.value != ENDED:
            ledger.replace_fact(_fact(name), last.value, ENDED)


def _fact(alarm: str) -> str:
    return f"last_message.{alarm}"
