"""A measured figure and its bar, kept in docs/performance.json; the page shows a table made from it."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console

from scripts.stack.stack import ROOT

KEPT_IN = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"
_FIRST, _LAST = "<!-- table: made from performance.json -->", "<!-- end of table -->"
_HEADINGS = ("Row", "What", "Measured", "Bar", "Met", "Baseline in the same run")


def _machine() -> str:
    """Describe this kind of machine; nothing in it names the machine."""
    memory = psutil.virtual_memory().total / 2**30
    cores = f"{psutil.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB"
    return f"{cores}, {platform.system()}, Python {platform.python_version()}"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `load` is the machine's one-minute load average at the end, ours included.

    `what`, `measured`, `bar` and `baseline` are cells of the table, of at most 120 characters; `notes` are not.
    """

    row: str
    what: str
    measured: str
    bar: str
    met: bool
    baseline: str
    notes: str
    when: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))
    machine: str = field(default_factory=_machine)
    commit: str = field(default_factory=_commit)

    def line(self) -> str:
        """Return the figure's line of the table."""
        met = "yes" if self.met else "**no**"
        return f"| {' | '.join((self.row, self.what, self.measured, self.bar, met, self.baseline))} |"


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print the figures, the bar and the baseline beside each."""
    for figure in figures:
        colour = "green" if figure.met else "red"
        console.print(f"[bold]{figure.what}[/bold]: [{colour}]{figure.measured}[/{colour}] (bar {figure.bar})")
        console.print(f"  baseline: {figure.baseline}\n  {figure.notes}\n  load {figure.load}", markup=False)


def kept(file: Path = KEPT_IN) -> list[Figure]:
    """Return the figures that were kept."""
    return [Figure(**figure) for figure in json.loads(file.read_text())]


def keep(figures: Iterable[Figure], file: Path = KEPT_IN, page: Path = PAGE) -> None:
    """Put these figures in place of the same rows' older ones, and write the page's table again."""
    new = list(figures)
    rows = {figure.row for figure in new}
    every = sorted(
        [*(old for old in kept(file) if old.row not in rows), *new], key=lambda figure: (figure.row, figure.what)
    )
    text = json.dumps([asdict(figure) for figure in every], ensure_ascii=False, indent=1)
    file.write_text(f"{text}\n")
    head, rest = page.read_text().split(_FIRST)
    page.write_text(f"{head}{_FIRST}\n{table(every)}{_LAST}{rest.split(_LAST)[1]}")


def table(figures: Iterable[Figure]) -> str:
    """Return the page's table."""
    head = f"| {' | '.join(_HEADINGS)} |\n{'|---' * len(_HEADINGS)}|\n"
    return head + "".join(f"{figure.line()}\n" for figure in figures)


def shown_table(page: Path = PAGE) -> str:
    """Return the table as the page shows it now."""
    return page.read_text().split(_FIRST)[1].split(_LAST)[0].lstrip("\n")
