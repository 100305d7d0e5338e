"""What others would do, in the same cluster: a task for each interaction, or a script by the clock."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.sandbox.options import STELLA_KEY
from scripts.benchmark import child, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation
from scripts.benchmark.usage import cpu_seconds
from scripts.stack.cluster import Cluster, Vendors
from scripts.stack.connections import DAG_ID
from scripts.stack.sandbox import RunningSandbox
from scripts.stack.stack import ROOT, SETTINGS_VARIABLE

TIMES_CHEAPER = 90
FEW, MANY = timedelta(seconds=15), timedelta(seconds=60)
"""Our two runs have the closings of so long: what a run costs whatever its size weighs more in the small one."""
FIRST_DUE_IN = timedelta(seconds=40)
"""So long after the trigger our first ones fall due, and all of the peers'."""
WINDOW_SECONDS = 20
SENSOR_AND_TASK, HTTP_OPERATOR = "a_task_for_each", "an_http_operator_for_each"
MAX_RUN_SECONDS = 1800
SETTLING_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU-seconds of one run, from its trigger to its end."""

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
    """Measure two runs of ours and two peers, one after the other in one cluster, and a script without Airflow."""
    closings, items = (360, 20) if quick else (6_600, 200)
    began = datetime.now(UTC).replace(microsecond=0) - FEW - MANY
    with installation(closings, began, FEW + MANY) as here:
        with _cluster(here) as cluster:
            cluster.api.set_variable(SETTINGS_VARIABLE, {})
            ours = [_run(cluster, here, DAG_ID, _our_conf(*span)) for span in ((began, FEW), (began + FEW, MANY))]
            conf = _conf_of_a_peer(here, items)
            peers = {dag: _run(cluster, here, dag, conf) for dag in (SENSOR_AND_TASK, HTTP_OPERATOR)}
        script = _script(here, items)
    for cost in ours:
        yield _figure(cost, peers, script)


def _figure(ours: Cost, peers: dict[str, Cost], script: dict[str, float]) -> Figure:
    sensor, operator = (peers[dag].of_a_thousand for dag in (SENSOR_AND_TASK, HTTP_OPERATOR))
    return Figure(
        "peers",
        f"CPU-seconds per 1,000 interactions, all parts of the cluster, a run of {ours.interactions:,}",
        f"{ours.of_a_thousand:.1f} s = 1/{sensor / ours.of_a_thousand:.1f}",
        f"≤ 1/{TIMES_CHEAPER} of a sensor and a task for each",
        sensor >= TIMES_CHEAPER * ours.of_a_thousand,
        f"{sensor:,.0f} s, a sensor and a task for each; {operator:,.0f} s, an HttpOperator for each; "
        f"{script['cpu_seconds'] * 1000 / script['posted']:.1f} s, a plain script",
        f"Ours: {ours}. {' '.join(f'{dag}: {cost}.' for dag, cost in peers.items())} The peers have fewer "
        f"interactions, because they cost so much. The script posted {script['posted']} in "
        f"{script['seconds']:.0f} s with one look-up each of conversation, customer, user and employee: no wait, "
        f"no second look, no ledger.",
    )


def _cluster(here: Installation) -> Cluster:
    dags = here.home / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / f"{DAG_ID}.py", dags)
    for peer in (SENSOR_AND_TASK, HTTP_OPERATOR):
        shutil.copy(Path(__file__).with_name(f"{peer}.py"), dags)
    return Cluster(
        here.home / "cluster",
        Vendors(here.sandbox.kustomer_url, here.sandbox.stella_url),
        dags=dags,
        extra={
            "KUSTOMER_STELLA_SCHEDULE": "0 0 1 1 *",  # its run finds nothing
            "AIRFLOW_CONN_PEER": f'{{"conn_type": "http", "host": "{here.sandbox.stella_url}"}}',
        },
    )


def _run(cluster: Cluster, here: Installation, dag: str, conf: dict[str, Any]) -> Cost:
    """Run a DAG to its end. A peer's run may fail; it is measured by what arrived."""
    cluster.api.wait_for_dag(dag, 120)
    cluster.api.set_paused(dag, paused=False)
    time.sleep(SETTLING_SECONDS)
    before, began, accepted = cpu_seconds(cluster.pids()), time.monotonic(), here.sandbox.counts()["accepted"]
    run_id = cluster.api.trigger_run(dag, conf)
    state = cluster.api.wait_for_run(dag, run_id, MAX_RUN_SECONDS)
    if dag == DAG_ID and state != "success":
        raise RuntimeError(f"the run of {dag} ended as {state}")
    return Cost(
        here.sandbox.counts()["accepted"] - accepted,
        len(cluster.api.task_instances(dag, run_id)),
        cpu_seconds(cluster.pids()) - before,
        time.monotonic() - began,
        state,
    )


def _our_conf(begin: datetime, length: timedelta) -> dict[str, Any]:
    """Return Params with which the closings of a span begin to fall due soon."""
    delay = datetime.now(UTC) - begin + FIRST_DUE_IN + timedelta(seconds=SETTLING_SECONDS)
    settings = {"seconds_until_send": int(delay.total_seconds()), "release_window_seconds": WINDOW_SECONDS}
    return {"start": begin.isoformat(), "end": (begin + length).isoformat(), **settings}


def _conf_of_a_peer(here: Installation, items: int) -> dict[str, Any]:
    """Return so many items, all due at the same instant."""
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


def _script(here: Installation, items: int) -> dict[str, float]:
    found: dict[str, float] = child.run(
        "scripts.benchmark.peers:by_the_clock",
        here.env(),
        kustomer_url=here.sandbox.kustomer_url,
        stella_url=here.sandbox.stella_url,
        ids=here.sandbox.ask("expected")["sent"][:items],
    )
    return found


def by_the_clock(kustomer_url: str, stella_url: str, ids: list[str]) -> dict[str, float]:
    """Do what a script of cron would do, in a new process; CPU without the imports."""
    sandbox = RunningSandbox(kustomer_url, stella_url)
    cpu_before, began = time.process_time(), time.perf_counter()
    posted = sum(plain.look_up_and_post(sandbox, conversation_id) for conversation_id in ids)
    cpu, seconds = time.process_time() - cpu_before, time.perf_counter() - began
    return {"posted": posted, "cpu_seconds": cpu, "seconds": seconds}
