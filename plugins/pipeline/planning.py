"""Plan the release windows of a run."""

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context

from include.interactions.release_windows import release_windows
from include.interactions.span import release_before
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import (
    actor_of,
    canonical_line,
    find_interval,
    open_ledger,
    origin_of,
    settings_of,
)
from plugins.runtime.schedule import next_ticks

log = logging.getLogger(__name__)


def plan_windows(context: Context, organisation: Organisation) -> list[dict[str, Any]]:
    """Group what falls due before the next run takes over into release windows, overdue interactions first.

    It does not matter which run found an interaction. If a release died before sending, its interactions are
    planned again here; if it died while sending, they become unknown.

    Returns:
        One dict for each window: `due_from`, `due_until` (ISO 8601), `count`, `label` (for the grid) and `limit`
        (None, or a number if `max_releases_per_run` is set). Never personal data.
    """
    settings, ledger = settings_of(context, organisation), open_ledger(organisation)
    recovered = ledger.releasing.recover(by=actor_of(context))
    end, now = find_interval(context)[1], datetime.now(UTC)
    ticks = next_ticks(organisation.schedule, end)
    until = release_before(end, origin_of(context), ticks, handover_seconds=settings.handover_seconds)
    # A run for a past hour has nothing to wait for: it releases what is overdue now.
    due_times = ledger.releasing.list_due_times(max(until, now), limit=settings.max_releases_per_run)
    windows = list(release_windows(due_times, now, settings.release_window_seconds))
    facts = {
        "interactions": len(due_times),
        "overdue": sum(due_at <= now for due_at in due_times),
        "windows": len(windows),
        "recovered": {"planned": recovered.planned, "unknown": recovered.unknown},
    }
    log.info(canonical_line("planned", facts))
    return [
        {
            "due_from": window.due_from.isoformat(),
            "due_until": window.due_until.isoformat(),
            "count": window.count,
            "limit": window.count if settings.max_releases_per_run else None,
            "label": window.label(now),
        }
        for window in windows
    ]
