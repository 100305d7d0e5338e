"""The engine and the base images, for all tests of containers."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.containers.stack import copy_of_the_repository

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository that containers can read."""
    assert "DOCKER_HOST" in os.environ, "make e2e starts an engine; DOCKER_HOST names it"
    subprocess.run([HERE / "images" / "build", tmp_path_factory.mktemp("images")], check=True)
    base = tmp_path_factory.mktemp("repository")
    for folder in (base, *base.parents[:3]):
        folder.chmod(0o755)  # pytest's folders are closed to the user that Airflow runs as
    return copy_of_the_repository(base)
