"""The base of both vendors' hooks: one session, one way to judge answers, retries only for reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from airflow.sdk import BaseHook
from pydantic_core import from_json
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from plugins.vendor_api.complaints import complaint, without_personal_data
from plugins.vendor_api.connection import HttpSettings, fault, read_settings
from plugins.vendor_api.errors import (
    BrokenAnswer,
    KeyFault,
    NeverSent,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    VendorApiError,
)
from plugins.vendor_api.lookup import find_connection
from plugins.vendor_api.waiting import before_next_read, pause, requested_wait

if TYPE_CHECKING:
    import requests

READ_ATTEMPTS = 5
"""Attempts per read. With the limit of the waits a read ends within about ten minutes."""

Params = Mapping[str, str | int]
Signer = Callable[["requests.PreparedRequest"], "requests.PreparedRequest"]


@dataclass(frozen=True)
class Call:
    """One kind of call: method, path template, and the roles of which the key needs one."""

    method: str
    path: str
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class VendorApiHook(BaseHook):
    """The common part of the hooks for Kustomer and Stella Connect.

    The connection is looked up once, at the first call. One `requests.Session` serves all calls, so a page costs
    one round trip. `settings.py` reads the connection; `errors.py` defines the exceptions.

    Subclasses set `default_host` and `required_extras`, sign requests in `_signer` and explain a 401 or 403 in
    `_key_advice`.

    Attributes:
        asked_at: time of the first read by the vendor's clock; None if its answers do not say.
    """

    default_host: ClassVar[str]
    required_extras: ClassVar[tuple[str, ...]] = ()

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._lock = threading.RLock()
        self._settings: HttpSettings | None = None
        self._session: requests.Session | None = None
        self.asked_at: datetime | None = None

    def _signer(self, path: str) -> Signer:
        """Return the function that puts the credentials into the headers of a call to `path`."""
        raise NotImplementedError

    def _key_advice(self, call: Call, status: int) -> str:
        """Say what a person should do about a 401 or 403."""
        raise NotImplementedError

    def _secrets(self) -> list[str]:
        """Return values that no message may contain."""
        return [self.settings.key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the hook may be used again afterwards."""
        with self._lock:
            if self._session:
                self._session.close()
                self._session = None

    @property
    def settings(self) -> HttpSettings:
        """Read and check the connection once.

        Raises:
            ConfigurationError: if it is missing, incomplete or unsafe.
            LookupFailedError: Airflow could not read it; a retry may help.
        """
        with self._lock:
            if self._settings is None:
                connection = find_connection(self.conn_id)
                if connection is None:
                    raise fault(self.conn_id, "does not exist")
                self._settings = read_settings(
                    connection, default_host=self.default_host, required_extras=self.required_extras
                )
            return self._settings

    def get_conn(self) -> requests.Session:
        """Return the session, created at first use and shared by threads."""
        with self._lock:
            if self._session is None:
                # Here, because parsing a DAG file imports this module but sends nothing.
                from plugins.vendor_api.transport import new_session

                self._session = new_session()
                self._session.trust_env = self.settings.trust_env
            return self._session

    def _read(
        self,
        call: Call,
        path: str | None = None,
        *,
        params: Params | None = None,
        body: object = None,
        before: Callable[[], None] | None = None,
        complete: Callable[[object], str | None] = lambda _: None,
        attempts: int = READ_ATTEMPTS,
    ) -> Any:
        """Make a call that changes nothing and return its parsed JSON, with up to `attempts` attempts.

        Retried: no connection, timeout, reset, cut body, 5xx, 3xx, 408, 429, an answer that is not JSON. The
        waits are those of `waiting.before_next_read`.

        Args:
            call: the kind of call, for messages.
            path: the path, if the template has a gap.
            params: query parameters.
            body: JSON to post, for searches.
            before: called before each attempt, e.g. a throttle's `wait`.
            complete: says what the answer lacks ("answered without data"), None if it is complete.
            attempts: 1 if a person waits for the answer.

        Raises:
            VendorApiError: after the last attempt, or at once if a retry cannot help.
        """

        def attempt() -> Any:
            if before:
                before()
            response = self._send(call, path, params=params, body=body)
            if date := _date(response.headers):
                asked_at = date - response.elapsed
                with self._lock:
                    self.asked_at = min(asked_at, self.asked_at or asked_at)
            try:
                answer = _parsed(response.content)
            except (ValueError, RecursionError):  # the second: nested without end
                # `from None`, because the parser's exception holds the whole body.
                raise self._error(BrokenAnswer, call, "answered something that is not JSON") from None
            if lack := complete(answer):
                raise self._error(BrokenAnswer, call, lack)
            return answer

        return self._retrying(attempts, NeverSent, OutcomeUnknown, RateLimited, BrokenAnswer)(attempt)

    def _retrying(self, attempts: int, *faults: type[VendorApiError]) -> Retrying:
        """Return up to so many attempts at a call that may be repeated after these faults."""
        return Retrying(
            stop=stop_after_attempt(attempts),
            wait=before_next_read,
            retry=retry_if_exception_type(faults),
            sleep=pause,
            before_sleep=self._log_retry,
            reraise=True,
        )

    def _send(
        self,
        call: Call,
        path: str | None = None,
        *,
        params: Params | None = None,
        body: object = None,
        private: Iterable[str] = (),
        read_seconds: float | None = None,
    ) -> requests.Response:
        """Send a request at most once and return its complete 2xx answer.

        `read_seconds` is how long the answer may take, unless the connection sets its `timeout`.

        Raises:
            VendorApiError: the subclass says whether the request may have been taken.
        """
        import requests  # as in `get_conn`

        from plugins.vendor_api.transport import ConnectFailed

        settings, session = self.settings, self.get_conn()
        path = path or call.path
        # The session would merge nothing else, at a fifth of the request's CPU.
        request = requests.Request(
            call.method,
            settings.base_url + path,
            headers=session.headers,
            params=params,
            json=body,
            auth=self._signer(path),
        ).prepare()
        options = session.merge_environment_settings(
            request.url, dict(settings.proxies), None, settings.verify, settings.cert
        )
        timeout = settings.timeout
        if read_seconds is not None and not settings.extra.get("timeout"):
            timeout = (timeout[0], read_seconds)
        try:
            response = session.send(request, timeout=timeout, allow_redirects=False, **options)
        except ConnectFailed as failed:
            raise self._error(
                NeverSent, call, f"was not sent: no connection to {settings.base_url} ({_reason(failed)})"
            ) from failed
        except requests.exceptions.InvalidURL as invalid:  # raised before connecting, for a malformed host or proxy
            raise fault(self.conn_id, "has a host or proxy that is not a valid address") from invalid
        except Exception as broken:
            # Once a connection exists, the vendor may have the request.
            raise self._error(
                OutcomeUnknown, call, f"was sent, but no complete answer came back ({_kind(broken)})"
            ) from broken
        return self._judge(call, response, private)

    def _judge(self, call: Call, response: requests.Response, private: Iterable[str]) -> requests.Response:
        """Return `response` if it is a 2xx, else raise the exception for its status."""
        status = response.status_code
        if 200 <= status < 300:
            return response
        signed = str(response.request.headers.get("Authorization", "")).split()[-1:]
        code, text = complaint(response.content, [*private, *self._secrets(), *signed])
        said = f"answered {status}" + "".join(f" {part}" for part in (code, text and f"({text})") if part)
        retry_after = requested_wait(status, response.headers)
        known: dict[str, Any] = {"status": status, "code": code, "text": text, "retry_after": retry_after}
        match status:
            case 401 | 403:
                raise self._error(KeyFault, call, said, self._key_advice(call, status), **known)
            case 404 | 410 if call.method == "GET" and "html" in response.headers.get("Content-Type", ""):
                # A gateway or a wrong host, not the vendor's API: it says nothing of the record.
                advice = "It proves nothing; check the connection's host."
                raise self._error(BrokenAnswer, call, f"answered {status} with a web page", advice, **known)
            case 404 | 410:
                raise self._error(NotFound, call, said, **known)
            case 429:
                raise self._error(RateLimited, call, said, "The limit is shared; try again later.", **known)
            case 408:
                raise self._error(OutcomeUnknown, call, said, **known)
            case _ if 400 <= status < 500:
                raise self._error(Refused, call, said, **known)
            case _ if 300 <= status < 400:
                advice = "Redirects are never followed; check the connection's host."
                raise self._error(OutcomeUnknown, call, said, advice, **known)
        raise self._error(OutcomeUnknown, call, said, **known)

    def _error(
        self, kind: type[VendorApiError], call: Call, what: str, advice: str = "", **known: Any
    ) -> VendorApiError:
        message = f"{self.conn_id}: {call} {what}." + (f" {advice}" if advice else "")
        return kind(message, call=str(call), **known)

    def _for_the_form(self, error: Exception) -> str:
        """Return an error's text without the connection's id: the button Test tries a copy with another id."""
        text = (
            str(error).removeprefix(f"{self.conn_id}: ").replace(f" or in AIRFLOW_CONN_{self.conn_id.upper()}", "")
        )
        for word in ("connection", "Connection"):
            text = text.replace(f"{word} {self.conn_id!r}", f"{'This' if word[0] == 'C' else 'this'} connection")
        return text

    def _log_retry(self, state: RetryCallState) -> None:
        self.log.warning(
            "%s Waiting %.1f s before attempt %d.",
            state.outcome and state.outcome.exception(),
            state.upcoming_sleep,
            state.attempt_number + 1,
        )

    def _query_of_next(self, call: Call, link: object) -> dict[str, str] | None:
        """Query of a "next page" link, to be merged into our own parameters; None if there is no next page.

        Only the query is taken: host and path of every call stay ours, whatever host the link names.

        Raises:
            BrokenAnswer: if the link is no text.
        """
        if not link:
            return None
        if not isinstance(link, str):
            raise self._error(BrokenAnswer, call, "gave a next-page link that is no text")
        return dict(parse_qsl(urlsplit(link).query))


def _parsed(content: bytes) -> Any:
    """Parse the JSON in `content`. Raises ValueError."""
    try:
        return from_json(content)  # in half the time
    except ValueError:
        return json.loads(content)  # takes more: halves of surrogate pairs, a byte order mark, UTF-16


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)


def _reason(failed: BaseException) -> str:
    """Return the innermost reason of a failed connection. Safe to show: no answer has been read yet."""
    cause: BaseException = failed.__cause__ or failed
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return without_personal_data(str(cause) or type(cause).__name__)


def _kind(broken: BaseException) -> str:
    """Return the class of the innermost exception, not its text: that may quote what the server sent."""
    while True:
        inner = getattr(broken, "reason", None) or next(
            (arg for arg in reversed(broken.args) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            return type(broken).__name__
        broken = inner
