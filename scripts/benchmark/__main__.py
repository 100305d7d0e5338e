"""`make benchmark`: measure, print, and keep the figures in docs/performance.json and in the page's table."""

import argparse
import sys

from rich.console import Console

from scripts.benchmark import (
    answers,
    backfill,
    extraction,
    ledger,
    parsing,
    peers,
    release,
    requests_per_interaction,
    simulation,
    stream,
    views,
)
from scripts.benchmark.figure import KEPT_IN, keep, show
from scripts.stack import processes
from scripts.stack.stack import ROOT

# The row that takes longest comes last.
ROWS = {
    "parsing": parsing.measure,
    "requests": requests_per_interaction.measure,
    "release": release.measure,
    "answers": answers.measure,
    "simulation": simulation.measure,
    "latency": release.measure_latency,
    "minute": release.measure_minute,
    "slow": release.measure_slow,
    "views": views.measure,
    "span": extraction.measure_span,
    "extraction": extraction.measure,
}
LONG_ROWS = {
    "small": stream.measure_small,
    "peers": peers.measure,
    "backfill": backfill.measure,
    "ledger": ledger.measure,
    "many": answers.measure_many,
    "hour": stream.measure_hour,
}
"""Seven to 75 minutes each: measured only when named."""


def main() -> int:
    """Measure the chosen rows; status 0 when every bar is met."""
    parser = argparse.ArgumentParser(prog="make benchmark", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", help=f"of {', '.join(ROWS)}; none: all; or, when named, {', '.join(LONG_ROWS)}"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: tries the rows out, keeps nothing")
    chosen = parser.parse_args()
    rows = ROWS | LONG_ROWS
    if unknown := [row for row in chosen.rows if row not in rows]:
        parser.error(f"no such row: {', '.join(unknown)}; the rows are {', '.join(rows)}")
    console = Console(highlight=False, soft_wrap=True)
    met = True
    try:
        with processes.interruptible():
            for row in chosen.rows or ROWS:
                console.print(f"Measuring {row} ...")
                figures = list(rows[row](quick=chosen.quick))
                show(console, figures)
                met = met and all(figure.met for figure in figures)
                if not chosen.quick:
                    keep(figures)
    except processes.Interrupted:
        return 130
    if not chosen.quick:
        console.print(f"Kept in {KEPT_IN.relative_to(ROOT)}.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
