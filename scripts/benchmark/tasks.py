"""The pipeline's own tasks, run in this process; imported by child processes only, since it imports Airflow."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from airflow.sdk import Context
from sqlalchemy import select

from include.interactions.actor import Actor
from include.interactions.release_windows import release_windows
from include.interactions.settings import Settings
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.interactions.write_back import Target
from include.ledger.schema import interaction
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.answer_writer import AnswerWriter
from plugins.pipeline.extraction import Extraction
from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.runtime.organisations import DEFAULT
from plugins.runtime.run_context import configured_settings, open_ledger

WINDOW_SECONDS = Settings().release_window_seconds
EVER = datetime.max.replace(tzinfo=UTC)


def whole_run(closed_from: str, closed_to: str) -> dict[str, Any]:
    """Extract, check and release, in the windows that the hourly run would have made of these due times."""
    context = _context(closed_from, closed_to)
    ExtractClosedConversationsOperator(task_id="extract", organisation=DEFAULT).execute(context)
    CheckAgentProfilesOperator(task_id="check", organisation=DEFAULT).execute(context)
    due_times = open_ledger(DEFAULT).releasing.list_due_times(EVER)
    windows = list(release_windows(due_times, due_times[0] - timedelta(seconds=1), WINDOW_SECONDS))
    for window in windows:
        _release(context, window.due_from, window.due_until)
    return {"windows": len(windows)}


def extract(
    closed_from: str, closed_to: str, seconds_until_send: int = 60, *, throttled: bool = False
) -> dict[str, Any]:
    """Extract; seconds, and the memory in MiB that came on top of the imports."""
    settings, ledger = Settings(seconds_until_send=seconds_until_send), open_ledger(DEFAULT)
    ledger.migrate()
    imported = psutil.Process().memory_info().rss
    start, end = datetime.fromisoformat(closed_from), datetime.fromisoformat(closed_to)
    began, cpu_began = time.perf_counter(), time.process_time()
    hook = KustomerHook() if throttled else KustomerHook(requests_per_minute=0, searches_per_minute=0)
    with hook as kustomer:
        extraction = Extraction(kustomer, settings, ledger.extraction, by=Actor(run_id="benchmark"))
        extraction.read_span(start, end)
    return {
        **extraction.facts(),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "mebibytes": (_peak_memory() - imported) / 2**20,
    }


def release_planned(closed_from: str, closed_to: str) -> dict[str, Any]:
    """Release everything planned, window by window, each when its last interaction is due; seconds of the tasks."""
    context = _context(closed_from, closed_to)
    due_times = open_ledger(DEFAULT).releasing.list_due_times(EVER)
    seconds = cpu_seconds = 0.0
    windows = list(release_windows(due_times, datetime.now(UTC), WINDOW_SECONDS))
    for window in windows:
        while (left := (window.due_until - datetime.now(UTC)).total_seconds()) > 0:
            time.sleep(min(left, 1.0))
        began, cpu_began = time.perf_counter(), time.process_time()
        _release(context, window.due_from, window.due_until)
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
    counts = open_ledger(DEFAULT).counts()
    unknown = sum(number for (state, _), number in counts.items() if state == State.UNKNOWN)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "windows": len(windows), "unknown": unknown}


def answer_all() -> dict[str, Any]:
    """Let the customer of each interaction answer, after every target was switched on."""
    ledger = open_ledger(DEFAULT)
    for target in Target:
        ledger.writing.plan(target)
    with ledger.read() as connection:
        rows = connection.execute(select(interaction.c.conversation_id, interaction.c.closed_at)).all()
    answers = [
        SurveyResponse(
            uuid=f"benchmark-{number}",
            sequence_id=number,
            conversation_id=row.conversation_id,
            closed_at=row.closed_at,
            response_received_at=datetime.now(UTC),
            rating=number % 5 + 1,
            comment="Quick and friendly, thank you!",
        )
        for number, row in enumerate(rows)
    ]
    return {"answers": ledger.feedback.record_responses(answers).changed}


def write_answers_for(target: str, seconds: float) -> dict[str, Any]:
    """Write answers to one target for so long."""
    settings, ledger = configured_settings(DEFAULT), open_ledger(DEFAULT)
    if settings.write_back is None:
        raise ValueError("the setting write_back is missing")
    ledger.writing.plan(Target(target))
    began = time.perf_counter()
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    with KustomerHook(requests_per_minute=settings.write_back.per_minute) as kustomer:
        writer = AnswerWriter(ledger, kustomer, settings.write_back, Target(target), until=until)
        writer.write()
    return {**writer.counts, "seconds": time.perf_counter() - began}


def _peak_memory() -> int:
    """Bytes. Not `ru_maxrss`: that begins with the size of the process that started this one."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _release(context: Context, due_from: datetime, due_until: datetime) -> None:
    window = {"due_from": due_from.isoformat(), "due_until": due_until.isoformat()}
    ReleaseInteractionsOperator(task_id="release", window=window, organisation=DEFAULT).execute(context)


def _context(closed_from: str, closed_to: str) -> Context:
    """Return the part of a manual run's context that the tasks look at."""
    start, end = datetime.fromisoformat(closed_from), datetime.fromisoformat(closed_to)
    run = SimpleNamespace(
        dag_id="kustomer_stella_connect",
        run_id="benchmark",
        run_type="manual",
        run_after=end,
        data_interval_start=start,
        data_interval_end=end,
    )
    context: Any = {"dag_run": run, "params": {}, "ti": SimpleNamespace(try_number=1, max_tries=3)}
    return context  # type: ignore[no-any-return]  # Airflow's own is made by its task runner alone
