"""The setting `cap`: how many surveys a customer gets within some days."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from include.interactions.addresses import same_address
from include.interactions.setting_types import SettingPart

KEY_BYTES = 32
_KEY_LETTERS = 32
"""Of the hash's 64: 128 bits, so that no two customers of any organisation share one by chance."""


class Cap(SettingPart):
    """At most `surveys` for one address within `days`."""

    surveys: Annotated[int, Field(strict=True, ge=1, le=1000)]
    days: Annotated[int, Field(strict=True, ge=1, le=3650)]
    per_brand: Annotated[bool, Field(strict=True)] = False
    """Count each brand separately."""
    over: Literal["count", "skip"] = "count"
    """Over the cap: counted in Stella Connect without a survey, or skipped."""
    prefer: Literal["first", "latest"] = "first"
    """Of several closings that wait at the same time: the one that falls due first, or the latest closing."""

    @property
    def span(self) -> timedelta:
        """The time in which surveys count."""
        return timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Capped:
    """No survey now."""

    next_possible_at: datetime | None
    """When the oldest survey that counts no longer does; None: a later closing of the customer is surveyed."""

    @property
    def detail(self) -> str:
        """The detail beside the reason."""
        if self.next_possible_at is None:
            return "a later closing of this customer is surveyed instead"
        return f"next survey possible from {self.next_possible_at:%Y-%m-%d %H:%M} UTC"


def check_cap(cap: Cap, asked_at: Iterable[datetime], *, later_waits: bool, now: datetime) -> Capped | None:
    """None if there may be a survey now, else when the next one may be.

    Args:
        cap: the setting.
        asked_at: when surveys were sent, or may have been sent, to this customer (and brand, if counted by brand).
        later_waits: a later closing of the customer waits for its own survey.
        now: when this one would be sent. A survey counts for `days` from its instant on, which is included.
    """
    counted = sorted((at for at in asked_at if at > now - cap.span), reverse=True)
    if len(counted) >= cap.surveys:
        return Capped(counted[cap.surveys - 1] + cap.span)
    if cap.prefer == "latest" and later_waits:
        return Capped(None)
    return None


def customer_key(secret: bytes, address: str) -> str:
    """Return the keyed hash by which a customer is recognised once the address is erased."""
    normalised = same_address(address).encode()
    return hmac.new(secret, normalised, hashlib.sha256).hexdigest()[:_KEY_LETTERS]
