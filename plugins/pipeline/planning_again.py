"""The action *Plan again*: read ended closings and their people again from Kustomer, and plan what may be sent."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from include.interactions.actor import Actor
from include.interactions.settings import Settings
from include.interactions.span import Span
from include.interactions.states import State
from include.ledger import ActionRefusedError, Ledger
from include.ledger.batches import batches
from include.ledger.planning_again import EndedFilter
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.extraction import Extraction
from plugins.pipeline.served_organisation import refuse_other_organisation
from plugins.runtime.run_context import canonical_line

log = logging.getLogger(__name__)

MAX_CLOSINGS = 10_000
"""How many closings one action looks at; the oldest first, so the next one continues."""


def plan_skipped_again(ledger: Ledger, kustomer: KustomerHook, settings: Settings, span: Span, by: Actor) -> None:
    """Plan the skipped closings of a span again if extraction, asked today, would plan them."""
    chosen = EndedFilter(closed_from=span.closed_from, closed_until=span.closed_to, state=State.SKIPPED)
    try:
        counts = plan_again(ledger, kustomer, settings, chosen, by, "judge_again", dry_run=False)
    except ActionRefusedError:
        counts = {"planned": 0}
    log.info(canonical_line("judged_again", counts))


def plan_again(
    ledger: Ledger,
    kustomer: KustomerHook,
    settings: Settings,
    chosen: EndedFilter,
    by: Actor,
    why: str,
    *,
    dry_run: bool,
) -> Mapping[str, Any]:
    """Plan ended interactions again if extraction, asked today, would plan them.

    Returns:
        Counts: `planned`, `unknown`, `left` (judged as skipped, or changed meanwhile) and `unread`. `by_reason`
        counts the planned ones by former reason, `left_by_reason` the others by new reason.

    Raises:
        ActionRefusedError: no interaction fits the filters.
        VendorApiError: Kustomer cannot be read.
    """
    ended = ledger.admin.list_ended(chosen, MAX_CLOSINGS)
    if not ended:
        raise ActionRefusedError(
            "No interaction fits these filters. Sent, unknown, erased and replaced ones are never planned again; "
            "those that a person cancelled only if “Ended for” says by_hand."
        )
    refuse_other_organisation(ledger, kustomer)
    extraction = Extraction(kustomer, settings, ledger.extraction, by)
    counts: Counter[str] = Counter()
    former: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for some in batches(ended):
        judged = extraction.judge_again([(ended.conversation_id, ended.closed_at) for ended in some])
        reasons = {ended.conversation_id: ended.why for ended in some}
        counts.update(ledger.admin.plan_again(judged, by, why, dry_run=dry_run))
        counts["unread"] += len(some) - len(judged)
        former.update(reasons[interaction.conversation_id] for interaction in judged if interaction.skip is None)
        refused.update(str(interaction.skip) for interaction in judged if interaction.skip is not None)
    return {**counts, "by_reason": dict(former), "left_by_reason": dict(refused)}
