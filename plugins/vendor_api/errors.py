"""Exceptions named by what the caller may do next.

    ConfigurationError    the Airflow connection is unusable        → a person must act
    VendorApiError
    ├── KeyFault          401 / 403                                 → a person must act
    ├── Refused           any other definite 4xx                    → do not repeat this call
    │   └── NotFound      404 / 410
    ├── RateLimited       429: not taken                            → again, `retry_after` seconds later
    ├── NeverSent         the connection was never made             → may be repeated, nothing left this machine
    ├── OutcomeUnknown    sent, no definite answer                  → a write must be looked up, never repeated
    └── BrokenAnswer      2xx, but not the JSON we need (reads)     → may be read again

If a person must act, the task should end with ``AirflowFailException``: retries cannot help.

Each text is one line for people: connection, call, status, the vendor's code, what to do. It never holds a key or a
vendor's body, because bodies quote customers.
"""

from __future__ import annotations


class ConfigurationError(Exception):
    """The Airflow connection is missing, incomplete or unsafe; no call was made.

    Not a `VendorApiError`: code that continues after a vendor's failure must not continue after this.
    """


class VendorApiError(Exception):
    """A call to a vendor failed.

    Attributes:
        call: method and path template, e.g. ``GET /v1/users``.
        status: HTTP status, or None without an answer.
        code: the vendor's error code, or None.
        text: the vendor's words, short and without personal data, or None.
        retry_after: seconds that the vendor asks to wait, or None.
        outcome_known: whether it is certain that the vendor took, or did not take, the request.
    """

    outcome_known: bool = True

    def __init__(
        self,
        message: str,
        *,
        call: str = "",
        status: int | None = None,
        code: str | None = None,
        text: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.call = call
        self.status = status
        self.code = code
        self.text = text
        self.retry_after = retry_after


# The names say what happened; the suffix "Error" would add nothing.


class KeyFault(VendorApiError):  # noqa: N818 - see above
    """401 or 403: the key is wrong, expired, or lacks a role; nothing was taken."""


class Refused(VendorApiError):  # noqa: N818 - see above
    """A definite 4xx: the vendor will never take this request."""


class NotFound(Refused):
    """404 or 410: the record (or the path) does not exist."""


class RateLimited(VendorApiError):  # noqa: N818 - see above
    """429: not taken; `retry_after` says when to try again, if the vendor said so."""


class NeverSent(VendorApiError):  # noqa: N818 - see above
    """The connection failed (DNS, refused, connect timeout, TLS, proxy): no byte of the request was sent."""


class OutcomeUnknown(VendorApiError):  # noqa: N818 - see above
    """The request may have been taken: read timeout, reset, 5xx, 3xx, 408, an unreadable or cut answer."""

    outcome_known = False


class BrokenAnswer(VendorApiError):  # noqa: N818 - see above
    """A 2xx answer to a read that is not JSON, lacks required content, or repeats pages."""

    outcome_known = False
