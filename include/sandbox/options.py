"""Everything about the sandbox that can be set."""

from dataclasses import dataclass, field

KUSTOMER_KEY = "kustomer-sandbox-key"
EXPIRED_KUSTOMER_KEY = "kustomer-expired-key"
STELLA_KEY = "stella-sandbox-key"
STELLA_SECRET = "stella-sandbox-secret"  # noqa: S105 - opens nothing but this sandbox

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


@dataclass(slots=True)
class Options:
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
    suppression_days: int = 0
    """Stella Connect's suppression period per customer address; 0: none."""
    stella_brands: tuple[str, ...] = ()
    """Activated brands; several: every request must name one. None: the organisation's name is the only one."""
    stella_languages: tuple[str, ...] = ()
    """Languages of the account; several: every request must name one."""
    stella_channels: tuple[str, ...] = ("phone", "chat", "email")
    accept_bearer: bool = False
    """Whether Stella Connect also takes `Bearer <JWT>`; its own documents disagree."""
    hang_seconds: float = 120.0
    """Longest time for which a hanging call is held."""
