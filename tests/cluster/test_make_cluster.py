"""`make cluster` from its first line to Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scripts.stack.processes import bind_to_parent
from scripts.stack.stack import ROOT
from scripts.stack.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.postgres, pytest.mark.soak, pytest.mark.timeout(900)]


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    log = tmp_path / "output"
    with log.open("w") as output:
        options = ["--port", "0", "--home", str(tmp_path / "cluster")]
        command = [sys.executable, "-m", "scripts.stack.cluster", *options]
        cluster = subprocess.Popen(bind_to_parent(command), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "Ctrl-C ends" in log.read_text() or cluster.poll() is not None, "the cluster", 400)
        children = psutil.Process(cluster.pid).children(recursive=True)
        assert len(children) > 15
        cluster.send_signal(signal.SIGINT)
        assert cluster.wait(120) == 0, log.read_text()
    finally:
        cluster.kill()
    left = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert left == []
