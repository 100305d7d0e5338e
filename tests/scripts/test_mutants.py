"""Each breach of `make mutants` fits the code: what it changes is there once, and its test exists."""

import ast
from pathlib import Path

import pytest

from scripts.mutants.breach import Breach
from scripts.mutants.breaches import BREACHES
from scripts.stack.stack import ROOT


def names_in(file: Path) -> set[str]:
    """Names of the classes and functions of a test file, a method with its class."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: breach.name)
def test_a_breach_fits_the_code_and_its_test_exists(breach: Breach) -> None:
    for file, text, instead in breach.changes:
        assert (ROOT / file).read_text().count(text) == 1, f"{file} has changed: {text!r}"
        assert instead != text
    path, _, name = breach.test.partition("::")
    assert not name or name.partition("[")[0] in names_in(ROOT / path)


def test_no_two_breaches_are_the_same() -> None:
    assert len({breach.name for breach in BREACHES}) == len(BREACHES)
    assert len({(breach.changes, breach.test) for breach in BREACHES}) == len(BREACHES)
