"""The calls that write to Kustomer (fact sheet, sections 8 and 8.1), and those that look at what was written.

A write is repeated only if Kustomer provably did not take it: no connection, or 429. After any other failure the
caller must look before it writes again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugins.kustomer.api import KustomerApi, attributes_of, id_of, path_of, rows_of
from plugins.kustomer.by_id import Record
from plugins.kustomer.calls import (
    ADD_TAGS,
    BULK,
    CREATE_KOBJECT,
    CREATE_NOTE,
    FIND_KOBJECT,
    NOTES,
    UPDATE_CONVERSATION,
    UPDATE_CONVERSATIONS,
    UPDATE_KOBJECT,
)
from plugins.vendor_api.errors import NeverSent, NotFound, RateLimited
from plugins.vendor_api.hook import READ_ATTEMPTS, Call

MAX_UPDATES_PER_CALL = 100
NOTES_PAGE_SIZE = 100


class WritingCalls(KustomerApi):
    """One method per call.

    All raise VendorApiError:

    - `NotFound`: the record, or a custom object's class, does not exist
    - `Refused`: Kustomer will never take this value
    - `OutcomeUnknown`: Kustomer may have taken the write
    """

    def update_conversation(self, conversation_id: str, changes: Mapping[str, Any]) -> None:
        """Set attributes of a conversation, such as `custom`, `status`, `priority`, `assignedTeams`.

        `tags` would replace the whole list: use `add_tags`.
        """
        self._write(UPDATE_CONVERSATION, path_of(UPDATE_CONVERSATION, id=conversation_id), dict(changes))

    def update_conversations(self, changes: Mapping[str, Mapping[str, Any]]) -> str | None:
        """Set attributes of up to 100 conversations, by id, in one call.

        Kustomer works later: `is_bulk_complete` tells when. What became of each conversation must be read there.

        Returns:
            The id of the bulk job; None if the answer does not tell it.
        """
        body = [{"id": id_, **change} for id_, change in changes.items()]
        return self._write(UPDATE_CONVERSATIONS, None, body)

    def is_bulk_complete(self, bulk_id: str) -> bool:
        """Tell whether Kustomer has completed a bulk job."""
        job = next(iter(rows_of(self._get(BULK, path_of(BULK, id=bulk_id)))), {})
        return "complete" in (attributes_of(job).get("status"), job.get("status"))

    def add_tags(self, conversation_id: str, names: Sequence[str]) -> None:
        """Add tags by name to those that the conversation has; Kustomer creates a tag that it does not know."""
        self._write(ADD_TAGS, path_of(ADD_TAGS, id=conversation_id), list(names))

    def list_notes(self, conversation_id: str) -> list[Record]:
        """Return the notes of a conversation, raw."""
        path = path_of(NOTES, id=conversation_id)
        return [row for answer in self._pages(NOTES, {}, NOTES_PAGE_SIZE, path=path) for row in rows_of(answer)]

    def create_note(
        self,
        conversation_id: str,
        body: str,
        *,
        external_id: str | None = None,
        mentions: Sequence[Mapping[str, str]] = (),
    ) -> str | None:
        """Add a note of at most 10,240 characters; returns its id, None if the answer does not tell it.

        Kustomer takes a second note with the same `external_id`, our own: read `list_notes` first. `mentions` are
        users and teams, as `{"user": id}` or `{"team": id}`.
        """
        note: dict[str, Any] = {"body": body}
        if external_id:
            note["externalId"] = external_id
        if mentions:
            note["userMentions"] = [dict(mention) for mention in mentions]
        return self._write(CREATE_NOTE, path_of(CREATE_NOTE, id=conversation_id), note)

    def find_kobject(self, klass: str, external_id: str) -> Record | None:
        """Return the custom object with that `externalId`; None if there is none, or no such class."""
        try:
            answer = self._get(FIND_KOBJECT, path_of(FIND_KOBJECT, name=klass, external_id=external_id))
        except NotFound:
            return None
        return next(iter(rows_of(answer)), None)

    def create_kobject(self, klass: str, attributes: Mapping[str, Any]) -> str | None:
        """Create a custom object from `title`, `externalId`, `customer`, `custom` …; return its id, if given."""
        return self._write(CREATE_KOBJECT, path_of(CREATE_KOBJECT, name=klass), dict(attributes))

    def update_kobject(self, klass: str, kobject_id: str, attributes: Mapping[str, Any]) -> None:
        """Set attributes of a custom object."""
        self._write(UPDATE_KOBJECT, path_of(UPDATE_KOBJECT, name=klass, id=kobject_id), dict(attributes))

    def _write(self, call: Call, path: str | None, body: object) -> str | None:
        """Make a throttled call that changes something; return the id in its answer, if there is one."""

        def attempt() -> str | None:
            self._all_calls.wait()
            response = self._send(call, path, body=body)
            try:
                answer = response.json()
            except (ValueError, RecursionError):
                return None  # taken, whatever the body is
            data = answer.get("data") if isinstance(answer, dict) else None
            return id_of(data) if isinstance(data, dict) else None

        return self._retrying(READ_ATTEMPTS, NeverSent, RateLimited)(attempt)
