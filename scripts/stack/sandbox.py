"""The simulators of both vendors in a separate process."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from scripts.stack import processes
from scripts.stack.ports import HOST, free_port, loopback_session
from scripts.stack.stack import ROOT
from scripts.stack.waiting import wait_until

GENERATING_SECONDS = 120
"""An organisation of 100,000 conversations takes a while to invent."""


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """The simulators' addresses."""

    kustomer_url: str
    stella_url: str

    def ask(self, path: str) -> Any:
        """Return the answer of one of the sandbox's own endpoints, such as `requests` or `received`."""
        with loopback_session() as http:
            answer = http.get(f"{self.stella_url}/_sandbox/{path}", timeout=60)
            answer.raise_for_status()
            return answer.json()

    def counts(self) -> dict[str, int]:
        """Return how many requests Stella Connect has accepted, refused and got twice."""
        counts: dict[str, int] = self.ask("received?limit=0")["counts"]
        return counts

    def difference(self) -> dict[str, int]:
        """Return how many requests are missing, unexpected, wrong in content, received twice."""
        return {what: len(ids) for what, ids in self.ask("expected")["difference"].items()}


@contextmanager
def running_sandbox(
    log: Path, *, kustomer_port: int = 0, stella_port: int = 0, **options: object
) -> Iterator[RunningSandbox]:
    """Run both simulators while the block lasts; `options` are those of `python -m include.sandbox`.

    Raises:
        RuntimeError: they ended unexpectedly; with the end of their log.
    """
    kustomer_port, stella_port = kustomer_port or free_port(), stella_port or free_port()
    options |= {"kustomer_port": kustomer_port, "stella_port": stella_port}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "include.sandbox", *words]
    child = processes.start(command, {**os.environ, "PYTHONPATH": str(ROOT)}, ROOT, log)
    sandbox = RunningSandbox(f"http://{HOST}:{kustomer_port}", f"http://{HOST}:{stella_port}")

    def answers() -> bool:
        if child.poll() is not None:
            raise RuntimeError(f"The sandbox ended unexpectedly:\n{log.read_text()[-3000:]}")
        try:
            return bool(sandbox.ask("health"))
        except requests.RequestException:
            return False

    try:
        wait_until(answers, f"the sandbox (its log: {log})", GENERATING_SECONDS)
        yield sandbox
    finally:
        processes.end([child])
