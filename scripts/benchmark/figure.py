"""A measured figure, its bar, and the table they are kept in."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console

from scripts.stack.stack import ROOT

KEPT_IN = ROOT / "docs" / "performance.md"
_FIRST, _LAST = "<!-- rows: written by `make benchmark` -->", "<!-- end of rows -->"
_HEADINGS = ("Row", "What", "Measured", "Bar", "Met", "Baseline in the same run", "Sizes and notes", "When, load")


def _now_and_load() -> str:
    one_minute = os.getloadavg()[0]
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M}, load {one_minute:.1f}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `load` is the machine's one-minute load average at the end, ours included."""

    row: str
    what: str
    measured: str
    bar: str
    met: bool
    baseline: str
    notes: str
    when: str = field(default_factory=_now_and_load)

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells, in the order of the headings."""
        met = "yes" if self.met else "**no**"
        return (self.row, self.what, self.measured, self.bar, met, self.baseline, self.notes, self.when)


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print the figures, the bar and the baseline beside each."""
    for figure in figures:
        colour = "green" if figure.met else "red"
        console.print(f"[bold]{figure.what}[/bold]: [{colour}]{figure.measured}[/{colour}] (bar {figure.bar})")
        console.print(f"  baseline: {figure.baseline}\n  {figure.notes}\n  {figure.when}", markup=False)


def keep(figures: Sequence[Figure], file: Path = KEPT_IN) -> None:
    """Replace these rows' lines in the kept table, and the description of the machine; other rows stay."""
    text = file.read_text()
    head, rest = text.split(_FIRST)
    old, tail = rest.split(_LAST)
    measured = {figure.row for figure in figures}
    headings = f"| {' | '.join(_HEADINGS)} |"
    rows = [line for line in old.splitlines() if line.startswith("| ") and line != headings]
    lines = [line for line in rows if line.split("|")[1].strip() not in measured]
    lines += [f"| {' | '.join(figure.cells())} |" for figure in figures]
    table = [headings, "|---" * len(_HEADINGS) + "|", *sorted(lines)]
    file.write_text("\n".join([f"{head}{_FIRST}", f"{machine()}", "", *table, f"{_LAST}{tail}"]))


def machine() -> str:
    """Return what kind of machine this is; nothing that names it."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Machine of the latest rows: {psutil.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}; vendors' stand-ins on the same cores."
    )
