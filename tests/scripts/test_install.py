"""Which interpreter `make PYTHON=…` takes, and when it replaces `.venv`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def ask(python: str) -> subprocess.CompletedProcess[str]:
    """Whether `.venv` has this Python."""
    environment = os.environ | {"PYTHON": python, "PYTHONS": python}
    return subprocess.run(
        [ROOT / "scripts" / "install", "--agrees"], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def another_python(tmp_path: Path) -> str:
    """An interpreter that says it is of another version."""
    file = tmp_path / "python3"
    file.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.99 ;; esac\n')
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize("name", [sys.executable, f"{sys.version_info.major}.{sys.version_info.minor}"])
def test_the_python_of_these_tests_is_that_of_the_environment(name: str) -> None:
    assert ask(name).returncode == 0, ask(name).stderr


def test_another_version_replaces_the_environment(another_python: str) -> None:
    assert ask(another_python).returncode == 1


@pytest.mark.parametrize("python", ["3.5", "python3.99", "/nowhere/python3"])
def test_a_missing_python_is_named(python: str) -> None:
    asked = ask(python)

    assert asked.returncode == 1
    assert f"tried: {python}" in asked.stderr
