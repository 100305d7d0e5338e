"""The task that writes answers to Kustomer in a process of its own, which dies at a named point."""

from collections.abc import Mapping

from include.ledger.writing import WritingStore
from plugins.kustomer.hook import KustomerHook
from tests.support.answers import write_once
from tests.support.release_process import AFTER, BEFORE, PLACES, Hit, _prepare

STEPS = {
    "before the plan": (WritingStore, "plan", BEFORE),
    "after the plan": (WritingStore, "plan", AFTER),
    "before the try is committed": (WritingStore, "begin", BEFORE),
    "after the try is committed": (WritingStore, "begin", AFTER),
    "after the look at the conversations": (KustomerHook, "read_conversations", AFTER),
    "before an update": (KustomerHook, "update_conversation", BEFORE),
    "after an update": (KustomerHook, "update_conversation", AFTER),
    "before a bulk job": (KustomerHook, "update_conversations", BEFORE),
    "after a bulk job": (KustomerHook, "update_conversations", AFTER),
    "while a bulk job is worked off": (KustomerHook, "is_bulk_complete", BEFORE),
    "after the look-up of an object": (KustomerHook, "find_kobject", AFTER),
    "before an object is created": (KustomerHook, "create_kobject", BEFORE),
    "after an object is created": (KustomerHook, "create_kobject", AFTER),
    "after the look at the notes": (KustomerHook, "list_notes", AFTER),
    "before a note is in doubt": (WritingStore, "start_note", BEFORE),
    "before a note is created": (KustomerHook, "create_note", BEFORE),
    "after a note is created": (KustomerHook, "create_note", AFTER),
    "before the outcome is committed": (WritingStore, "settle", BEFORE),
    "after the outcome is committed": (WritingStore, "settle", AFTER),
}
"""Where the process can die."""
PLACES.update(STEPS)


def write_answers_until_hit(environment: Mapping[str, str], hit: Hit) -> None:
    """Write what is due as a task does, and die at the point."""
    _prepare(environment)
    hit.prepare()
    write_once()
