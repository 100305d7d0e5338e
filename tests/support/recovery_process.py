"""The tasks that act on an unhappy answer in processes of their own, which die at a named point."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import time_machine

from include.ledger import extraction
from include.ledger.extraction import ExtractionStore
from include.ledger.recovering import RecoveryStore
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.recovering import recover_unhappy_customers
from plugins.runtime.organisations import DEFAULT
from plugins.runtime.webhook import AlarmWebhookHook
from tests.support.pipeline import Pipeline, run_of
from tests.support.release_process import AFTER, BEFORE, PLACES, Hit, _prepare

WRITES = {
    "note": (KustomerHook, "create_note"),
    "tag": (KustomerHook, "add_tags"),
    "webhook": (AlarmWebhookHook, "send"),
    "reopen": (KustomerHook, "update_conversation"),
}
"""How each action is taken, in the order of the actions."""
PLACES.update(
    {
        "before the steps are planned": (RecoveryStore, "plan", BEFORE),
        "after the steps are planned": (RecoveryStore, "plan", AFTER),
        "before the claim": (RecoveryStore, "claim", BEFORE),
        "after the claim": (RecoveryStore, "claim", AFTER),
        "after the look at the notes": (KustomerHook, "list_notes", AFTER),
        "after the look at the conversation": (KustomerHook, "read_conversations", AFTER),
        "before the outcome": (RecoveryStore, "settle", BEFORE),
        "after the outcome": (RecoveryStore, "settle", AFTER),
        "before the closing is committed": (extraction, "mark_recoveries", AFTER),
        "after the closing is committed": (ExtractionStore, "record_closings", AFTER),
        **{f"before the {action}": (*place, BEFORE) for action, place in WRITES.items()},
        **{f"after the {action}": (*place, AFTER) for action, place in WRITES.items()},
    }
)


def recover_until_hit(environment: Mapping[str, str], hit: Hit, later: timedelta = timedelta()) -> None:
    """Take the steps that are open, as if it were so much later, and die at the point."""
    _prepare(environment)
    hit.prepare()
    with time_machine.travel(datetime.now(UTC) + later, tick=True):
        recover_unhappy_customers(run_of(datetime.now(UTC)), DEFAULT)  # type: ignore[arg-type] # as far as it looks


def extract_until_hit(
    environment: Mapping[str, str], ledger_url: str, start: datetime, end: datetime, hit: Hit
) -> None:
    """Extract the closings of a span, and die at the point."""
    _prepare(environment)
    hit.prepare()
    Pipeline(None, ledger_url).extract(run_of(start, end))  # type: ignore[arg-type] # the sandbox is not asked
