"""An HTTP session that can tell whether a request left this machine.

`requests` and urllib3 report a failed TLS handshake and a reset in the middle of an answer by the same
classes, so an exception's class cannot prove that nothing was sent. Here the connection itself tells: whatever
goes wrong inside `connect()` (DNS, refused, timeout, TLS handshake, proxy tunnel) becomes `ConnectFailed`,
which no layer above knows and all let pass. The request's first byte is written only after `connect()`
returned; so `ConnectFailed` means "never sent", and every other exception means "perhaps".

A pooled connection that the server closed while it lay idle would turn a harmless situation into "perhaps".
urllib3 replaces one whose end it can already see; in addition, none is used again after
`LONGEST_IDLE_SECONDS`, well below the keep-alive times of usual servers. What remains is a server closing
within the network delay of our write: that is reported as unknown, as it must be.
"""

from __future__ import annotations

import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

LONGEST_IDLE_SECONDS = 3.0


class ConnectFailed(Exception):  # noqa: N818 - says what happened; deliberately unknown to urllib3 and requests
    """No connection came about; `__cause__` is the reason. Not a byte of the request was sent."""


class _Connection(HTTPConnection):
    """Marks failures inside `connect()` and retires itself when it lay idle too long."""

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
        # The pool asks this of an idle connection before it hands it out.
        return time.monotonic() - self._last_used < LONGEST_IDLE_SECONDS and super().is_connected


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS: `super()` above is then urllib3's `HTTPSConnection`."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """The stock adapter with the connections above, and without any retry of its own."""

    _pools: ClassVar[dict[str, type[HTTPConnectionPool]]] = {"http": _Pool, "https": _TlsPool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager: PoolManager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if not proxy.lower().startswith("socks"):  # SOCKS has connections of its own: failures stay "perhaps"
            manager.pool_classes_by_scheme = self._pools
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """No answer is a redirect: following one would send key and customer data to a host nobody configured.

        `allow_redirects=False` alone would still parse the target and fail on a malformed one.
        """


def new_session(connections: int = 32) -> requests.Session:
    """A session for one vendor, safe to share between as many threads as `connections`."""
    session = _Session()
    adapter = _Adapter(pool_connections=2, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no state shared between threads
    session.headers["Accept"] = "application/json"
    session.headers["User-Agent"] = "kustomer-stella-connect"
    return session
