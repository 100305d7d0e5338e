"""What was written of answers to Kustomer."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from include.interactions.write_back import Target, WriteState
from include.ledger.writing_schema import answer_write


@dataclass(frozen=True, slots=True)
class Write:
    """One answer at one target."""

    target: Target
    state: WriteState
    last_tried: datetime | None
    detail: str | None


def writes_of(connection: Connection, uuids: Sequence[str]) -> dict[str, list[Write]]:
    """Return what was written, or waits, by the answer's uuid."""
    row = answer_write.c
    found = connection.execute(
        select(row.uuid, row.target, row.state, row.last_tried, row.detail)
        .where(row.uuid.in_(uuids))
        .order_by(row.uuid, row.target)
    )
    writes = defaultdict(list)
    for uuid, target, state, last_tried, detail in found:
        writes[uuid].append(Write(Target(target), WriteState(state), last_tried, detail))
    return dict(writes)
