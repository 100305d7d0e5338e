"""Children end with everything they started, however they and their parent end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.stack import processes
from scripts.stack.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]

# Starts a grandchild that ignores every polite request, says so, and waits.
STUBBORN_FAMILY = """
import signal, subprocess, sys, time
stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", f"import signal, time; {stubborn}"], process_group=0)
time.sleep(600)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = tmp_path / "family.log"
    child = processes.start([sys.executable, "-c", STUBBORN_FAMILY], os.environ, tmp_path, log)
    wait_until(lambda: "ready" in log.read_text(), "the grandchild", 20)
    yield child
    processes.end([child])


def test_a_grandchild_that_ignores_the_request_to_end_is_killed(family: subprocess.Popen[bytes]) -> None:
    assert len(processes.session_members({family.pid})) == 2
    processes.end([family], grace_seconds=0.2)
    assert processes.session_members({family.pid}) == []


def test_orphans_of_a_killed_child_are_ended(family: subprocess.Popen[bytes]) -> None:
    family.kill()
    family.wait()
    assert len(processes.session_members({family.pid})) == 1
    processes.end([family])
    assert processes.session_members({family.pid}) == []


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent_code = (
        "import os, sys, time; from pathlib import Path; from scripts.stack import processes\n"
        "child = processes.start(['sleep', '600'], os.environ, Path('.'), Path(sys.argv[1]))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code, tmp_path / "log"], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: child.name() == "sleep", "the child to be bound to its parent", 20)
    parent.kill()
    parent.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child's end", 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_the_next_do_not_disturb_the_clean_up(number: signal.Signals) -> None:
    steps = []

    def work() -> None:
        with processes.interruptible():
            try:
                os.kill(os.getpid(), number)
                steps.append("not interrupted")
            finally:
                os.kill(os.getpid(), number)
                steps.append("cleaned up")

    with pytest.raises(processes.Interrupted):
        work()
    assert steps == ["cleaned up"]


def test_after_the_block_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with processes.interruptible():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_tests_that_are_ended_leave_no_server_behind(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "test_that_waits.py"
    file.write_text(
        "import time; from pathlib import Path\n"
        "def test_that_waits(postgres_server):\n"
        f"    Path({str(tmp_path / 'pid')!r}).write_text(str(postgres_server.pid))\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml"]
    command += ["--rootdir", ROOT, "--confcutdir", ROOT, "-p", "tests.conftest", "--import-mode=importlib", file]
    with (tmp_path / "output").open("w") as output:
        tests = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        wait_until(
            lambda: ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) or tests.poll() is not None,
            "the server of the tests",
            120,
        )
        assert tests.poll() is None, (tmp_path / "output").read_text()
        server = psutil.Process(int((tmp_path / "pid").read_text()))
        tests.send_signal(number)
        tests.wait(120)
        wait_until(
            lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "the server's end", 60
        )
    finally:
        tests.kill()


def test_a_command_ends_with_a_signal_as_planned_and_with_a_fault_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise TimeoutError("the scheduler did not start")

    assert processes.run_until_interrupted(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 0
    assert processes.run_until_interrupted(fail) == 1
    assert capsys.readouterr().err == "the scheduler did not start\n"
