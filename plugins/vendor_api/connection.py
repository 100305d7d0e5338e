"""Read an Airflow connection by the conventions of the HTTP provider.

As in `HttpHook` (apache-airflow-providers-http 6.3.0):

- `host` with or without scheme, `schema` as the scheme if the host has none, `port`;
- extras `verify` (or `verify_ssl`): true, false or a CA bundle's path; `cert`: path, or [certificate, key];
  `proxies` (or `proxy`): {scheme: URL}, or one URL for all; `timeout`: seconds, or [connect, read];
  `trust_env`: whether HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and the like count (default: yes).

Different on purpose:

- The scheme defaults to https, or to http for a loopback host. Plain http to any other host is refused.
- A loopback host is never reached through a proxy; otherwise plain http would leave the machine.
- Redirects are never followed, so `allow_redirects` and `max_redirects` have no effect.
- `stream`, `check_response`, `srv_lookup` and `login` are not used. Unknown extras never become headers.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from plugins.vendor_api.errors import ConfigurationError

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
EXTRAS = ("verify", "verify_ssl", "cert", "proxies", "proxy", "timeout", "trust_env")
"""The extras that `HttpSettings` is read from."""


@dataclass(frozen=True)
class HttpSettings:
    """How to reach one vendor.

    Attributes:
        base_url: scheme, host and optional port; never a path, because each call has its own.
        key: the API key.
        extra: the connection's extra.
        timeout: seconds to connect, and between two reads.
    """

    base_url: str
    key: str = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)
    verify: bool | str
    cert: str | tuple[str, str] | None
    proxies: dict[str, str]
    trust_env: bool
    timeout: tuple[float, float]


def read_settings(
    connection: Connection, *, default_host: str, required_extras: tuple[str, ...] = ()
) -> HttpSettings:
    """Return the settings of `connection`.

    Raises:
        ConfigurationError: names the connection, the key and the cure; all missing keys in one message.
    """
    extra = _extra(connection)
    missing = [] if (connection.password or "").strip() else ["password (the API key)"]
    missing += [f'"{name}" in the extra' for name in required_extras if not str(extra.get(name) or "").strip()]
    if missing:
        raise fault(connection.conn_id, f"lacks {' and '.join(missing)}")
    key = secret(connection.conn_id, "password", connection.password or "")
    return http_settings(connection, _base_url(connection, default_host), key)


def http_settings(connection: Connection, base_url: str, key: str) -> HttpSettings:
    """Return the settings of a connection whose address and key are known.

    Raises:
        ConfigurationError: an extra cannot be used.
    """
    extra = _extra(connection)
    loopback = is_loopback(urlsplit(base_url).hostname or "")
    return HttpSettings(
        base_url=base_url,
        key=key,
        extra=extra,
        verify=_verify(connection.conn_id, extra),
        cert=_cert(connection.conn_id, extra),
        proxies={} if loopback else _proxies(connection.conn_id, extra),
        trust_env=not loopback and _is_on(extra.get("trust_env")),
        timeout=_timeout(connection.conn_id, extra),
    )


def fault(connection_id: str, problem: str) -> ConfigurationError:
    """Return the error for a connection that cannot be used."""
    return ConfigurationError(
        f"Connection {connection_id!r} {problem}. Set it under Admin > Connections or in "
        f"AIRFLOW_CONN_{connection_id.upper()}."
    )


def secret(connection_id: str, name: str, value: str) -> str:
    """Return `value` without surrounding whitespace, and mask it in logs.

    People often paste a line break too, and the error of `requests` would print the whole header.
    """
    value = value.strip()
    mask_secret(value)
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise fault(connection_id, f"has a {name} with spaces or characters that a key cannot have")
    return value


def is_loopback(host: str) -> bool:
    """Tell whether `host` can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(connection_id: str, name: str, url: str) -> str:
    """Return `url` without trailing slash if it is https (or http to loopback) and names only a host.

    A path that belongs to our calls, such as `/v1`, would turn every read by id into "not found".

    Raises:
        ConfigurationError: otherwise; the message names the connection, the key in it and the cure.
    """
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise fault(connection_id, f"has spaces or characters in {name} that an address cannot have; type it again")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # an invalid port raises too
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise fault(connection_id, f"has no usable address in {name}; it looks like https://example.com")
    if parts.username is not None:
        raise fault(connection_id, f"has a user or password in {name}; remove it")
    for what, found in (("path", parts.path.rstrip("/")), ("query", parts.query), ("fragment", parts.fragment)):
        if found:
            shown = f" ({found:.40})" if what == "path" else ""  # a query may hold a key
            raise fault(
                connection_id,
                f"has a {what}{shown} after the host in {name}; write only {parts.scheme}://{parts.netloc} there",
            )
    if parts.scheme == "http" and not is_loopback(host):
        raise fault(
            connection_id,
            f"uses plain http:// to {host} in {name}, which would show the key to the network; use https:// "
            "(http:// is only for loopback hosts)",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _extra(connection: Connection) -> dict[str, Any]:
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise fault(connection.conn_id, "has an extra that is not a JSON object")
    mask_secret(extra)  # masks by key name: api_secret, proxies
    return extra


def _base_url(connection: Connection, default_host: str) -> str:
    host = (connection.host or "").strip() or default_host
    if "://" not in host:
        bare = urlsplit(f"//{host}").hostname or ""
        scheme = connection.schema or ("http" if is_loopback(bare) else "https")
        host = f"{scheme}://{host}"
    base_url = checked_url(connection.conn_id, "host (the API URL)", host)
    if connection.port:
        parts = urlsplit(base_url)
        if parts.port and parts.port != connection.port:
            raise fault(connection.conn_id, f"has two ports: {parts.port} in host and {connection.port} in port")
        if not parts.port:
            base_url = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    return base_url


def _is_on(value: object) -> bool:
    # The URI form of a connection only has text; what is not given is on.
    return str(value).strip().lower() not in ("false", "0", "no", "off")


def _verify(connection_id: str, extra: Mapping[str, Any]) -> bool | str:
    value = extra.get("verify", extra.get("verify_ssl"))
    if isinstance(value, str) and value.strip().lower() not in ("", "true", "false", "0", "1", "yes", "no"):
        return _file(connection_id, "verify", value)
    return _is_on(value)


def _cert(connection_id: str, extra: Mapping[str, Any]) -> str | tuple[str, str] | None:
    match extra.get("cert"):
        case None | "":
            return None
        case str(path):
            return _file(connection_id, "cert", path)
        case [str(certificate), str(key)]:
            return _file(connection_id, "cert", certificate), _file(connection_id, "cert", key)
    raise fault(connection_id, 'has a "cert" in the extra that is neither a path nor [certificate, key]')


def _file(connection_id: str, name: str, path: str) -> str:
    if not Path(path).exists():
        raise fault(connection_id, f'names a file in "{name}" of the extra that does not exist: {path}')
    return path


def _proxies(connection_id: str, extra: Mapping[str, Any]) -> dict[str, str]:
    match extra.get("proxies", extra.get("proxy")):
        case None | "":
            return {}
        case str(url):
            return {"http": url, "https": url}
        case dict(proxies) if all(isinstance(url, str) for url in proxies.values()):
            return {str(scheme): str(url) for scheme, url in proxies.items()}
    raise fault(connection_id, 'has "proxies" in the extra that are neither a URL nor {"https": URL}')


def _timeout(connection_id: str, extra: Mapping[str, Any]) -> tuple[float, float]:
    value = extra.get("timeout")
    if value in (None, ""):
        return CONNECT_SECONDS, READ_SECONDS
    pair = value if isinstance(value, list) and len(value) == 2 else [value, value]
    try:
        connect, read = (float(seconds) for seconds in pair)
    except (TypeError, ValueError):
        connect = read = 0.0
    if not (0 < connect < float("inf") and 0 < read < float("inf")):
        raise fault(connection_id, 'has a "timeout" in the extra that is neither seconds nor [connect, read]')
    return connect, read
