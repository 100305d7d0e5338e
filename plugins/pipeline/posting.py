"""The request of one interaction, made in a separate thread that decides and writes nothing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from include.interactions.interaction import ClaimedInteraction
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import KeyFault, VendorApiError


class Suspect(NamedTuple):
    """An interaction that was answered with 401 or 403: the key is refused, or only its content."""

    claimed: ClaimedInteraction
    fault: KeyFault
    refused_before: datetime | None
    """When it first got such an answer; None: it never did."""


class Begun(NamedTuple):
    """How things stood when a request began."""

    suspect: Suspect | None
    refusals: int
    """In a row until then."""
    pauses: int
    """Pauses until then."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A request that is under way; `sending` is committed."""

    claimed: ClaimedInteraction
    request: Mapping[str, Any]
    leave_before: datetime
    begun: Begun
    began_at: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""


class Answer(NamedTuple):
    """What became of a request."""

    posting: Posting
    late_seconds: float
    status: int | None = None
    """Of an answer that says it was taken."""
    fault: VendorApiError | None = None
    not_sent: str | None = None
    """Why we did not send it after all."""


def post(stella_connect: StellaConnectHook, posting: Posting) -> Answer:
    """Look at the clock again and send the request."""
    due_at, now = posting.claimed.interaction.due_at, datetime.now(UTC)
    late = (now - due_at).total_seconds()
    if now < due_at:  # the clock was set back since the claim
        return Answer(posting, late, not_sent="not due any more")
    if now >= posting.leave_before:
        # Stopped (a debugger, a suspended machine) between the commit and here: others may count the lease as over.
        # Nothing has left, and only we can know it.
        return Answer(posting, late, not_sent="lease over before the POST")
    try:
        return Answer(posting, late, status=stella_connect.send(posting.request))
    except VendorApiError as fault:
        return Answer(posting, late, fault=fault)
