"""The send delay: wait until a window's last interaction is due."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.exceptions import AirflowSensorTimeout

from plugins.runtime.run_context import canonical_line

SHORT_WAIT = timedelta(seconds=30)
"""Waited in the worker: Airflow 3.3.2 can fail a task whose trigger fires seconds after the deferral."""

GRACE = timedelta(minutes=2)
"""This long after the due time, Airflow's scheduler ends the wait. A triggerer restarts in less."""


class SendDelaySensor(BaseSensorOperator):
    """Succeeds once the release window's `due_until` has passed.

    It returns at once after that time, waits in the worker for short times, and otherwise defers. A trigger can
    fire early, twice, or with an old event, so the sensor checks the clock again when it resumes.

    Args:
        window: a release window as `plan_release_windows` gives it; only `due_until` is used.
    """

    template_fields = ("window",)

    def __init__(self, *, window: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def execute(self, context: Context) -> None:
        """Return, wait or defer, depending on the time left."""
        due_until = datetime.fromisoformat(self.window["due_until"])
        left = due_until - datetime.now(UTC)
        if left > SHORT_WAIT:
            self._defer(due_until)
        while (seconds := (due_until - datetime.now(UTC)).total_seconds()) > 0:
            time.sleep(min(seconds, 1.0))
        late = (datetime.now(UTC) - due_until).total_seconds()
        self.log.info(
            canonical_line("waited", {"due_until": due_until.isoformat(), "late_seconds": round(late, 1)})
        )

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Continue after the deferral; the event is ignored."""
        self.execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue also if no trigger fired in time: a hanging triggerer only delays."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout:
            self.log.warning(
                "The triggerer did not resume this task within %d s of its time: is it alive? The task continues "
                "without it.",
                GRACE.total_seconds(),
            )
            return self.execute(context)

    def _defer(self, due_until: datetime) -> NoReturn:
        self.log.info("waiting until %s", due_until.isoformat())
        timeout = due_until + GRACE - datetime.now(UTC)
        self.defer(trigger=DateTimeTrigger(due_until), method_name="execute_complete", timeout=timeout)
