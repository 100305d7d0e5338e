"""A taken port is told with its number, its holder and the way out."""

import os
import socket
from collections.abc import Iterator

import pytest

from scripts.stack.ports import PortTakenError, free_port, require_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_purpose_its_holder_and_the_way_out(taken_port: int) -> None:
    with pytest.raises(PortTakenError) as refusal:
        require_free(taken_port, "Airflow's UI", "DEMO_PORT=9080 make demo")
    message = str(refusal.value)
    assert f"Port {taken_port}" in message
    assert "Airflow's UI" in message
    assert str(os.getpid()) in message
    assert "DEMO_PORT=9080 make demo" in message


def test_a_port_that_is_taken_on_all_addresses_is_taken_on_loopback() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(PortTakenError):
        require_free(server.getsockname()[1], "the test", "")


def test_a_port_whose_connections_are_closing_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first is remembered by the kernel for a while
    require_free(port, "the test", "")


def test_a_free_port_is_free() -> None:
    require_free(free_port(), "the test", "")
