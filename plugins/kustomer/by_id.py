"""Reads many records by id, so that one broken record costs only itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from plugins.vendor_api.errors import (
    BrokenAnswer,
    KeyFault,
    NotFound,
    OutcomeUnknown,
    Refused,
    VendorApiError,
)
from plugins.vendor_api.hook import READ_ATTEMPTS

log = logging.getLogger(__name__)

Record = dict[str, Any]
"""One JSON:API object: type, id, attributes, relationships. Every part is optional and nullable."""

MAX_IDS_PER_CALL = 100  # section 5: the maximum is unknown; this keeps a URL below 3,000 characters
ATTEMPTS_APART = 2
"""Attempts for a part of a list that failed."""
MAX_SILENT_LEVELS = 2
"""If a list, its halves and its quarters all fail, Kustomer is down; single records are not the cause."""

ReadList = Callable[[Sequence[str], int], dict[str, Record]]
"""One call for a list of ids, with its number of attempts; returns the records that came, by id."""


@dataclass(slots=True)
class RecordsById:
    """The result of reading by id. An id in neither part does not exist (any more)."""

    found: dict[str, Record] = field(default_factory=dict)
    unreadable: dict[str, VendorApiError] = field(default_factory=dict)
    """Ids for which the call fails although it works for others."""
    missing: set[str] = field(default_factory=set)

    @property
    def has_answers(self) -> bool:
        """Whether Kustomer answered for any id."""
        return bool(self.found or self.missing)


def read_by_id(read_list: ReadList, ids: Iterable[str]) -> RecordsById:
    """Read the records, up to 100 a call.

    It is not documented how Kustomer answers a list with an unknown id, so missing ids are read alone. A list that
    fails is halved until the broken records are alone.

    Raises:
        VendorApiError: Kustomer answers for none of the ids, the key is unknown (401), or the answer is 429.
    """
    wanted, result = list(dict.fromkeys(ids)), RecordsById()
    for start in range(0, len(wanted), MAX_IDS_PER_CALL):
        _read_lists(read_list, wanted[start : start + MAX_IDS_PER_CALL], result)
    return result


def may_concern_one_record(error: VendorApiError) -> bool:
    """Tell whether a failed read may be the fault of the record, not of Kustomer or the key."""
    if isinstance(error, KeyFault):
        return error.status != 401
    return isinstance(error, Refused | OutcomeUnknown | BrokenAnswer)


def _read_lists(read_list: ReadList, wanted: Sequence[str], result: RecordsById) -> None:
    """Read a list, then level by level its failed parts (in halves) and its missing ids (alone)."""
    lists, attempts = [wanted], READ_ATTEMPTS
    for level in range(len(wanted) + 1):
        failed: list[tuple[Sequence[str], VendorApiError]] = []
        absent: list[Sequence[str]] = []
        for ids in lists:
            try:
                absent += [[id_] for id_ in _read_list(read_list, ids, attempts, result)]
            except VendorApiError as error:
                if not may_concern_one_record(error):
                    raise
                failed.append((ids, error))
        lists = absent
        for ids, fault in failed:
            is_silent = not result.has_answers and (level >= MAX_SILENT_LEVELS or len(ids) == 1)
            if is_silent and not isinstance(fault, Refused):
                raise fault
            lists += _halve(ids, fault, result)
        if not lists:
            return
        attempts = ATTEMPTS_APART


def _halve(ids: Sequence[str], error: VendorApiError, result: RecordsById) -> list[Sequence[str]]:
    """Return the halves of a list that failed; a single id is left out."""
    if len(ids) == 1:
        log.warning("%s Record %s is left out.", error, ids[0])
        result.unreadable[ids[0]] = error
        return []
    log.warning("%s Reading these %d records in halves.", error, len(ids))
    return [ids[: len(ids) // 2], ids[len(ids) // 2 :]]


def _read_list(read_list: ReadList, ids: Sequence[str], attempts: int, result: RecordsById) -> list[str]:
    """Make one call; return the missing ids, which must be read alone."""
    try:
        found = read_list(ids, attempts)
    except NotFound:
        if len(ids) > 1:
            raise
        found = {}
    result.found |= found
    absent = [id_ for id_ in ids if id_ not in found]
    if len(ids) > 1:
        return absent
    for id_ in absent:
        log.info("Record %s does not exist (any more).", id_)
        result.missing.add(id_)
    return []
