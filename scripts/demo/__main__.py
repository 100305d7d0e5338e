"""`make demo`: Airflow with simulators of both vendors, one run to watch, and what follows some customers' answers.

It runs until Ctrl-C. With DEMO_EXIT=1 it stops after that, with status 0 only if the simulator of Stella Connect
received exactly what it should have, and answers were read.
Other ports: DEMO_PORT (8080), DEMO_KUSTOMER_PORT (8101), DEMO_STELLA_PORT (8102).

With real credentials in `.env` no simulator is started and nothing is sent before a person unpauses the DAG.
"""

import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import requests
from rich.console import Console
from sqlalchemy import Engine

from include.ledger import Ledger, connect
from include.sandbox.model import DO_NOT_SEND
from include.sandbox.options import STELLA_KEY, STELLA_SECRET, WRITING_KUSTOMER_KEY
from scripts.demo.credentials import LIVE, RUNS, CredentialsError, real_connections
from scripts.demo.recovery import UNHAPPY, close_again, list_reopened
from scripts.demo.result import Result
from scripts.demo.view import Progress, View, results_table
from scripts.stack import processes
from scripts.stack.api import FINAL_STATES
from scripts.stack.connections import DAG_ID, Connections, connections, set_up
from scripts.stack.ports import PortTakenError, require_free
from scripts.stack.sandbox import running_sandbox
from scripts.stack.stack import ROOT, SELDOM_PARSED, SETTINGS_VARIABLE, Stack
from scripts.stack.waiting import wait_until

CONVERSATIONS = 200
CLOSINGS_SPREAD = timedelta(seconds=75)
"""The conversations were closed within this span before the demo, so they fall due within the same span."""
FIRST_DUE = timedelta(seconds=40)
"""After the trigger: time for extraction and planning on a small machine, with reserve."""
WINDOW_SECONDS = 15
MAX_RUN = timedelta(seconds=240)
SECONDS_TO_ANSWER = 2
"""Some customers answer so soon after their survey; some answers change as soon after that."""
FEEDBACK_DAG_ID = "stella_connect_feedback"


def chosen_port(variable: str, default: int, purpose: str) -> int:
    """Return the port from the environment, else `default`, after a check that it is free."""
    port = int(os.environ.get(variable) or default)
    require_free(port, purpose, f"{variable}={port + 1000} make demo")
    return port


@dataclass(frozen=True)
class Ports:
    """Where the demo listens."""

    airflow: int
    kustomer: int
    stella: int

    @classmethod
    def choose(cls) -> Self:
        """Read the environment. Raises PortTakenError."""
        return cls(
            chosen_port("DEMO_PORT", 8080, "Airflow's UI"),
            chosen_port("DEMO_KUSTOMER_PORT", 8101, "the simulator of Kustomer"),
            chosen_port("DEMO_STELLA_PORT", 8102, "the simulator of Stella Connect"),
        )


def follow(stack: Stack, ledger: Ledger, run_id: str, view: View) -> str:
    """Show the run's progress and return its final state; "unfinished" if it takes too long."""
    deadline = time.monotonic() + MAX_RUN.total_seconds()
    while time.monotonic() < deadline:
        state = stack.api.run_state(DAG_ID, run_id)
        view.show(Progress.read(ledger, state))
        if state in FINAL_STATES:
            return state
        time.sleep(0.5)
    return "unfinished"


def start_run(stack: Stack, links: Connections, closed_from: datetime, closed_to: datetime) -> str:
    """Set up the stack and trigger one run for the closings of the simulators; return its id."""
    # The delay lets the first conversation fall due a little after the trigger. Unpausing also starts the scheduled
    # run for the last full hour. It reads the same setting; whichever run claims an interaction first sends it.
    delay = datetime.now(UTC) + FIRST_DUE - closed_from
    settings: dict[str, Any] = {
        "seconds_until_send": int(delay.total_seconds()),
        "release_window_seconds": WINDOW_SECONDS,
        "do_not_send_attribute": DO_NOT_SEND,
        "recovery": [UNHAPPY],
    }
    set_up(stack, links, settings)
    stack.api.wait_for_dag(DAG_ID)
    conf = {"start": closed_from.isoformat(), "end": closed_to.isoformat(), **settings}
    run_id = stack.api.trigger_run(DAG_ID, conf)
    stack.api.set_paused(DAG_ID, paused=False)
    return run_id


def read_answers(stack: Stack) -> str:
    """Let the feedback DAG read Data Return once, and return the run's final state."""
    stack.api.wait_for_dag(FEEDBACK_DAG_ID)
    stack.api.set_paused(FEEDBACK_DAG_ID, paused=False)  # starts the scheduled run for the last 15 minutes
    first = wait_until(lambda: stack.api.runs(FEEDBACK_DAG_ID), "the feedback run", 60, every=0.5)
    return stack.api.wait_for_run(FEEDBACK_DAG_ID, first[0]["dag_run_id"])


