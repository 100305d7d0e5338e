"""What parsing the DAG files adds to importing Airflow: the DAG processor does it all the time."""

import gc
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.benchmark import child
from scripts.benchmark.figure import Figure
from scripts.stack.stack import ROOT, environment

BAR_SECONDS = 0.5
TRIVIAL = """
from airflow.sdk import dag, task

@dag(schedule=None)
def trivial():
    @task
    def nothing():
        pass
    nothing()

trivial()
"""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Median of several fresh processes, each of which imports Airflow first and is timed from there."""
    times = 3 if quick else 7
    with TemporaryDirectory(prefix="benchmark-") as directory:
        home = Path(directory)
        (home / "trivial").mkdir()
        (home / "trivial" / "trivial.py").write_text(TRIVIAL)
        env = environment(home, 0, {})
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # the DAG processor finds the bytecode of its last time
        _parsed(env, ROOT / "dags")
        ours = [_parsed(env, ROOT / "dags") for _ in range(times)]
        trivial = [_parsed(env, home / "trivial") for _ in range(times)]
    seconds = statistics.median(ours)
    yield Figure(
        "parsing",
        "parsing all DAG files above importing Airflow",
        f"{seconds:.2f} s",
        f"≤ {BAR_SECONDS} s",
        seconds <= BAR_SECONDS,
        f"{statistics.median(trivial):.3f} s (one trivial DAG file)",
        f"Median of {times} fresh processes, {min(ours):.2f} to {max(ours):.2f} s; all that our files import on "
        f"top of airflow.sdk and DagBag counts as ours.",
    )


def _parsed(env: dict[str, str], dags: Path) -> float:
    seconds: float = child.run("scripts.benchmark.parsing:parse", env, dags=str(dags))
    return seconds


def parse(dags: str) -> float:
    """Seconds to parse a folder; runs in a child process."""
    import airflow.sdk  # noqa: F401  what is measured begins after this
    from airflow.dag_processing.dagbag import DagBag

    gc.collect()  # of what Airflow's imports left
    began = time.perf_counter()
    bag = DagBag(dags)
    seconds = time.perf_counter() - began
    if bag.import_errors or not bag.dags:
        raise RuntimeError(f"no DAG, or a broken one: {bag.import_errors}")
    return seconds
