"""Connections of the hooks' tests: environment variables, loopback servers, no waiting."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from plugins.vendor_api import waiting

KUSTOMER_KEY = "kustomer-key-of-tests"
STELLA_KEY = "stella-key-of-tests"
STELLA_SECRET = "stella-secret-of-tests-long-enough"

Connect = Callable[..., str]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "factor", 0)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def connect_kustomer(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Defines `kustomer_default` for a URL; keyword arguments go into the extra."""

    def connect(url: str, **extra: Any) -> str:
        extra = {"web_url": "https://acme.kustomerapp.com", "timeout": [0.5, 2], **extra}
        connection = {"conn_type": "kustomer", "host": url, "password": KUSTOMER_KEY, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", json.dumps(connection))
        return url

    return connect


@pytest.fixture
def connect_stella(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Defines `stella_connect_default` for a URL; keyword arguments go into the extra."""

    def connect(url: str, **extra: Any) -> str:
        extra = {"api_secret": STELLA_SECRET, "timeout": [0.5, 2], **extra}
        connection = {"conn_type": "stella_connect", "host": url, "password": STELLA_KEY, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_STELLA_CONNECT_DEFAULT", json.dumps(connection))
        return url

    return connect


@pytest.fixture
def kustomer_server(httpserver: HTTPServer, connect_kustomer: Connect) -> HTTPServer:
    connect_kustomer(httpserver.url_for("/").rstrip("/"))
    return httpserver


@pytest.fixture
def stella_server(httpserver: HTTPServer, connect_stella: Connect) -> HTTPServer:
    connect_stella(httpserver.url_for("/").rstrip("/"))
    return httpserver
