"""Which of a customer's e-mail addresses a survey may go to."""

from collections.abc import Iterable
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from include.interactions.records import Customer, Email

_MASKS = ("*", "•", "●", "…")
"""Kustomer can return a sensitive value masked when the key lacks "Read Sensitive" (fact sheet, section 1)."""


@lru_cache(maxsize=1024)  # an hour's thousands of closings share a few agents; a check takes 0.2 ms
def usable(address: str | None) -> str | None:
    """The address, trimmed, if a mail could be sent to it; else None.

    >>> usable(" jane@example.com ")
    'jane@example.com'
    >>> usable("j***@example.com") is None, usable("jane at example") is None
    (True, True)
    """
    address = (address or "").strip()
    if "." not in address.rpartition("@")[2] or any(mask in address for mask in _MASKS):
        return None
    try:
        # Only the form is checked, also of .test domains; whether mail arrives is Stella Connect's matter.
        validate_email(address, check_deliverability=False, globally_deliverable=False, test_environment=True)
    except EmailNotValidError:
        return None
    return address


def survey_address(emails: Iterable[Email]) -> str | None:
    """The first verified usable address, else the first usable one."""
    candidates = [(entry.verified is not True, usable(entry.email)) for entry in emails]
    found = sorted((rank for rank in candidates if rank[1] is not None), key=lambda rank: rank[0])
    return found[0][1] if found else None


def has_any(customer: Customer) -> bool:
    """Whether the customer has an address at all, usable or not."""
    return any((entry.email or "").strip() for entry in customer.emails)


def same_address(address: str) -> str:
    """The form in which two systems' addresses are compared: trimmed and case-folded."""
    return address.strip().casefold()


def greeting(customer: Customer, address: str) -> str:
    """The name in the survey's greeting: the customer's, else what is before the @.

    At most 200 characters on one line: a name can hold anything, even a pasted page.
    """
    for name in (customer.name, customer.display_name):
        if short := " ".join((name or "")[:1000].split())[:200].strip():
            return short
    return address.partition("@")[0]
