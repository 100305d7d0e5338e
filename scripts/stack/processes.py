"""Child processes that can be ended with everything they started.

Each child leads its own session. Whatever it starts stays in that session, also when the child is killed
and its own children are orphaned (LocalExecutor's workers, running tasks, log servers), so the session tells
what has to end. Should this process be killed outright, the kernel asks its children to end.
"""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Self

import psutil

from scripts.stack.ports import PortTakenError
from scripts.stack.waiting import wait_until

_EXEC = Path(__file__).with_name("exec_bound_to_parent.py")


def start(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` in a new session; its output is appended to `log`.

    Call it in a thread that lives as long as the child may: the kernel ends the child with the thread.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            bind_to_parent(command),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def bind_to_parent(command: Sequence[str | Path]) -> list[str | Path]:
    """Return the command that becomes `command` and is asked to end when the thread that starts it ends."""
    return [sys.executable, "-I", "-S", _EXEC, str(os.getpid()), *command]


def watch(pid: int, number: signal.Signals) -> subprocess.Popen[bytes]:
    """Send a signal to a process when this one ends, however it ends.

    For servers that run as another user, or that any thread may start: `bind_to_parent` is not for those. End the
    watcher before the process ends: its id may come to belong to another.
    """
    order = f"read nothing; kill -{number.value} {pid}"
    return subprocess.Popen(
        ["sh", "-c", order], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


def session_members(sessions: set[int]) -> list[psutil.Process]:
    """Return every living process of these sessions (a session's id is its first process's id)."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return members


def end(children: Sequence[subprocess.Popen[bytes]], grace_seconds: float = 5) -> None:
    """End the children and all their descendants: asked first, after `grace_seconds` killed.

    Children that have already ended count too: what they left behind is ended as well.

    Raises:
        TimeoutError: something survived even that.
    """
    sessions = {child.pid for child in children}
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(0.05)

    def none_left() -> bool:
        members = session_members(sessions)
        for process in members:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        for child in children:
            child.poll()
        return not members

    wait_until(none_left, f"the end of every process of the sessions {sorted(sessions)}", 20, every=0.05)


def kill(child: subprocess.Popen[bytes]) -> None:
    """End a child and all its descendants in one moment, with no time to clean up."""
    members = session_members({child.pid})
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: none may see another's end
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
    end([child], grace_seconds=0)


class Running(ABC):
    """Child processes as a context manager: healthy inside the block, gone outside. For the main thread."""

    def __init__(self) -> None:
        self._everyone: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self.bring_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def bring_up(self) -> None:
        """Start everything and wait until it works."""

    def pids(self) -> list[int]:
        """Return all living processes that were started here, orphans included."""
        return [process.pid for process in session_members({child.pid for child in self._everyone})]

    def stop(self) -> None:
        """End everything that was started here."""
        end(self._everyone)
        self._everyone.clear()


class Interrupted(BaseException):
    """A signal asked this program to end. Like KeyboardInterrupt it is not an error."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP inside into `Interrupted`; further ones cannot disturb the clean-up.

    Works in the main thread only.
    """
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature is Python's
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted

    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def run_until_interrupted(command: Callable[[], None]) -> int:
    """Run a command that Ctrl-C or SIGTERM ends; return its exit status."""
    try:
        with interruptible():
            command()
    except Interrupted:
        return 0
    except (PortTakenError, RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
