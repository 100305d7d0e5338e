"""Which folder may import which, that no import runs in a circle, and how long files and functions may be."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each folder with those it may import; itself and the folders inside it are always allowed.
ARROWS = {
    "dags": {"plugins/pipeline", "plugins/runtime"},
    "plugins": set(),
    "plugins/interactions_view": {
        "plugins/runtime",
        "plugins/vendor_api",
        "plugins/kustomer",
        "include/ledger",
        "include/interactions",
    },
    "plugins/pipeline": {
        "plugins/kustomer",
        "plugins/stella_connect",
        "plugins/vendor_api",
        "plugins/runtime",
        "include/ledger",
        "include/interactions",
    },
    "plugins/runtime": {"plugins/vendor_api", "include/ledger", "include/interactions"},
    # The vendors' hooks know nothing of each other.
    "plugins/kustomer": {"plugins/vendor_api", "include/interactions"},
    "plugins/stella_connect": {"plugins/vendor_api", "include/interactions"},
    "plugins/vendor_api": {"include/interactions"},
    "include/ledger": {"include/interactions"},
    "include/interactions": set(),
    # The sandbox judges by its own reading of the vendors' documents.
    "include/sandbox": set(),
    "scripts": {
        "scripts",
        "include/sandbox",
        "include/ledger",
        "include/interactions",
        "plugins/pipeline",
        "plugins/runtime",
        "plugins/kustomer",
        "tests/support",
    },
}
# Single modules that a folder may import besides.
MODULES = {
    # The page offers the actions and shows the last simulation.
    "plugins/interactions_view": {"plugins.pipeline.actions", "plugins.pipeline.simulating"},
    "include/ledger": {"plugins.runtime.ledger_naming"},  # only its entry point joins them, see below
}


def modules() -> Iterator[tuple[str, Path]]:
    for folder in ("dags", "plugins", "include", "scripts"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.parent.name != "versions":  # of migrations, which stay as they are
                yield ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), file


FILES = dict(modules())


def imported(module: str) -> set[str]:
    """The modules of this repository that a module imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in FILES else node.module for name in inside}
    return found & set(FILES)


@cache
def all_imports() -> dict[str, set[str]]:
    """What each module imports; not read where tests are only collected."""
    return {module: imported(module) for module in FILES}


def folder_of(module: str) -> str:
    """The folder of `ARROWS` in which a module is."""
    path = FILES[module].relative_to(ROOT).as_posix()
    return max((folder for folder in ARROWS if path.startswith(f"{folder}/")), key=len)


@pytest.mark.parametrize("folder", ARROWS)
def test_a_folder_imports_only_what_the_architecture_allows(folder: str) -> None:
    wrong = {
        (module, other)
        for module, others in all_imports().items()
        for other in others - MODULES.get(folder, set())
        if folder_of(module) == folder and folder_of(other) not in ARROWS[folder] | {folder}
    }
    assert wrong == set()


def test_the_ledgers_command_line_alone_reaches_into_airflow() -> None:
    reaching = {
        one for one, others in all_imports().items() if one.startswith("include") for o in others if "plugins" in o
    }
    assert reaching == {"include.ledger.__main__"}
    assert not any("include.ledger.__main__" in others for others in all_imports().values())


def test_every_folder_has_its_arrows() -> None:
    assert {folder_of(module) for module in FILES if module not in ("include", "plugins")} == set(ARROWS)


def test_no_import_runs_in_a_circle() -> None:
    """Take away, again and again, whatever imports nothing that is left: only circles remain."""
    left = {module: others - {module} for module, others in all_imports().items()}
    while leaves := {module for module, others in left.items() if not others}:
        left = {module: others - leaves for module, others in left.items() if module not in leaves}
    assert left == {}


def test_the_two_vendors_hooks_and_the_sandbox_are_joined_only_where_they_may_be() -> None:
    def importers(folder: str) -> set[str]:
        return {
            folder_of(one) for one, others in all_imports().items() if any(folder_of(o) == folder for o in others)
        }

    assert importers("include/sandbox") == {"include/sandbox", "scripts"}
    both = importers("plugins/kustomer") & importers("plugins/stella_connect")
    assert both == {"plugins/pipeline"}


MAX_FILE_LINES = 400
MAX_BODY_LINES = 40
LONG_FUNCTIONS = {
    "scripts/benchmark/filled.py::_statements": "one generated SQL statement",
}
"""Functions that may be longer, with the reason. Migrations may be too: they list every column of a table."""


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function below its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_file_is_too_long_to_read() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in FILES.values()}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_too_long_to_read() -> None:
    long = {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}": body_lines(node)
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_BODY_LINES
    }
    assert set(long) == set(LONG_FUNCTIONS), long
