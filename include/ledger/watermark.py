"""The span of time whose closings have all been extracted."""

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from include.interactions.span import Watermark
from include.ledger.schema import watermark

EXTRACTION = "extraction"


def read(connection: Connection) -> Watermark | None:
    """The watermark; None before the first extraction."""
    row = connection.execute(
        select(watermark.c.covered_from, watermark.c.covered_until).where(watermark.c.name == EXTRACTION)
    ).first()
    return None if row is None else Watermark(row.covered_from, row.covered_until)


def advance(connection: Connection, covered_from: datetime, covered_until: datetime) -> None:
    """Add [covered_from, covered_until) to the span, in one statement.

    Its end never moves back, and never over a gap: what lies between would not be looked for again.
    Its beginning stays as first set.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(watermark).values(name=EXTRACTION, covered_from=covered_from, covered_until=covered_until)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[watermark.c.name],
            set_={"covered_until": new.excluded.covered_until},
            where=(new.excluded.covered_until > watermark.c.covered_until)
            & (new.excluded.covered_from <= watermark.c.covered_until),
        )
    )
