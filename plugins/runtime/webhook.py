"""The webhook for alarms and failed runs: an Airflow connection in any of its forms.

It gets {"text": …}, as the webhooks of Slack and Mattermost expect. Its address is a secret: no message shows it.

- type `alarm_webhook` or `http`: host = address, password = the secret rest of the path, if you keep it apart;
- as a URI the webhook's own address: `https://hooks.example.com/services/<token>`.
"""

from typing import ClassVar
from urllib.parse import urlencode, urlsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret
from tenacity import Retrying, stop_after_attempt, wait_exponential_jitter

from plugins.vendor_api.connection import EXTRAS, HttpSettings, fault, http_settings, is_loopback
from plugins.vendor_api.errors import ConfigurationError
from plugins.vendor_api.lookup import find_connection
from plugins.vendor_api.waiting import pause

CONNECTION = "stella_connect_alarms"
ATTEMPTS = 3
SCHEMES = ("http", "https")


class WebhookFailedError(Exception):
    """The message did not arrive; the text says why, without the webhook's address."""

    def __init__(self, message: str, *, never_sent: bool = False) -> None:
        super().__init__(message)
        self.never_sent = never_sent
        """No connection: nothing left."""


class AlarmWebhookHook(BaseHook):
    """Sends a text to the webhook of an Airflow connection."""

    conn_name_attr: ClassVar[str] = "alarm_webhook_conn_id"
    default_conn_name: ClassVar[str] = CONNECTION
    conn_type: ClassVar[str] = "alarm_webhook"
    hook_name: ClassVar[str] = "Alarm webhook"

    def __init__(self, alarm_webhook_conn_id: str = CONNECTION) -> None:
        super().__init__()
        self.conn_id = alarm_webhook_conn_id

    def exists(self) -> bool:
        """Return whether the connection exists.

        Raises:
            LookupFailedError: Airflow could not say.
        """
        return find_connection(self.conn_id) is not None

    def send(self, text: str, attempts: int = ATTEMPTS) -> None:
        """Send the text, in up to so many attempts; a second one may deliver it twice.

        Raises:
            ConfigurationError: the connection does not exist or has no usable address.
            WebhookFailedError: the webhook did not take it.
        """
        settings = self._settings()
        retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait_exponential_jitter(multiplier=1, max=10),
            sleep=pause,
            reraise=True,
        )
        retrying(_post, settings, text)

    def test_connection(self) -> tuple[bool, str]:
        """Send a test message: what the button Test does."""
        try:
            self.send("Test message of the Kustomer to Stella Connect pipeline: alarms arrive here.")
        except (ConfigurationError, WebhookFailedError) as failure:
            return False, str(failure)
        return True, "The webhook took a test message. Check that it has arrived."

    def _settings(self) -> HttpSettings:
        connection = find_connection(self.conn_id)
        if connection is None:
            raise fault(self.conn_id, "does not exist")
        return http_settings(connection, _address(connection), key="")


def _address(connection: Connection) -> str:
    """Put the webhook's whole address together."""
    host, schema = (connection.host or "").strip().rstrip("/"), (connection.schema or "").strip()
    bare = urlsplit(f"//{host}").hostname if "://" not in host else ""
    if bare:
        by_type = {"http": "http", "https": "https"}.get(connection.conn_type or "")
        by_host = "http" if is_loopback(bare) else "https"
        host = f"{schema if schema in SCHEMES else by_type or by_host}://{host}"
    if connection.port and "://" in host:
        parts = urlsplit(host)
        host = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    in_schema = "" if schema in SCHEMES else schema.strip("/")
    path = [in_schema, (connection.password or "").strip().strip("/")]
    address = "/".join(filter(None, [host, *path]))
    if in_schema and (query := {k: v for k, v in connection.extra_dejson.items() if k not in EXTRAS}):
        address += f"?{urlencode(query)}"  # a URI's own query, which Airflow reads as extras
    try:
        parts = urlsplit(address)
        usable = parts.scheme in SCHEMES and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable:
        raise fault(connection.conn_id, "has no usable address in host; it looks like https://example.com/hooks")
    mask_secret(address)
    return address


def _post(settings: HttpSettings, text: str) -> None:
    # Here, because parsing a DAG file imports this module but sends nothing.
    import requests

    from plugins.vendor_api.transport import ConnectFailed, new_session

    session = new_session(1)
    session.verify, session.cert, session.trust_env = settings.verify, settings.cert, settings.trust_env
    session.proxies.update(settings.proxies)
    try:
        with session:
            answer = session.post(settings.base_url, json={"text": text}, timeout=settings.timeout)
    except (requests.RequestException, ConnectFailed, ValueError) as error:
        raise WebhookFailedError(_cause(error), never_sent=isinstance(error, ConnectFailed)) from None
    if answer.status_code >= requests.codes.multiple_choices:
        raise WebhookFailedError(f"it answered {answer.status_code}")


def _cause(error: BaseException) -> str:
    """Say what happened in words that hold no address: libraries' texts quote it."""
    import requests  # as in `_post`

    kinds, seen = [], error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror and not isinstance(seen, requests.RequestException):
            return f"{type(seen).__name__}: {seen.strerror}"
        kinds.append(type(seen).__name__)
        inner = seen.__cause__ or seen.__context__
        seen = inner if isinstance(inner, BaseException) else None  # type: ignore[assignment]
    return " of ".join(dict.fromkeys(reversed(kinds)))
