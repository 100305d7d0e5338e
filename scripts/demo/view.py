"""The demo's output while it runs and at its end."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from rich.console import Console
from rich.table import Table

from include.interactions.states import State
from include.ledger import Ledger
from scripts.demo.result import Result

_ON_THE_WAY = (State.PLANNED, State.CLAIMED, State.SENDING)


@dataclass(frozen=True)
class Progress:
    """Where the run stands, from the ledger and Airflow."""

    run_state: str
    states: Counter[str]
    skipped: Counter[str]
    """By reason; cancelled ones too."""
    next_due: datetime | None

    @classmethod
    def read(cls, ledger: Ledger, run_state: str) -> Self:
        """Ask the ledger."""
        states, skipped = Counter[str](), Counter[str]()
        for (state, reason), number in ledger.counts().items():
            states[state] += number
            if reason:
                skipped[reason] += number
        return cls(run_state, states, skipped, ledger.backlog().oldest_due)

    def __str__(self) -> str:
        sent = self.states[State.SENT]
        to_send = sent + sum(self.states[state] for state in (*_ON_THE_WAY, State.REJECTED, State.UNKNOWN))
        skipped = ", ".join(f"{reason} {number}" for reason, number in sorted(self.skipped.items()))
        parts = [
            f"run {self.run_state}",
            f"found {self.states.total()}",
            f"planned {self.states[State.PLANNED]}",
            f"skipped {self.skipped.total()}" + (f" ({skipped})" if skipped else ""),
            f"sent {sent}/{to_send}",
        ]
        if self.next_due:
            clock = f"{self.next_due.astimezone():%H:%M:%S}"
            waits = self.next_due > datetime.now(UTC)
            parts.append(f"waiting until {clock}" if waits else f"due since {clock}, sent with its window")
        return " · ".join(parts)


class View:
    """Plain lines, one for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def show(self, progress: Progress) -> None:
        """Print a line unless nothing has changed."""
        if (line := str(progress)) != self._last:
            self._console.print(f"{datetime.now().astimezone():%H:%M:%S}  {line}", markup=False)
            self._last = line


def results_table(result: Result) -> Table:
    """Return the final table: what happened, and what should have happened."""
    table = Table("", "happened", "expected", title="Result", title_justify="left")
    table.add_row("run", result.run_state, "success")
    table.add_row("sent", str(len(result.received)), str(result.expected))
    for reason in sorted(result.skipped.keys() | result.expected_skips.keys()):
        table.add_row(f"skipped: {reason}", str(result.skipped[reason]), str(result.expected_skips[reason]))
    table.add_row("received twice", str(len(result.difference["duplicates"])), "0")
    table.add_row("early", str(result.early), "0")
    if late := result.lateness_seconds():
        middle, tail = late[len(late) // 2], late[len(late) * 99 // 100]
        figures = f"min {late[0]:.1f}  median {middle:.1f}  p99 {tail:.1f}  max {late[-1]:.1f}"
        table.add_row("lateness (s)", figures, "")
    answers = result.answers
    stars = f", average {answers.rating:.2f} stars" if answers.rating is not None else ""
    table.add_row("answers", f"{answers.answered}{stars}, {answers.disputed} disputed", "some")
    table.add_row("reopened, then recovered", f"{result.reopened}, {result.recoveries}", "as many")
    for fault in result.faults():
        table.add_row("[red]fault[/red]", f"[red]{fault}[/red]", "")
    return table
