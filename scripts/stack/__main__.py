"""`python -m scripts.stack`: a plain Airflow until Ctrl-C, with the `AIRFLOW_CONN_*` and `AIRFLOW_VAR_*`."""

import argparse
import os
import signal
import sys
from functools import partial
from pathlib import Path

from scripts.stack.processes import run_until_interrupted
from scripts.stack.stack import ROOT, Stack


def run(home: Path, port: int, dags: Path) -> None:
    """Run a stack until a signal comes."""
    outside = {
        name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))
    }
    with Stack(home.resolve(), {}, api_port=port, dags=dags.resolve(), extra=outside) as stack:
        print(
            f"Airflow runs at {stack.url} (admin/admin), logs in {stack.logs}. Press Ctrl-C to stop it.", flush=True
        )
        signal.pause()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m scripts.stack", description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".run" / "stack", help="keeps everything")
    parser.add_argument("--port", type=int, default=8080, help="of the API server; 0 takes any free one")
    parser.add_argument("--dags", type=Path, default=ROOT / "dags")
    sys.exit(run_until_interrupted(partial(run, **vars(parser.parse_args()))))
