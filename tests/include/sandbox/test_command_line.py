import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from include.sandbox import KUSTOMER_KEY, PortTaken, generate, start
from include.sandbox.__main__ import arguments

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "include.sandbox", "--conversations", "20"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_alone_prints_addresses_and_keys_and_stops_cleanly(number: int) -> None:
    command = [*COMMAND, "--kustomer-port", "0", "--stella-port", "0", "--closed-from", "2026-01-05T10:00"]
    command += ["--closed-to", "2026-01-05T12:00+01:00"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        kustomer, stella, organisation = [process.stdout.readline() for _ in range(3)]
        url = re.search(r"http://127\.0\.0\.1:\d+", kustomer)
        assert url is not None
        assert KUSTOMER_KEY in kustomer
        assert "stella-sandbox-key" in stella
        assert "stella-sandbox-secret-of-33-bytes" in stella
        assert "20 conversations" in organisation
        assert requests.get(f"{url[0]}/_sandbox/health", timeout=10).json()["status"] == "ok"
        os.kill(process.pid, number)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
    with socket.socket() as freed:
        freed.bind(("127.0.0.1", int(url[0].rpartition(":")[2])))


def test_a_taken_port_gets_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, "--kustomer-port", "0", "--stella-port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"sandbox: port {port} on 127.0.0.1 is taken: stop the program there or choose another\n"


def test_a_taken_port_is_refused_in_python_too() -> None:
    window = arguments([])
    organisation = generate(1, 0, 1, window.closed_from, window.closed_to)
    with (
        start(organisation) as sandbox,
        pytest.raises(PortTaken),
        start(organisation, stella_port=int(sandbox.stella_url.rpartition(":")[2])),
    ):
        pass


def test_the_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--help"])
    shown = capsys.readouterr().out
    for option in ("--kustomer-port", "--seed", "--closed-from", "--search-per-minute", "--visibility-lag-seconds"):
        assert option in shown
    assert "invented organisation" in shown


def test_a_window_that_is_none_gets_one_clear_line() -> None:
    command = [*COMMAND, "--closed-from", "2026-01-05T12:00", "--closed-to", "2026-01-05T11:00"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "sandbox: closed_to must be later than closed_from\n")
