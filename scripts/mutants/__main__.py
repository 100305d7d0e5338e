"""`make mutants`: break the promise on purpose, one breach at a time, and check that a test fails.

A test that passes whatever the code does proves nothing. Each breach is an exact replacement of text in a copy of
the tree. A breach that no longer matches the code is an error, not a silent success.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.mutants.breach import Breach
from scripts.mutants.breaches import BREACHES

ROOT = Path(__file__).parents[2]
COPIED = ("dags", "include", "plugins", "scripts", "tests", "pyproject.toml")
# A breach can also make a test run forever.
OPTIONS = ("-x", "-q", "--no-header", "-p", "no:cacheprovider", "--timeout=120")
MAX_SECONDS = 600
"""For all tests of one breach, and for all without a breach."""


@dataclass(frozen=True)
class Verdict:
    """The test that found the breach; None if none did."""

    seen_by: str | None
    seconds: float


def main() -> int:
    """Try every breach; status 0 when the unbroken tree is green and every breach turned it red."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only breaches whose name contains one of these; default: all")
    words = parser.parse_args().words
    chosen = [breach for breach in BREACHES if not words or any(word in breach.name for word in words)]
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    table = Table("Breach", "Seen by", "Seconds", title="Breaches of the promise")
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copy = Path(directory)
        _copy_tree(copy)
        _check_that_the_copy_is_tested(copy)
        for options in {breach.options for breach in chosen}:
            unbroken = _try(copy, *{breach.test for breach in chosen if breach.options == options}, *options)
            if unbroken.seen_by is not None:
                console.print(f"The tree is red before any breach: {unbroken.seen_by}")
                return 1
            console.print(f"Without a breach: green in {unbroken.seconds:.0f} s ({' '.join(options)})")
        for breach in chosen:
            verdict = _break_and_try(copy, breach)
            survivors += verdict.seen_by is None
            console.print(f"{breach.name}: {verdict.seen_by or 'NO TEST'} ({verdict.seconds:.0f} s)")
            table.add_row(breach.name, verdict.seen_by or "[red]no test: it survives", f"{verdict.seconds:.0f}")
    console.print(table)
    console.print(f"{len(chosen)} breaches, {survivors} survive.")
    return 1 if survivors or not chosen else 0


def _copy_tree(copy: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".run"))
        else:
            shutil.copy(source, copy / name)


def _break_and_try(copy: Path, breach: Breach) -> Verdict:
    files = {file for file, _, _ in breach.changes}
    kept = {file: (copy / file).read_text() for file in files}
    try:
        for file, text, instead in breach.changes:
            _replace(copy / file, text, instead)
        return _try(copy, breach.test, *breach.options)
    finally:
        for file, text in kept.items():
            (copy / file).write_text(text)


def _replace(file: Path, text: str, instead: str) -> None:
    before = file.read_text()
    if before.count(text) != 1:
        held = f"it holds {before.count(text)} times {text!r}"
        raise SystemExit(f"{file.name} has changed, look at scripts/mutants/breaches.py: {held}")
    file.write_text(before.replace(text, instead))


def _try(copy: Path, *tests_and_options: str) -> Verdict:
    """Run these tests until one is red."""
    began = time.monotonic()
    run = _python(copy, "-m", "pytest", *OPTIONS, *tests_and_options)
    seconds = time.monotonic() - began
    if run is None:
        return Verdict("a test that never ended", seconds)
    if run.returncode == 0:
        return Verdict(None, seconds)
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    if run.returncode != 1 or not failed:  # 1: a test failed; anything else is a fault of this script
        raise SystemExit(f"pytest could not run:\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
    return Verdict(failed[0].split(" - ")[0].split(maxsplit=1)[1], seconds)


def _check_that_the_copy_is_tested(copy: Path) -> None:
    # The repository is installed as editable: without PYTHONPATH its own modules would be tested.
    run = _python(copy, "-c", "import include, plugins; print(include.__file__, plugins.__file__)")
    found = run.stdout.split() if run is not None else []
    if len(found) != 2 or not all(Path(file).is_relative_to(copy) for file in found):
        raise SystemExit(f"not the copy would be tested, but {found}")


def _python(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str] | None":
    # No bytecode: two breaches of the same length within a second would be taken for the same file.
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command: Sequence[str] = [sys.executable, *arguments]
    try:
        return subprocess.run(
            command, cwd=copy, env=env, capture_output=True, text=True, check=False, timeout=MAX_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.exit(main())