def follow_answers(console: Console, stack: Stack, engine: Engine, sandbox_url: str, run_state: str) -> Result:
    """Let the answers be read, and the conversations that were reopened for bad ones be closed again."""
    console.print("Reading the customers' answers ...")
    feedback_state = read_answers(stack)
    reopened = list_reopened(engine)
    console.print(f"Closing {len(reopened)} conversations again that were reopened after a bad answer ...")
    recovery_state = close_again(stack, sandbox_url, reopened)
    return Result.read(engine, sandbox_url, run_state, feedback_state, recovery_state, len(reopened))


def show_result(console: Console, result: Result, airflow_url: str, stella_url: str) -> None:
    """Print what happened, and where to look."""
    console.print(results_table(result))
    console.print(f"Grid               [link]{airflow_url}/dags/{DAG_ID}[/link]")
    console.print(f"Responses          [link]{airflow_url}/plugin/interactions/interactions/responses[/link]")
    console.print(f"Received surveys   [link]{stella_url}/[/link]")


def demo(console: Console, *, exit_at_end: bool) -> int:
    """Run the demo with simulators; return the exit status."""
    ports = Ports.choose()
    home = RUNS / f"demo-{ports.airflow}"  # one for each port, so that two demos can run side by side
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    closed_to = datetime.now(UTC).replace(microsecond=0)
    closed_from = closed_to - CLOSINGS_SPREAD
    console.print(f"Starting simulators with {CONVERSATIONS} closed conversations ...")
    with running_sandbox(
        home / "sandbox.log",
        kustomer_port=ports.kustomer,
        stella_port=ports.stella,
        conversations=CONVERSATIONS,
        closed_from=closed_from.isoformat(),
        closed_to=closed_to.isoformat(),
        answer_after_seconds=SECONDS_TO_ANSWER,
        change_after_seconds=SECONDS_TO_ANSWER,
    ) as sandbox:
        links = connections(
            kustomer=(sandbox.kustomer_url, WRITING_KUSTOMER_KEY, sandbox.kustomer_url),
            stella=(sandbox.stella_url, STELLA_KEY, STELLA_SECRET),
            ledger=home / "ledger.db",
        )
        engine = connect(f"sqlite:///{home / 'ledger.db'}")
        ledger = Ledger(engine)
        ledger.migrate()
        console.print("Starting Airflow (about half a minute) ...")
        with Stack(home / "airflow", {}, api_port=ports.airflow, extra=SELDOM_PARSED) as stack:
            console.print(f"Airflow is up: [link]{stack.url}[/link]  (login admin, password admin)")
            run_id = start_run(stack, links, closed_from, closed_to)
            run_url = f"{stack.url}/dags/{DAG_ID}/runs/{run_id}"
            console.print(f"Started one run: [link]{run_url}[/link]")
            run_state = follow(stack, ledger, run_id, View(console))
            result = follow_answers(console, stack, engine, sandbox.stella_url, run_state)
            show_result(console, result, stack.url, sandbox.stella_url)
            if exit_at_end:
                return 1 if result.faults() else 0
            console.print("Press Ctrl-C to stop everything.")
            signal.pause()
    return 0


def live(console: Console, links: Connections) -> int:
    """Run Airflow for the real vendors, with its DAG paused."""
    port = chosen_port("DEMO_PORT", 8080, "Airflow's UI")
    # Kept between starts, unlike the demo's files: without its ledger the pipeline would not know what it has sent.
    with Stack(LIVE / "airflow", links, api_port=port) as stack:
        stack.api.wait_for_dag(DAG_ID)
        stack.api.set_paused(DAG_ID, paused=True)
        console.print(
            f"\n.env holds real credentials, so the DAG {DAG_ID} is paused and nothing is sent yet.\n\n"
            f"1. Log in at [link]{stack.url}[/link] (admin/admin).\n"
            f"2. Turn off the official Kustomer app for Stella Connect, or customers get two surveys.\n"
            f"3. To change settings: Admin > Variables, create {SETTINGS_VARIABLE} (README).\n"
            f"4. Unpause the DAG. From then on each hour's closed conversations get their survey.\n\n"
            f"The ledger of what has been sent is in {LIVE.relative_to(ROOT)}: keep it.\n"
            f"Press Ctrl-C to stop Airflow."
        )
        signal.pause()
    return 0


def main() -> int:
    """Run the demo; return its exit status."""
    console = Console(highlight=False, soft_wrap=True)
    exit_at_end = os.environ.get("DEMO_EXIT") == "1"
    try:
        with processes.interruptible():
            links = real_connections(ROOT / ".env")
            return demo(console, exit_at_end=exit_at_end) if links is None else live(console, links)
    except processes.Interrupted:
        console.print("\nStopped. Nothing is running any more.")
        return 130 if exit_at_end else 0
    except (CredentialsError, PortTakenError, RuntimeError, TimeoutError, requests.RequestException) as error:
        console.print(str(error), style="red", markup=False)
        return 1


if __name__ == "__main__":
    sys.exit(main())
