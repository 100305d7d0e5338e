"""Readings contradicted: other answers that the vendors' documents allow.

Each switch is one answer to a question of `docs/vendors.md` that this project does not expect.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from include.sandbox.kustomer.errors import KustomerError
from include.sandbox.model import Conversation, Customer, Json


@dataclass(slots=True)
class TurnedReadings:
    """Options of a running sandbox; by default nothing is turned."""

    refused_attribute: str = ""
    """The search refuses this attribute."""
    whole_seconds: bool = False
    """The search's index knows only whole seconds of a closing."""
    late_closings: int = 0
    """So many of the newest closings are missing from the next search for conversations, but from no later one."""
    hide_assignees: bool = False
    """Conversations name no assigned users."""
    merge_mark: str = "mergedInto"
    """The attribute that a conversation has after it was merged into another."""
    hide_by_id: bool = False
    """A read by id finds no conversation."""
    max_listed: int = 0
    """A list of ids is answered with so many records at most; 0: with all."""
    unknown_id_status: int = 404
    """The answer to a single unknown id."""
    unmarked_deleted: bool = False
    """A read by id shows a deleted conversation as if it were not deleted."""
    hide_customers: bool = False
    """The search finds no customers."""
    hide_users: bool = False
    """Kustomer knows no users, neither in lists nor by id."""
    require_bearer: bool = False
    """Stella Connect takes only `Bearer <JWT>`."""
    next_page_in_path: bool = False
    """`next_page` of the employees names the place in its path, not in its query."""
    ignore_status: bool = False
    """The list of employees ignores the filter by status."""
    data_newest_first: bool = False
    """Data Return lists the newest record first."""
    data_without_ids: bool = False
    """Data Return repeats neither `ext_interaction_id` nor custom properties."""


TURNABLE: dict[str, type] = {field.name: type(field.default) for field in fields(TurnedReadings)}
"""The switches by name, with the kind of each."""


def turn_conversation(record: Json, options: TurnedReadings) -> None:
    """Change a record as the switches say, if it is a conversation's."""
    if not options.hide_assignees and options.merge_mark == "mergedInto":
        return
    attributes = record["attributes"]
    if options.hide_assignees and "lastDone" in attributes:
        attributes["assignedUsers"] = []
        attributes["lastDone"] = {**attributes["lastDone"], "assignedUsers": []}
    if options.merge_mark != "mergedInto" and "mergedInto" in attributes:
        attributes[options.merge_mark] = attributes.pop("mergedInto")


def refuse_attribute(body: Json, options: TurnedReadings) -> None:
    """Refuse a search for the attribute that the switch names."""
    if options.refused_attribute and options.refused_attribute in json.dumps(body):
        raise KustomerError(400, f"unknown attribute {options.refused_attribute}", "/and")


def as_compared(conversation: Conversation, options: TurnedReadings) -> Conversation:
    """Return the conversation with the times that the search compares."""
    if not options.whole_seconds or conversation.closed_at is None:
        return conversation
    return replace(conversation, closed_at=conversation.closed_at // 1000 * 1000)


def turn_found(
    found: Sequence[Conversation | Customer], context: str, options: TurnedReadings
) -> Sequence[Conversation | Customer]:
    """Omit what the switches hide from a search."""
    if context == "customer":
        return () if options.hide_customers else found
    if not options.late_closings:
        return found
    closed = sorted(
        (conversation for conversation in found if isinstance(conversation, Conversation)),
        key=lambda conversation: conversation.closed_at or 0,
    )
    late = {conversation.id for conversation in closed[-options.late_closings :]}
    options.late_closings = 0
    return [conversation for conversation in found if conversation.id not in late]
