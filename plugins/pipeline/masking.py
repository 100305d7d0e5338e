"""Masked addresses: a key without "Read Sensitive" must not end the interactions of all customers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from airflow.sdk.exceptions import AirflowException

from include.interactions.addresses import are_all_masked, has_any
from include.interactions.records import Customer
from include.ledger import Ledger
from plugins.pipeline.messages import Alarm, raise_alarm
from plugins.runtime.organisations import Organisation

MIN_MASKED = 3
"""Fewer customers than this are judged one by one, even if all their addresses are masked."""
FACT = "masked_addresses"
"""The ledger's fact: how many masked addresses the last extraction met; empty if it could read some."""


class AddressesMaskedError(Exception):
    """Kustomer masks the addresses of all customers, which says nothing about any of them."""


class MaskingCheck:
    """Checks whether a run can read any address at all.

    Attributes:
        has_seen_address: whether it could.
    """

    def __init__(self) -> None:
        self.has_seen_address = False
        self._masked = 0

    def check(self, customers: Iterable[Customer | None]) -> None:
        """Look at these customers' addresses.

        Raises:
            AddressesMaskedError: every address that the run has met is masked.
        """
        if self.has_seen_address:
            return
        for customer in customers:
            if customer is not None and has_any(customer):
                if are_all_masked(customer):
                    self._masked += 1
                else:
                    self.has_seen_address = True
        if self._masked >= MIN_MASKED and not self.has_seen_address:
            raise AddressesMaskedError(str(self._masked))


@contextmanager
def report_masking(ledger: Ledger, organisation: Organisation) -> Iterator[None]:
    """Turn the error into an alarm and a failed attempt; the key may have changed by the next attempt."""
    try:
        yield
    except AddressesMaskedError as error:
        ledger.set_fact(FACT, str(error))
        alarm = _alarm(str(error), organisation)
        raise_alarm(ledger, alarm, datetime.now(UTC))
        raise AirflowException(alarm.text) from None


def note_readable_addresses(ledger: Ledger) -> None:
    """End the alarm: addresses can be read."""
    fact = ledger.get_fact(FACT)
    if fact is not None and fact.value:
        ledger.set_fact(FACT, "")


def masked_addresses(ledger: Ledger, organisation: Organisation) -> Alarm | None:
    """Return the alarm while it is active."""
    fact = ledger.get_fact(FACT)
    return _alarm(fact.value, organisation) if fact and fact.value else None


def _alarm(masked: str, organisation: Organisation) -> Alarm:
    return Alarm(
        "masked_addresses",
        f"Kustomer masks all e-mail addresses ({masked} of {masked}). Nothing was recorded, so nothing "
        f"is lost: the next run reads these closings again. Put a key that may read sensitive values (“Read "
        f"Sensitive”) into the connection {organisation.kustomer_connection}.",
    )
