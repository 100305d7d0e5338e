"""Instants in UTC, to the millisecond: that is how exactly Kustomer and the ledger keep them."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def utc_text(instant: datetime) -> str:
    """Return the instant as ISO 8601 with milliseconds and Z: `2026-01-05T10:00:00.000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
