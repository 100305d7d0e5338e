"""What the demo shows while it runs and at its end."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
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

    def lines(self) -> list[tuple[str, str]]:
        """Return (label, text) pairs: the one picture behind both views."""
        sent = self.states[State.SENT]
        to_send = sent + sum(self.states[state] for state in (*_ON_THE_WAY, State.REJECTED, State.UNKNOWN))
        skipped = ", ".join(f"{reason} {number}" for reason, number in sorted(self.skipped.items()))
        lines = [
            ("run", self.run_state),
            ("found", str(self.states.total())),
            ("planned", str(self.states[State.PLANNED])),
            ("skipped", f"{self.skipped.total()} ({skipped})" if skipped else "0"),
            ("sent", f"{sent}/{to_send}"),
        ]
        if self.next_due:
            waits = self.next_due > datetime.now(UTC)
            clock = f"{self.next_due.astimezone():%H:%M:%S}"
            lines.append(
                ("next", f"waiting until {clock}" if waits else f"due since {clock}, goes out with its window")
            )
        return lines


class View(Protocol):
    """Shows progress."""

    def show(self, progress: Progress) -> None:
        """Show the latest."""


class LogView:
    """Plain lines, one for each change: for logs and CI."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, progress: Progress) -> None:
        """Print a line unless nothing has changed."""
        line = " · ".join(f"{label} {text}" for label, text in progress.lines())
        if line != self._last:
            self._console.print(f"{datetime.now().astimezone():%H:%M:%S}  {line}", markup=False)
            self._last = line


class LiveView:
    """One block that is repainted, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Repaint."""
        block = Table.grid(padding=(0, 2))
        for label, text in progress.lines():
            block.add_row(f"[bold]{label}[/bold]", text)
        self._live.update(block, refresh=True)


def results_table(result: Result) -> Table:
    """Return the table at the end: what happened beside what should have."""
    table = Table("", "happened", "expected", title="Result", title_justify="left")
    table.add_row("run", result.run_state, "success")
    table.add_row("sent", str(len(result.received)), str(result.expected))
    for reason in sorted(result.skipped.keys() | result.expected_skips.keys()):
        table.add_row(f"skipped: {reason}", str(result.skipped[reason]), str(result.expected_skips[reason]))
    table.add_row("received twice", str(len(result.difference["duplicates"])), "0")
    table.add_row("early", str(result.early), "0")
    if lateness := result.lateness_seconds():
        middle, tail = lateness[len(lateness) // 2], lateness[min(len(lateness) - 1, len(lateness) * 99 // 100)]
        table.add_row(
            "lateness (s)",
            f"min {lateness[0]:.1f}  median {middle:.1f}  p99 {tail:.1f}  max {lateness[-1]:.1f}",
            "",
        )
    for fault in result.faults():
        table.add_row("[red]fault[/red]", f"[red]{fault}[/red]", "")
    return table
