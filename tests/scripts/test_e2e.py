"""tests/containers/e2e where no engine can be started, and when it is stopped."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.stack.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The scripts, in a folder of their own."""
    (tmp_path / "tests" / "containers").mkdir(parents=True)
    for name in ("e2e", "engine"):
        shutil.copy(ROOT / "tests" / "containers" / name, tmp_path / "tests" / "containers" / name)
    return tmp_path


def start(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start the script where DOCKER_HOST names no engine."""
    inherited: Mapping[str, str] = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    return subprocess.Popen(
        [folder / "tests" / "containers" / "e2e"],
        env={**inherited, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def write_program(file: Path, words: str) -> None:
    """Write a shell script that can be run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{words}\n")
    file.chmod(0o755)


def test_without_root_it_says_that_containers_are_not_tested(copy: Path) -> None:
    write_program(copy / "bin" / "id", "echo 1000")
    process = start(copy, PATH=f"{copy / 'bin'}:{os.environ['PATH']}")
    _, errors = process.communicate()
    assert process.returncode == 69
    assert "A container engine needs root.\nContainers NOT TESTED" in errors


def test_a_stopped_script_ends_its_tests_and_its_engine(copy: Path) -> None:
    write_program(copy / "tests" / "containers" / "engine", f'echo "$1" >>{copy}/engine.log')
    write_program(copy / "tests" / "containers" / "images" / "build", "true")
    write_program(copy / ".venv" / "bin" / "pytest", f"echo $$ >{copy}/pid; exec sleep 600")
    process = start(copy)
    wait_until((copy / "pid").exists, "the tests to start", 60)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert (copy / "engine.log").read_text().split() == ["start", "stop"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((copy / "pid").read_text()), 0)
