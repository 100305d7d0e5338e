"""`python -m scripts.stack`: a plain Airflow until Ctrl-C, with the `AIRFLOW_CONN_*` and `AIRFLOW_VAR_*`."""

import argparse
import os
import signal
import sys
from pathlib import Path

from scripts.stack import processes
from scripts.stack.ports import PortTakenError
from scripts.stack.stack import ROOT, Stack


def main() -> int:
    """Run a stack until Ctrl-C or SIGTERM."""
    arguments = argparse.ArgumentParser(prog="python -m scripts.stack", description=__doc__)
    arguments.add_argument("--home", type=Path, default=ROOT / ".run" / "stack", help="keeps everything")
    arguments.add_argument("--port", type=int, default=8080, help="of the API server; 0 takes any free one")
    arguments.add_argument("--dags", type=Path, default=ROOT / "dags")
    chosen = arguments.parse_args()
    outside = {
        name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))
    }
    try:
        with (
            processes.interruptible(),
            Stack(
                chosen.home.resolve(), {}, api_port=chosen.port, dags=chosen.dags.resolve(), extra=outside
            ) as stack,
        ):
            print(
                f"Airflow runs at {stack.url} (admin/admin), logs in {stack.logs}. Press Ctrl-C to stop it.",
                flush=True,
            )
            signal.pause()
    except processes.Interrupted:
        return 0
    except (PortTakenError, RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
