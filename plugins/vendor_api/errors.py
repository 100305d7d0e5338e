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

A task that meets one of the two for a person should end with ``AirflowFailException``: retries cannot help.

The text of each is one line for people: connection, call, status, the vendor's code, what to do. It never
holds a key, nor a vendor's body (bodies quote customers).
"""

from __future__ import annotations


class ConfigurationError(Exception):
    """The Airflow connection is missing, incomplete or unsafe; no call was made.

    Not a `VendorApiError`: code that goes on when a vendor fails must not go on here.
    """


class VendorApiError(Exception):
    """A call to a vendor failed.

    Attributes:
        connection_id: the Airflow connection that was used.
        call: method and path template, e.g. ``GET /v1/users``.
        status: HTTP status, or None without an answer.
        code: the vendor's own error code, if there was one.
        text: the vendor's words, short and without personal data, if there were any.
        retry_after: seconds after which the vendor wants to be asked again, if it said so.
        outcome_known: whether it is certain that the vendor did, or did not, take the request.
    """

    outcome_known: bool = True

    def __init__(
        self,
        message: str,
        *,
        connection_id: str = "",
        call: str = "",
        status: int | None = None,
        code: str | None = None,
        text: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.connection_id = connection_id
        self.call = call
        self.status = status
        self.code = code
        self.text = text
        self.retry_after = retry_after


# The names below say what happened, as the operators read them; the suffix "Error" would add nothing.


class KeyFault(VendorApiError):  # noqa: N818 - see above
    """401 or 403: the key is wrong, expired, or lacks a role; nothing was taken."""


class Refused(VendorApiError):  # noqa: N818 - see above
    """A definite 4xx: this request will not be taken, however often it is sent."""


class NotFound(Refused):
    """404, or 410: there is no such record (or no such path)."""


class RateLimited(VendorApiError):  # noqa: N818 - see above
    """429: not taken; `retry_after` says when to come back, if the vendor did."""


class NeverSent(VendorApiError):  # noqa: N818 - see above
    """No connection came about (DNS, refused, connect timeout, TLS, proxy): not a byte of the request left."""


class OutcomeUnknown(VendorApiError):  # noqa: N818 - see above
    """The request may have been taken: read timeout, reset, 5xx, 3xx, 408, an unreadable or cut answer."""

    outcome_known = False


class BrokenAnswer(VendorApiError):  # noqa: N818 - see above
    """A 2xx to a read that is not JSON, lacks what it must hold, or pages in circles."""

    outcome_known = False
