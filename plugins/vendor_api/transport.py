"""An HTTP session that proves whether a request left this machine.

`requests` and urllib3 use the same exception classes for a failed TLS handshake and for a reset in the middle of
an answer, so the class proves nothing. Here every failure inside `connect()` (DNS, refused, timeout, TLS
handshake, proxy tunnel) becomes `ConnectFailed`. No layer above knows this class, so all let it pass. The first
byte of a request is written only after `connect()` has returned. Therefore `ConnectFailed` means "never sent",
and every other exception means "may have been sent".

A server may close a pooled connection while it is idle; a request on it would then count as "may have been sent".
urllib3 replaces a connection whose end it already sees. In addition, a connection is not used again after
`MAX_IDLE_SECONDS`, well below the usual keep-alive times. One case remains: the server closes within the network
delay of our write. That outcome is unknown.
"""

from __future__ import annotations

import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

MAX_IDLE_SECONDS = 3.0


class ConnectFailed(Exception):  # noqa: N818 - says what happened; urllib3 and requests must not know it
    """The connection failed (see `__cause__`). No byte of the request was sent."""


class _Connection(HTTPConnection):
    """Marks failures inside `connect()`, and counts as closed after `MAX_IDLE_SECONDS` without use."""

    _last_used = float("-inf")

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as fault:
            raise ConnectFailed from fault

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as in urllib3's own class
        response = super().getresponse()
        self._last_used = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        # The pool checks this before it reuses an idle connection.
        return time.monotonic() - self._last_used < MAX_IDLE_SECONDS and super().is_connected


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS: `super()` above is then urllib3's `HTTPSConnection`."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """The stock adapter with the connections above and without retries."""

    _pools: ClassVar[dict[str, type[HTTPConnectionPool]]] = {"http": _Pool, "https": _TlsPool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager: PoolManager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if not proxy.lower().startswith("socks"):  # SOCKS uses other connections: "may have been sent"
            manager.pool_classes_by_scheme = self._pools
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Ignore redirects: following one would send key and customer data to a host that is not configured.

        `allow_redirects=False` alone would still parse the target, and fail on a malformed one.
        """


def new_session(connections: int = 256) -> requests.Session:
    """Make a session for one vendor that up to `connections` threads may share."""
    session = _Session()
    adapter = _Adapter(pool_connections=2, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no state shared between threads
    session.headers["Accept"] = "application/json"
    session.headers["User-Agent"] = "kustomer-stella-connect"
    return session
