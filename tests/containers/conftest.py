"""A copy of the repository. `tests/containers/e2e` has started the engine and built the images."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.stack import copy_of_the_repository
from tests.containers.world import World, started_world


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository that containers can read."""
    assert "DOCKER_HOST" in os.environ, "make e2e starts an engine; DOCKER_HOST names it"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped test leaves no containers behind
    base = tmp_path_factory.mktemp("repository")
    for folder in (base, *base.parents[:3]):
        folder.chmod(0o755)  # pytest's folders are closed to the user that Airflow runs as
    return copy_of_the_repository(base)


@pytest.fixture(scope="module")
def world(repository: Path) -> Iterator[World]:
    """A stack for the cases of one module."""
    with started_world(repository) as world:
        yield world
