"""Run one function in a new process with Airflow's environment, so that nothing else is measured.

`python -m scripts.benchmark.child MODULE FUNCTION` reads keyword arguments as JSON from its input; the last line
of its output is the function's result as JSON.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from scripts.stack.stack import ROOT

MAX_SECONDS = 900


def run(function: str, env: Mapping[str, str], **arguments: object) -> Any:
    """Run `module:function` and return its result.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    module, name = function.split(":")
    done = subprocess.run(
        [sys.executable, "-m", __name__, module, name],
        input=json.dumps(arguments),
        env=dict(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    chosen = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    result = chosen(**json.load(sys.stdin))
    print(f"\n{json.dumps(result)}")
