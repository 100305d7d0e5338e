"""Wait until an instant, without a worker.

Airflow stores a trigger's class path and arguments while it waits (up to the longest delay), and never reloads
trigger code: keep both compatible across deploys, and restart the triggerer after changing this file.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

LONGEST_NAP_SECONDS = 60.0
"""The clock is read again at least so often: a stepped clock or a suspended machine moves the wait with it."""


class DueTimeTrigger(BaseTrigger):
    """Fires when `moment` (aware datetime or ISO 8601 with offset) has passed.

    It carries one instant and nothing personal, and does nothing but wait: a triggerer that restarts runs its
    triggers again, so whatever else it did would be done twice.
    """

    def __init__(self, moment: datetime | str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base has no annotations
        self.moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        if self.moment.tzinfo is None:
            msg = f"The due time {self.moment.isoformat()} must name its offset from UTC."
            raise ValueError(msg)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return f"{__name__}.{type(self).__qualname__}", {"moment": self.moment.isoformat()}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait in short naps, then report the instant once."""
        while (left := (self.moment - datetime.now(UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(left, LONGEST_NAP_SECONDS))
        yield TriggerEvent(self.moment.isoformat())  # type: ignore[no-untyped-call]  # as above
