"""Decide whether negative evidence is about interactions, or about the source that gives it.

If the same evidence would end everything that is due, it counts as a fault of the source, and nothing ends. Such
faults are a wrong host, another organisation's key, an empty list, or a channel that is not enabled.
"""

from collections.abc import Collection
from dataclasses import dataclass

MAX_REFUSALS_IN_A_ROW = 10
"""A release stops after this many refusals in a row."""
REFUSALS_TRIED_AGAIN = 3
"""After a stopped release, the next one stops after this many."""
MAX_PROBES = 3
"""Requests under way at once until Stella Connect has taken one of this release."""
MIN_SERVED_AGENTS = 2
"""The list is doubted if this many agents whose interactions were taken lately all lack a profile."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Definite refusals in a row, with nothing taken in between, from one release to the next."""

    number: int = 0

    def one_more(self) -> "Refusals":
        """Count another refusal."""
        return Refusals(self.number + 1)

    def resumed(self) -> "Refusals":
        """Return where a new release begins to count, so that it tries a few."""
        return Refusals(min(self.number, MAX_REFUSALS_IN_A_ROW - REFUSALS_TRIED_AGAIN))

    @property
    def concern_the_interaction(self) -> bool:
        """Whether the latest refusal is evidence about its interaction: others were taken right before it."""
        return self.number <= 1

    @property
    def concern_the_source(self) -> bool:
        """Whether there are so many that Stella Connect refuses everything."""
        return self.number >= MAX_REFUSALS_IN_A_ROW


def requests_at_once(senders: int, refusals: Refusals, *, taken: bool, key_in_doubt: bool) -> int:
    """Return how many requests may be under way, so that a fault of the source costs few of them.

    Args:
        senders: as many as the release has.
        refusals: in a row until now.
        taken: whether Stella Connect has taken anything from this release.
        key_in_doubt: whether a request was answered with 401 or 403 and no other one has decided yet.
    """
    if key_in_doubt:
        return 1
    if refusals.number:
        return max(1, min(senders, MAX_PROBES, MAX_REFUSALS_IN_A_ROW - refusals.number))
    return senders if taken else min(senders, MAX_PROBES)


def doubt_absence(asked: int, others_found: int) -> str | None:
    """Return why conversations of which Kustomer finds none may still exist; None if the answer can be believed.

    Args:
        asked: conversations of due interactions that were asked for together.
        others_found: how many of the conversations recorded lately it still knows.
    """
    if not asked or others_found:
        return None
    return f"finds none of {asked} conversations that are due, nor any other that was recorded lately"


def doubt_profiles(due: Collection[str], approved: Collection[str], served: Collection[str]) -> str | None:
    """Return why the list of approved profiles may be wrong; None if it can be believed.

    Args:
        due: addresses of the agents whose interactions are due, comparable.
        approved: addresses that Stella Connect lists as active, comparable.
        served: addresses of agents whose interactions it took lately, comparable.
    """
    if not due:
        return None
    if not approved:
        return "lists no active employee"
    if any(agent in approved for agent in due):
        return None
    if len(served) >= MIN_SERVED_AGENTS and not any(agent in approved for agent in served):
        return f"lists none of the {len(served)} agents whose interactions it took lately"
    known = sum(agent in served for agent in due)
    if known >= MIN_SERVED_AGENTS:
        return f"lists none of the {len(due)} agents who are due, though it took interactions of {known} lately"
    return None
