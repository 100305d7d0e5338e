"""What others would do, in the same cluster: a task for each interaction, or a script by the clock."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from scripts.benchmark import child, cpu, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation
from scripts.stack.cluster import Cluster, Vendors
from scripts.stack.connections import DAG_ID
from scripts.stack.sandbox import RunningSandbox
from scripts.stack.stack import ROOT, SETTINGS_VARIABLE

TIMES_CHEAPER = 50
PEERS = {
    cpu.BASELINE_DAG: "a mapped deferrable sensor and a task for each",
    "an_http_operator_for_each": "an HttpOperator for each, sent at once",
}


def measure(*, quick: bool) -> Iterator[Figure]:
    """Ours and two peers in the same cluster, one after the other, and a script without Airflow."""
    conversations, items = (300, 20) if quick else (1_250, 200)
    with installation(conversations, datetime.now(UTC).replace(microsecond=0) - cpu.SPREAD, cpu.SPREAD) as here:
        dags = here.home / "dags"
        dags.mkdir()
        shutil.copy(ROOT / "dags" / f"{DAG_ID}.py", dags)
        for peer in PEERS:
            shutil.copy(Path(__file__).with_name(f"{peer}.py"), dags)
        with Cluster(
            here.home / "cluster",
            Vendors(here.sandbox.kustomer_url, here.sandbox.stella_url),
            dags=dags,
            extra={
                "KUSTOMER_STELLA_SCHEDULE": "0 0 1 1 *",  # its run finds nothing
                "AIRFLOW_CONN_PEER": f'{{"conn_type": "http", "host": "{here.sandbox.stella_url}"}}',
            },
        ) as cluster:
            cluster.api.set_variable(SETTINGS_VARIABLE, {})
            for dag in (DAG_ID, *PEERS):
                cluster.api.wait_for_dag(dag, 120)
                cluster.api.set_paused(dag, paused=False)
            time.sleep(cpu.SETTLING_SECONDS)
            idle = cpu.idle(cluster)
            ours = cpu.run(cluster, here, DAG_ID, cpu.our_conf(here))
            peers = {dag: cpu.run(cluster, here, dag, cpu.conf_of_the_baseline(here, items)) for dag in PEERS}
        script = _script(here, items)
    times = peers[cpu.BASELINE_DAG].of_a_thousand / ours.of_a_thousand
    yield Figure(
        "peers",
        "CPU-seconds per 1,000 interactions, all parts of the cluster",
        f"{ours.of_a_thousand:.1f} s = 1/{times:.1f}",
        f"≤ 1/{TIMES_CHEAPER} of a mapped sensor and a task for each",
        times >= TIMES_CHEAPER,
        "; ".join(f"{cost.of_a_thousand:,.0f} s ({PEERS[dag]})" for dag, cost in peers.items())
        + f"; {script['cpu_seconds'] * 1000 / script['posted']:.1f} s (a script by the clock, one look-up each of "
        "conversation, customer, user and employee: no wait, no second look, no ledger)",
        f"Ours: {ours}. "
        + " ".join(f"{dag}: {cost}." for dag, cost in peers.items())
        + f" Script: {script['posted']} in {script['seconds']:.0f} s. The peers have fewer, which favours them. "
        f"Idle running ({idle:.2f} CPU-s/s) is in all but the script.",
    )


def _script(here: Installation, items: int) -> dict[str, float]:
    ids = here.sandbox.ask("expected")["sent"][:items]
    found: dict[str, float] = child.run(
        "scripts.benchmark.scale_peers:by_the_clock",
        here.env(),
        kustomer_url=here.sandbox.kustomer_url,
        stella_url=here.sandbox.stella_url,
        ids=ids,
    )
    return found


def by_the_clock(kustomer_url: str, stella_url: str, ids: list[str]) -> dict[str, float]:
    """What a script of cron would do; runs in a process of its own. CPU without the imports."""
    sandbox = RunningSandbox(kustomer_url, stella_url)
    cpu_before, began = time.process_time(), time.perf_counter()
    posted = sum(plain.look_up_and_post(sandbox, conversation_id) for conversation_id in ids)
    return {
        "posted": posted,
        "cpu_seconds": time.process_time() - cpu_before,
        "seconds": time.perf_counter() - began,
    }
