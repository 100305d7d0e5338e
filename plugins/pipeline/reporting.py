"""The report of a run: what happened, how late, and whether anything failed."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Context
from airflow.sdk.exceptions import AirflowFailException

from plugins.pipeline.alarms import measure_backlog, refusals
from plugins.pipeline.messages import raise_alarm
from plugins.runtime.assets import make_asset
from plugins.runtime.metrics import set_gauge
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import canonical_line, find_interval, open_ledger, origin_of, settings_of

log = logging.getLogger(__name__)

FAILED = ("failed", "upstream_failed")


def interactions_released(organisation: Organisation) -> Asset:
    """Return the asset for the event that each run emits with its counts."""
    return make_asset(organisation, "interactions_released", "interactions/released")


def report_run(context: Context, organisation: Organisation) -> dict[str, Any]:
    """Sum up the run in one log line, metrics and an asset event; fail it if a task failed.

    Raises:
        AirflowFailException: a task of the run failed. The counts are written before.
    """
    task, run, ledger, now = context["ti"], context["dag_run"], open_ledger(organisation), datetime.now(UTC)
    extracted = task.xcom_pull(task_ids="extract_closed_conversations") or {}
    profiles = task.xcom_pull(task_ids="check_agent_profiles") or {}
    windows = task.xcom_pull(task_ids="plan_release_windows") or []
    released = _sum(
        task.xcom_pull(task_ids="release_window.release_interactions", map_indexes=range(len(windows))) or []
        if windows
        else []
    )
    facts = {
        "extracted": {key: value for key, value in extracted.items() if key != "finished_at"},
        "profiles": profiles,
        "windows": len(windows),
        "released": released,
        "backlog": measure_backlog(ledger, now, organisation),
    }
    log.info(canonical_line("run", facts))
    if (most := released["late_seconds"]["most"]) is not None:
        set_gauge("interactions.late_seconds", most, organisation)
    context["outlet_events"][interactions_released(organisation)].extra = facts
    _warn_if_late(context, extracted.get("finished_at"), settings_of(context, organisation).handover_seconds)
    taken = released.get("sent", 0) + released.get("unknown", 0)
    if alarm := refusals(released.get("rejected", 0), taken, "in this run"):
        raise_alarm(ledger, alarm, now)
    failed = task.get_ti_count(dag_id=run.dag_id, run_ids=[run.run_id], states=list(FAILED))
    if failed:
        raise AirflowFailException(
            f"{failed} task instances of this run failed or never ran. Unsent interactions stay planned, and the "
            f"next run releases them. The next scheduled run reads hours that were not extracted."
        )
    return facts


def _sum(releases: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    least, most = [], []
    for release in releases:
        for key, value in (release or {}).items():
            if key == "late_seconds":
                least += [value["least"]] if value["least"] is not None else []
                most += [value["most"]] if value["most"] is not None else []
            else:
                counts[key] += value
    return dict(counts) | {"late_seconds": {"least": min(least, default=None), "most": max(most, default=None)}}


def _warn_if_late(context: Context, finished_at: str | None, handover_seconds: int) -> None:
    """Warn if extraction ended after the handover, when the next run takes over."""
    if finished_at is None or origin_of(context) != "schedule":
        return
    took_over = find_interval(context)[1] + timedelta(seconds=handover_seconds)
    if datetime.fromisoformat(finished_at).astimezone(UTC) > took_over:
        log.warning(
            "Extraction finished at %s, after the handover ended at %s: interactions that fell due in between "
            "were sent late. Raise handover_seconds, or find out why extraction was slow.",
            finished_at,
            took_over.isoformat(),
        )
