"""Choose and normalise e-mail addresses."""

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

import idna

from include.interactions.records import Customer, Email
from include.interactions.text import is_invisible, is_masked, one_line, trimmed

_PLAIN = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
"""The part before the @ in nearly every address: well-formed, unless too long."""
MAX_CHARACTERS = 254
"""A longer address is never well-formed."""
MAX_NAME_CHARACTERS = 200

_AUTOMATIC = frozenset(
    ["autoreply", "autoresponder", "bounce", "bounces", "daemon", "nobody", "postmaster", "root", "devnull"]
)
_AUTOMATIC_BEGINNINGS = ("noreply", "donotreply", "dontreply", "mailerdaemon")


@lru_cache(maxsize=4096)  # few agents close many conversations
def usable(address: str | None) -> str | None:
    """Return the address in its normal form if mail could be sent to it, else None.

    The normal form is trimmed; beyond ASCII it is NFC, with the domain in the ASCII form of the DNS.

    >>> usable(" jane@example.com "), usable("jane@bücher.example")
    ('jane@example.com', 'jane@xn--bcher-kva.example')
    >>> usable("j***@example.com") is None, usable("jane at example") is None
    (True, True)
    """
    address = (address or "").strip()
    if len(address) > MAX_CHARACTERS:
        return None
    address = trimmed(address)
    local, _, domain = address.rpartition("@")
    if is_masked(address) or (not address.isascii() and any(map(is_invisible, local))):
        return None
    # Of a plain part before the @ only its length matters, so that an hour's customers share a few checks.
    alike = f"{'x' * len(local)}@{domain}" if _PLAIN.fullmatch(local) else address
    ascii_domain = _domain_if_well_formed(alike)
    if ascii_domain is None or "." not in ascii_domain:
        return None
    return address if address.isascii() else f"{local}@{ascii_domain}"


@lru_cache(maxsize=4096)  # a check takes up to 0.2 ms
def _domain_if_well_formed(address: str) -> str | None:
    from email_validator import EmailNotValidError, validate_email  # here: parsing a DAG file checks no address

    try:
        # Only the form is checked, also for .test domains. Stella Connect sees whether mail arrives.
        checked = validate_email(
            address, check_deliverability=False, globally_deliverable=False, test_environment=True
        )
    except EmailNotValidError:
        return None
    return checked.ascii_domain


def survey_addresses(emails: Iterable[Email]) -> list[str]:
    """Return the usable addresses: verified ones first, then in Kustomer's order."""
    candidates = [(entry.verified is not True, usable(entry.email)) for entry in emails]
    return [address for _, address in sorted(candidates, key=lambda candidate: candidate[0]) if address is not None]


def is_automatic(address: str) -> bool:
    """Tell by the part before the @ whether a machine uses this address, not a person.

    >>> is_automatic("No-Reply+4711@example.com"), is_automatic("noreen@example.com")
    (True, False)
    """
    name = re.sub("[-._]", "", address.rpartition("@")[0].partition("+")[0].casefold())
    return name in _AUTOMATIC or name.startswith(_AUTOMATIC_BEGINNINGS)


def has_any(customer: Customer) -> bool:
    """Tell whether the customer has any address, usable or not."""
    return any((entry.email or "").strip() for entry in customer.emails)


def are_all_masked(customer: Customer) -> bool:
    """Tell whether Kustomer masks all of the customer's addresses."""
    given = [entry.email for entry in customer.emails if (entry.email or "").strip()]
    return bool(given) and all(is_masked(address) for address in given if address)


@lru_cache(maxsize=16384)
def same_address(address: str) -> str:
    """Return the form for comparing addresses: trimmed, NFC, case-folded, the domain in ASCII.

    >>> same_address(" José@Bücher.example ") == same_address("jose\u0301@xn--bcher-kva.example")
    True
    """
    address = trimmed(address).casefold()
    if address.isascii():
        return address
    local, at, domain = unicodedata.normalize("NFC", address).rpartition("@")
    with suppress(idna.IDNAError, UnicodeError):  # no domain: compared as it is
        domain = idna.encode(domain, uts46=True).decode("ascii")
    return f"{local}{at}{domain}"


def greeting(customer: Customer, address: str) -> str:
    """Return the name for the survey's greeting: the customer's, else the part before the @.

    At most 200 characters on one line, because a name can hold anything, even a pasted page or only invisible
    characters.
    """
    for name in (customer.name, customer.display_name):
        if short := one_line((name or "")[:1000], MAX_NAME_CHARACTERS):
            return short
    return address.partition("@")[0]
