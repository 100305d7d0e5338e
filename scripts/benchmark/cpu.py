"""CPU-seconds of all of Airflow's processes for a thousand interactions, in the real Airflow."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.sandbox.options import STELLA_KEY
from scripts.benchmark import plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation
from scripts.benchmark.usage import cpu_seconds
from scripts.stack.cluster import Cluster
from scripts.stack.connections import DAG_ID
from scripts.stack.stack import ROOT, Stack

TIMES_CHEAPER = 30
SPREAD = timedelta(seconds=60)
"""The interactions fall due within this span ..."""
FIRST_DUE_IN = timedelta(seconds=40)
"""... which begins so long after the trigger; the baseline's are all due at that instant."""
WINDOW_SECONDS = 20
BASELINE_DAG = "a_task_for_each"
LONGEST_RUN_SECONDS = 1800
SETTLING_SECONDS = 15
AIRFLOWS_OWN_PACE = {
    # As Airflow has it by default; the demo's and the tests' stack looks for changed files more often.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, from its trigger to its end."""

    interactions: int
    instances: int
    cpu_seconds: float
    seconds: float
    state: str

    @property
    def of_a_thousand(self) -> float:
        """CPU-seconds for 1,000 interactions."""
        return self.cpu_seconds * 1000 / self.interactions

    def __str__(self) -> str:
        return (
            f"{self.interactions:,} interactions, {self.instances} task instances, {self.cpu_seconds:.1f} CPU-s "
            f"in {self.seconds:.0f} s, run {self.state}"
        )


def measure(*, quick: bool) -> Iterator[Figure]:
    """One run of ours and one of the baseline in the same Airflow, one after the other."""
    conversations, items = (300, 20) if quick else (1_250, 200)
    with installation(conversations, datetime.now(UTC).replace(microsecond=0) - SPREAD, SPREAD) as here:
        dags = here.home / "dags"
        dags.mkdir()
        shutil.copy(ROOT / "dags" / f"{DAG_ID}.py", dags)
        shutil.copy(Path(__file__).with_name(f"{BASELINE_DAG}.py"), dags)
        with Stack(here.home / "airflow", here.connections(), dags=dags, extra=AIRFLOWS_OWN_PACE) as stack:
            for dag in (DAG_ID, BASELINE_DAG):
                stack.api.wait_for_dag(dag)
                stack.api.set_paused(dag, paused=False)
            time.sleep(SETTLING_SECONDS)
            resting = idle(stack)
            ours = run(stack, here, DAG_ID, our_conf(here))
            baseline = run(stack, here, BASELINE_DAG, conf_of_the_baseline(here, items))
    times = baseline.of_a_thousand / ours.of_a_thousand
    yield Figure(
        "cpu",
        "CPU-seconds of all of Airflow's processes per 1,000 interactions",
        f"{ours.of_a_thousand:.1f} s = 1/{times:.1f}",
        f"≤ 1/{TIMES_CHEAPER}",
        times >= TIMES_CHEAPER,
        f"{baseline.of_a_thousand:,.0f} s (a mapped deferrable sensor and a task for each)",
        f"Ours: {ours}. Baseline: {baseline}; fewer than ours, which favours it: what Airflow spends on a run "
        f"grows faster than its instances. What it spends idle ({resting:.2f} CPU-seconds a second) is in both.",
    )


def run(stack: Stack | Cluster, here: Installation, dag: str, conf: dict[str, Any]) -> Cost:
    """One run to its end, and what it cost. A peer's may fail; it is measured by what arrived."""
    before, began = cpu_seconds(stack.pids()), time.monotonic()
    accepted = _accepted(here)
    run_id = stack.api.trigger_run(dag, conf)
    state = stack.api.wait_for_run(dag, run_id, LONGEST_RUN_SECONDS)
    cost = Cost(
        _accepted(here) - accepted,
        len(stack.api.task_instances(dag, run_id)),
        cpu_seconds(stack.pids()) - before,
        time.monotonic() - began,
        state,
    )
    if dag == DAG_ID and state != "success":
        raise RuntimeError(f"the run of {dag} ended as {state}")
    return cost


def our_conf(here: Installation) -> dict[str, Any]:
    """Params with which all closings fall due within a minute."""
    age = datetime.now(UTC) - here.closed_from
    return {
        "start": here.span["closed_from"],
        "end": here.span["closed_to"],
        "seconds_until_send": int((age + FIRST_DUE_IN).total_seconds()),
        "release_window_seconds": WINDOW_SECONDS,
    }


def conf_of_the_baseline(here: Installation, items: int) -> dict[str, Any]:
    """So many items, all due at the same instant."""
    due_until, employee = (datetime.now(UTC) + FIRST_DUE_IN).isoformat(), plain.an_employee(here.sandbox)
    return {
        "items": [
            {
                "due_until": due_until,
                "url": f"{here.sandbox.stella_url}/v1/requests",
                "key": STELLA_KEY,
                "request": plain.feedback_request(f"baseline-{number}", "somebody@example.com", employee),
            }
            for number in range(items)
        ]
    }


def _accepted(here: Installation) -> int:
    accepted: int = here.sandbox.ask("received?limit=0")["counts"]["accepted"]
    return accepted


def idle(stack: Stack | Cluster, seconds: float = 30) -> float:
    """CPU-seconds a second with nothing to do."""
    before = cpu_seconds(stack.pids())
    time.sleep(seconds)
    return (cpu_seconds(stack.pids()) - before) / seconds
