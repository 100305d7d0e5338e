"""Everything about the sandbox that can be set."""

from dataclasses import dataclass, field
from typing import Any

from include.sandbox.turned import TURNABLE, TurnedReadings

KUSTOMER_KEY = "kustomer-sandbox-key"
EXPIRED_KUSTOMER_KEY = "kustomer-expired-key"
OTHER_KUSTOMER_KEY = "kustomer-other-organisation-key"
"""Valid, but of another organisation, in which there is nothing."""
RULES_KUSTOMER_KEY = "kustomer-rules-key"
"""As the sandbox's key, with the roles that rules need in addition."""
WRITING_KUSTOMER_KEY = "kustomer-writing-key"
"""As the sandbox's key, with the roles that `write_back` and `recovery` need in addition."""
STELLA_KEY = "stella-sandbox-key"
STELLA_SECRET = "stella-sandbox-secret-of-33-bytes"  # noqa: S105 - opens nothing but this sandbox

ROLES = (
    "org.permission.search",
    "org.permission.conversation.read",
    "org.permission.customer.read",
    "org.permission.user.read",
    "org.permission.tag.read",
)
"""Roles of the Kustomer key: just what the pipeline needs."""
LIST_ROLES = tuple(f"org.permission.{name}.read" for name in ("brand", "queue", "team", "sub_status", "schedule"))
"""Further roles that rules, mapping and send windows can need."""
WRITE_ROLES = (
    "org.permission.conversation.update",
    "org.permission.bulk.read",
    "org.permission.note.read",
    "org.permission.note.create",
    "org.permission.kobject.read",
    "org.permission.kobject.create",
    "org.permission.kobject.update",
)
"""Further roles that writing to Kustomer needs."""
CHANNELS = ("phone", "chat", "email")
"""Channels of a new Stella Connect account."""


@dataclass(slots=True)
class Options(TurnedReadings):
    """Settings of a running sandbox; limits are calls per minute, 0 is no limit."""

    host: str = "127.0.0.1"
    kustomer_port: int = 0
    """0: any free port."""
    stella_port: int = 0
    kustomer_roles: tuple[str, ...] = field(default=ROLES)
    search_per_minute: int = 100
    org_per_minute: int = 1000
    data_per_minute: int = 100
    limit_window_seconds: float = 60.0
    """Length of the "minute" of the limits, so that a test need not wait a real one."""
    retry_after: bool = False
    """Whether a 429 carries `Retry-After`; the vendors do not promise it."""
    index_lag_seconds: float = 0.0
    """How long Kustomer's search shows a changed conversation as it was before."""
    visibility_lag_seconds: float = 0.0
    """How long an accepted request is missing from Data Return."""
    repeated_share: float = 0.02
    """Share of a search page's rows that the next page shows again."""
    answered_share: float = 0.35
    """Share of the sent surveys that customers answer."""
    answer_after_seconds: float = 60.0
    changed_share: float = 0.1
    """Share of the answers that change later: up to three stars get disputed, others get a second comment."""
    change_after_seconds: float = 60.0
    """How long after the answer."""
    suppression_days: int = 0
    """Stella Connect's suppression period per customer address; 0: none."""
    stella_brands: tuple[str, ...] = ()
    """Activated brands; several: every request must name one. None: the organisation's name is the only one."""
    stella_languages: tuple[str, ...] = ()
    """Languages of the account; several: every request must name one."""
    stella_channels: tuple[str, ...] = CHANNELS
    """Enabled channels; none: every POST is refused."""
    accept_bearer: bool = False
    """Whether Stella Connect also takes `Bearer <JWT>`; its own documents disagree."""
    mask_emails: bool = False
    """Whether the Kustomer key lacks "Read Sensitive" for addresses: each comes back masked."""
    mask_custom: bool = False
    """The same for the values of custom attributes."""
    show_deleted: bool = False
    """Whether a read by id returns what is deleted, with `deleted: true`, instead of 404."""
    generic_links: bool = False
    """Whether Kustomer's links name the generic host instead of being paths."""
    overcounted_rows: int = 0
    """How many rows more than it returns a search for conversations counts."""
    post_seconds: float = 0.0
    """How long an accepted POST keeps its caller waiting."""
    slow_post_every: int = 0
    """Each so many-th POST waits for `slow_post_seconds` instead; 0: none."""
    slow_post_seconds: float = 90.0
    klasses: tuple[str, ...] = ("survey_answer",)
    """Kustomer's classes of custom objects."""
    bulk_seconds: float = 0.0
    """How long Kustomer takes for a bulk job."""
    hang_seconds: float = 120.0
    """Longest time for which a hanging call is held."""


CHANGEABLE = {
    "mask_emails": bool,
    "mask_custom": bool,
    "show_deleted": bool,
    "generic_links": bool,
    "overcounted_rows": int,
    "stella_channels": tuple,
    "stella_brands": tuple,
    "stella_languages": tuple,
    "post_seconds": float,
    "slow_post_every": int,
    "slow_post_seconds": float,
    "visibility_lag_seconds": float,
    **TURNABLE,
}
"""What `POST /_sandbox/options` may change while the sandbox runs, and the kind of each."""


def change_options(options: Options, given: Any) -> None:
    """Set some options. Raises ValueError or TypeError naming what is wrong, with nothing changed then."""
    if not isinstance(given, dict) or set(given) - set(CHANGEABLE):
        raise ValueError(f"an object with some of {', '.join(CHANGEABLE)} is needed, not {given!r:.80}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        kind = CHANGEABLE[name]
        if kind is tuple and isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            values[name] = tuple(value)
        elif type(value) is kind or (kind is float and type(value) is int):
            values[name] = value
        else:
            raise TypeError(f"{name} must be a {'list of texts' if kind is tuple else kind.__name__}")
    for name, value in values.items():
        setattr(options, name, value)
