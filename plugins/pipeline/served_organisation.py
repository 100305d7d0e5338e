"""Which Kustomer organisation a ledger serves: the first one it meets, until a person accepts another.

With the key of another organisation every conversation in the ledger would be "not found", and the release would
cancel what is due. So a task asks whose key it has before it reads anything else.
"""

import hashlib
import logging

from include.interactions.settings import Settings
from include.ledger import Ledger
from plugins.kustomer.hook import KustomerHook
from plugins.vendor_api.errors import ConfigurationError, KeyFault, VendorApiError

log = logging.getLogger(__name__)

SERVED = "kustomer_organisation"
"""The ledger's memory of the organisation's id."""
CHECKED_KEY = "kustomer_key_checked"
"""The ledger's memory of the host and key that were found to belong to it, as a hash."""

ACCEPTED = "kustomer_organisation_accepted"
"""The ledger's memory of the run in which a person accepted another organisation, and why."""


def refuse_other_organisation(ledger: Ledger, kustomer: KustomerHook) -> None:
    """Ask Kustomer whose key this is, and pass if the ledger serves that organisation; an empty ledger learns it.

    Raises:
        ConfigurationError: the key is another organisation's. Nothing has been read.
        VendorApiError: Kustomer did not answer, or refuses the key.
    """
    found = kustomer.read_organisation_id()
    if found is None:
        # A documented attribute is missing. That is no evidence of another organisation, and none against it.
        log.warning("Kustomer did not say to which organisation the key belongs, so it could not be checked.")
        return
    if ledger.get_fact(SERVED) is None:
        ledger.replace_fact(SERVED, None, found)  # unless another process is just doing it
    known = ledger.get_fact(SERVED)
    if known is not None and known.value != found:
        raise ConfigurationError(
            f"The key of connection {kustomer.conn_id!r} belongs to another Kustomer organisation (id {found}) "
            f"than this ledger serves (id {known.value} since {known.changed_at:%Y-%m-%d %H:%M} UTC). Nothing was "
            f"read. Put the right key into the connection's password. If the organisation has really changed, run "
            f"the action “Accept another Kustomer organisation” of interaction_ledger_admin."
        )
    ledger.set_fact(CHECKED_KEY, _fingerprint(kustomer))


def check_key(ledger: Ledger, kustomer: KustomerHook) -> None:
    """Do the same without a request if this very key has passed before: a key never changes its organisation.

    Raises:
        ConfigurationError, VendorApiError: as above.
    """
    checked = ledger.get_fact(CHECKED_KEY)
    if checked is None or checked.value != _fingerprint(kustomer):
        refuse_other_organisation(ledger, kustomer)


def check_key_before_release(ledger: Ledger, kustomer: KustomerHook, settings: Settings) -> None:
    """Do the same for a release.

    Raises:
        ConfigurationError: as above.
        VendorApiError: as above, unless `on_recheck_failure` is "send": then the release goes on.
    """
    try:
        check_key(ledger, kustomer)
    except KeyFault:
        raise
    except VendorApiError as error:
        if settings.on_recheck_failure == "hold":
            raise
        log.warning("The key's organisation could not be checked: %s", error)


def accept_organisation(
    ledger: Ledger, kustomer: KustomerHook, why: str, *, dry_run: bool
) -> dict[str, int | str | None]:
    """Let the ledger serve the organisation whose key the connection has now; `why` names the run, never a person.

    Returns:
        The ids `before` and `now`, and how many organisations were `accepted`: 0 if it served that one already.

    Raises:
        ConfigurationError: Kustomer does not say whose key it is.
        VendorApiError: Kustomer did not answer, or refuses the key.
    """
    found = kustomer.read_organisation_id()
    if found is None:
        raise ConfigurationError(
            f"Kustomer did not say to which organisation the key of connection {kustomer.conn_id!r} belongs."
        )
    known = ledger.get_fact(SERVED)
    before = known.value if known is not None else None
    if before != found and not dry_run:
        ledger.set_fact(SERVED, found)
        ledger.set_fact(ACCEPTED, why)
    return {"before": before, "now": found, "accepted": int(before != found)}


def _fingerprint(kustomer: KustomerHook) -> str:
    """Tell one host and key from another; the key cannot be found from it."""
    settings = kustomer.settings
    return hashlib.sha256(f"{settings.base_url}\n{settings.key}".encode()).hexdigest()[:32]
