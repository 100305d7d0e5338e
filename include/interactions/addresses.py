"""Which of a customer's e-mail addresses a survey may go to."""

import re
from collections.abc import Iterable
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from include.interactions.records import Customer, Email

_MASKED = re.compile("[*•●…]")
"""Kustomer can return a sensitive value masked when the key lacks "Read Sensitive" (fact sheet, section 1)."""

_PLAIN = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
"""What is before the @ in nearly every address: well-formed, unless too long."""
_LONGEST = 254
"""Characters; a longer address is never well-formed."""


def usable(address: str | None) -> str | None:
    """The address, trimmed, if a mail could be sent to it; else None.

    >>> usable(" jane@example.com ")
    'jane@example.com'
    >>> usable("j***@example.com") is None, usable("jane at example") is None
    (True, True)
    """
    address = (address or "").strip()
    local, _, domain = address.rpartition("@")
    if len(address) > _LONGEST or "." not in domain or _MASKED.search(address):
        return None
    # Of a plain part before the @ only its length matters, so that an hour's customers share a few checks.
    alike = f"{'x' * len(local)}@{domain}" if _PLAIN.fullmatch(local) else address
    return address if _well_formed(alike) else None


@lru_cache(maxsize=4096)  # a check takes up to 0.2 ms
def _well_formed(address: str) -> bool:
    try:
        # Only the form is checked, also of .test domains; whether mail arrives is Stella Connect's matter.
        validate_email(address, check_deliverability=False, globally_deliverable=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


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
