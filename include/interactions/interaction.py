"""The records that travel between extraction, ledger and release."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from include.interactions.reasons import Reason


@dataclass(frozen=True, slots=True)
class Interaction:
    """One closing as extraction judged it: what the ledger keeps until the release.

    `skip` is None for an eligible interaction. A skipped one may lack what made it ineligible.
    """

    conversation_id: str
    closed_at: datetime
    due_at: datetime
    skip: Reason | None = None
    detail: str | None = None
    """A few words for people beside the reason; never personal data."""
    customer_id: str | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    agent_id: str | None = None
    agent_email: str | None = None
    agent_name: str | None = None
    tags: tuple[str, ...] = ()
    """Tag names, at most 20."""
    do_not_send: bool | None = False
    """The customer's opt-out; None: it could not be read, so nothing may be sent before it can."""
    first_due_at: datetime | None = None
    """The due time before a send window moved it: the expiry counts from it. None: it is `due_at`."""
    rule: str | None = None
    survey: Literal["count"] | None = None
    """None: a survey. `count`: counts in Stella Connect without one."""
    channel: str | None = None
    """As what Stella Connect files it, like the following; None of a skipped one, or one not recorded by rules."""
    brand: str | None = None
    language: str | None = None
    country: str | None = None
    custom_properties: Mapping[str, str] = field(default_factory=dict)
    time_zone: str | None = None
    """The customer's."""
    any_time: bool | None = None
    """A person released it outside the send window."""
    recovers_uuid: str | None = None
    """The closing after a reopening of ours: the answer that led to it. Its survey is a service recovery."""
    facts: str | None = None
    """What rules can ask about the closing: `ClosingFacts.to_text`."""

    def __post_init__(self) -> None:
        """Refuse a skipped interaction that lacks an address or an agent which its reason says it keeps.

        Readers of the ledger would take a missing one for erased.
        """
        if self.skip is None:
            return
        if (self.skip.keeps_customer and self.customer_email is None) or (
            self.skip.keeps_agent and self.agent_id is None
        ):
            raise ValueError(f"the reason {self.skip} keeps a customer or an agent that this interaction lacks")


@dataclass(frozen=True, slots=True)
class ClaimedInteraction:
    """A ledger row that this process holds: only the holder of `token` may move it on."""

    id: int
    token: str
    interaction: Interaction = field(repr=False)
    attempts: int = 0
    """POSTs tried so far, also those that provably were not sent."""
