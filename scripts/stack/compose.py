"""docker-compose.yaml as docker-compose itself reads it: merged, with the variables of an environment file."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.stack.stack import ROOT

FILE = ROOT / "docker-compose.yaml"
CODE = "/opt/airflow"
"""Where the containers have the working copy's folders; their AIRFLOW_HOME too."""


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is a folder or file of this machine, or the name of a volume."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Service:
    """What one container of a service is given."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    health_check: tuple[str, ...]
    """A command in the container; none when the check is switched off."""
    stop_seconds: float
    """Between being asked to end and being killed."""


def services(env_file: Path, overrides: Mapping[str, str], profiles: Sequence[str] = ()) -> dict[str, Service]:
    """Return the services with the variables of `env_file`, those in `overrides` going first.

    Raises:
        RuntimeError: docker-compose refuses the file or misses a variable; with its words.
    """
    command = ["docker-compose", "--file", str(FILE), "--env-file", str(env_file)]
    for profile in profiles:
        command += ["--profile", profile]
    done = subprocess.run(
        [*command, "config"],
        # Nothing else of the caller's environment: it would override the file.
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(env_file.parent), **overrides},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"docker-compose refuses {FILE.name}: {done.stderr.strip()}")
    parsed = yaml.safe_load(done.stdout)["services"]
    return {name: _service(name, given) for name, given in parsed.items()}


def _service(name: str, given: Mapping[str, Any]) -> Service:
    command = given.get("command", ())
    test = given.get("healthcheck", {}).get("test", [])
    if test[:1] == ["CMD-SHELL"]:
        test = ["CMD", "bash", "-c", *test[1:]]
    return Service(
        name,
        tuple(map(_plain, shlex.split(command) if isinstance(command, str) else command)),
        {key: _plain(str(value)) for key, value in given.get("environment", {}).items()},
        tuple(map(_mount, given.get("volumes", ()))),
        tuple(map(_plain, test[1:])),
        _seconds(given.get("stop_grace_period", "10s")),
    )


def _plain(text: str) -> str:
    """Replace "$$", which docker-compose writes for a dollar sign."""
    return text.replace("$$", "$")


def _mount(text: str) -> Mount:
    source, target, *mode = text.split(":")
    return Mount(source, target, mode == ["ro"])


def _seconds(text: str) -> float:
    """Read docker-compose's own way of writing a time: "10s", "3m0s"."""
    minutes, _, seconds = text.removesuffix("s").rpartition("m")
    return float(minutes or 0) * 60 + float(seconds or 0)
