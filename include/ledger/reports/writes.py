"""What was done about answers outside the ledger: writes to Kustomer, and actions after bad answers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from include.ledger.recovery_schema import recovery_step
from include.ledger.writing_schema import answer_write


@dataclass(frozen=True, slots=True)
class FollowUp:
    """One answer at one target, or one action about it."""

    name: str
    state: str
    at: datetime | None
    """When it was last tried."""
    detail: str | None


FollowUps = dict[str, list[FollowUp]]
"""By the answer's uuid."""


def writes_of(connection: Connection, uuids: Sequence[str]) -> FollowUps:
    """Return what was written to Kustomer, or waits."""
    row = answer_write.c
    return _read(connection, uuids, (row.uuid, row.target, row.state, row.last_tried, row.detail))


def recoveries_of(connection: Connection, uuids: Sequence[str]) -> FollowUps:
    """Return what the setting `recovery` did, or will do."""
    row = recovery_step.c
    return _read(connection, uuids, (row.uuid, row.action, row.state, row.acted_at, row.detail))


def _read(connection: Connection, uuids: Sequence[str], columns: Sequence[Any]) -> FollowUps:
    uuid, name, *_ = columns
    found: FollowUps = defaultdict(list)
    for key, *fields in connection.execute(select(*columns).where(uuid.in_(uuids)).order_by(uuid, name)):
        found[key].append(FollowUp(*fields))
    return dict(found)
