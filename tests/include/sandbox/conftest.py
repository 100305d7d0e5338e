"""What the sandbox's own tests share."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests

from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET, Sandbox, generate, start
from include.sandbox.model import Organisation

FROM = datetime(2026, 1, 5, 10, tzinfo=UTC)
TO = FROM + timedelta(hours=1)


@pytest.fixture
def organisation() -> Organisation:
    return generate(7, 300, 12, FROM, TO)


@pytest.fixture
def run(organisation: Organisation) -> Iterator[Callable[..., Sandbox]]:
    """Starts a sandbox with the options given; stopped after the test."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(start(organisation, **options))


@pytest.fixture
def vendors(run: Callable[..., Sandbox]) -> Sandbox:
    return run(search_per_minute=0, org_per_minute=0, data_per_minute=0)


class Client:
    """Calls both vendors with good keys, as a plain HTTP client would."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False

    def kustomer(self, path: str, key: str = KUSTOMER_KEY, **more: Any) -> requests.Response:
        headers = {"authorization": f"Bearer {key}"}
        return self.session.get(self.sandbox.kustomer_url + path, headers=headers, timeout=10, **more)

    def search(self, body: Any, page: int = 1, size: int = 100, **headers: str) -> requests.Response:
        return self.session.post(
            f"{self.sandbox.kustomer_url}/v1/customers/search?page={page}&pageSize={size}",
            json=body,
            headers={"authorization": f"Bearer {KUSTOMER_KEY}"} | headers,
            timeout=10,
        )

    def stella(self, path: str, token: str | None = None, **params: Any) -> requests.Response:
        token = jwt.encode({"iat": int(time.time())}, STELLA_SECRET) if token is None else token
        headers = {"x-api-key": STELLA_KEY, "authorization": token}
        url = self.sandbox.stella_url + path
        return self.session.get(url, headers=headers, params=params, timeout=10)

    def post(self, body: Any, key: str = STELLA_KEY, timeout: float = 10) -> requests.Response:
        headers = {"x-api-key": key}
        return self.session.post(
            self.sandbox.stella_url + "/v1/requests", json=body, headers=headers, timeout=timeout
        )

    def control(self, path: str, body: Any = None, **params: Any) -> requests.Response:
        url = f"{self.sandbox.stella_url}/_sandbox/{path}"
        if body is None:
            return self.session.get(url, params=params, timeout=10)
        return self.session.post(url, json=body, timeout=10)

    def faults(self, *faults: Any) -> None:
        self.control("faults", list(faults)).raise_for_status()


@pytest.fixture
def client(vendors: Sandbox) -> Client:
    return Client(vendors)


@pytest.fixture(scope="module")
def unchanged() -> Iterator[Client]:
    """A client of one sandbox for all tests of a file that change nothing in it."""
    options = {"search_per_minute": 0, "org_per_minute": 0, "data_per_minute": 0}
    with start(generate(7, 300, 12, FROM, TO), **options) as sandbox:
        yield Client(sandbox)


@pytest.fixture
def client_of() -> type[Client]:
    return Client


@pytest.fixture
def window() -> dict[str, Any]:
    """The search body for closings in the organisation's hour."""
    return {
        "queryContext": "conversation",
        "and": [
            {"conversation_status": {"equals": "done"}},
            {"conversation_last_done_created_at": {"gte": "2026-01-05T10:00:00.000Z"}},
            {"conversation_last_done_created_at": {"lt": "2026-01-05T11:00:00.000Z"}},
        ],
    }


@pytest.fixture
def feedback(organisation: Organisation) -> dict[str, Any]:
    """A feedback request that Stella Connect accepts."""
    agent = next(one for one in organisation.employees if one.status == "active")
    return {
        "channel": "email",
        "customer": {"name": "Ada Ashdown", "email": "ada@example.com"},
        "employee": {"email": agent.email},
        "ext_interaction_id": "6500000000000000000000aa",
    }
