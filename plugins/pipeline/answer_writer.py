"""Writes customers' answers to Kustomer, one target after the other.

At least once, and never twice on a timer: before anything is written, the writer looks whether it is there already.
A note whose outcome is unknown and that does not show waits for a person.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.interactions.records import Conversation, read_conversation
from include.interactions.write_back import (
    Kobject,
    Target,
    WriteBack,
    WriteState,
    content_hash,
    content_of,
    note_marker,
)
from include.ledger import Ledger
from include.ledger.writing import DueWrite
from plugins.kustomer.by_id import Record
from plugins.kustomer.calls import CREATE_KOBJECT
from plugins.kustomer.hook import KustomerHook
from plugins.kustomer.writing import MAX_UPDATES_PER_CALL
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.vendor_api.errors import (
    BrokenAnswer,
    KeyFault,
    NotFound,
    OutcomeUnknown,
    Refused,
    VendorApiError,
)
from plugins.vendor_api.waiting import pause

log = logging.getLogger(__name__)

MIN_BULK = 5
"""From so many updates on a bulk job saves calls: one to order it, one or more to wait, one to look."""
BULK_WAITS = (1, 2, 4, 8, 15, 15, 15)
"""Seconds between looks at a bulk job. If it takes longer, the next run looks again."""
NOTE_GRACE = timedelta(hours=1)
"""A note in doubt may still show until then."""
MAX_UNKNOWN_IN_A_ROW = 3
"""After so many unknown outcomes in a row Kustomer is down."""
MAX_REFUSALS = 5
"""After so many refusals with nothing written the fault is the setting's, not the answers'."""
MAX_TRIES = 10
"""An answer whose outcome stays unknown fails after so many tries, if others are written meanwhile."""
MAX_PROBED_CONVERSATIONS = 20


class TargetStoppedError(Exception):
    """Nothing more can be written to this target in this run; the message says why."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A write with its content."""

    write: DueWrite
    content: Mapping[str, Any]

    @property
    def conversation_id(self) -> str:
        return self.write.answer.conversation_id


class AnswerWriter:
    """Writes what is due to one target until `until`.

    Attributes:
        counts: `written`, `unchanged`, `gone`, `failed`.
    """

    def __init__(
        self,
        ledger: Ledger,
        kustomer: KustomerHook,
        write_back: WriteBack,
        target: Target,
        *,
        until: datetime,
        may_bulk: bool = True,
    ) -> None:
        self._ledger = ledger
        self._kustomer = kustomer
        self._write_back = write_back
        self._target = target
        self._until = until
        self._may_bulk = may_bulk
        self._began = datetime.now(UTC)
        self._refused: list[tuple[DueWrite, str]] = []
        self._unanswered: list[DueWrite] = []
        self._unknown_in_a_row = 0
        self.counts: Counter[str] = Counter()

    def write(self) -> None:
        """Write batch after batch.

        Raises:
            TargetStoppedError: a role, a class or an attribute is missing; what is due stays pending.
            VendorApiError: Kustomer is down, or the key is unknown.
        """
        try:
            while self._has_time() and (
                due := self._ledger.writing.list_due(self._target, MAX_UPDATES_PER_CALL, self._began)
            ):
                begun = retry_ledger(self._ledger.writing.begin, due)
                jobs = self._look(self._find_changed(begun))
                if self._target is Target.ATTRIBUTES:
                    self._write_attributes(jobs)
                else:
                    self._write_each(jobs)
        finally:
            self._fail_hopeless()

    def _has_time(self) -> bool:
        return datetime.now(UTC) < self._until

    def _find_changed(self, writes: Iterable[DueWrite]) -> list[_Job]:
        """Return what must be written; the rest is settled without a call."""
        jobs = []
        for write in writes:
            content = content_of(write.answer.with_link(self._kustomer.web_url), self._write_back, self._target)
            if self._target is Target.ATTRIBUTES and write.replaced:
                self._settle(write, WriteState.WRITTEN, "unchanged", detail="a later answer counts")
            elif content_hash(content) == write.content_hash:
                self._settle(write, WriteState.WRITTEN, "unchanged")
            else:
                jobs.append(_Job(write, content))
        return jobs

    def _look(self, jobs: Sequence[_Job]) -> list[tuple[_Job, Record]]:
        """Return the jobs whose conversation still exists; the others are settled as gone."""
        ids = [job.conversation_id for job in jobs]
        records = self._kustomer.read_conversations(ids)
        if jobs and not records and not self._finds_others(ids):
            raise TargetStoppedError(
                f"Kustomer finds none of {len(ids)} conversations, nor any other that was recorded lately."
            )
        here = []
        for job in jobs:
            record = records.get(job.conversation_id)
            found = read_conversation(record) if record else None
            if record is None:
                self._settle(job.write, WriteState.GONE, "gone", detail="no longer in Kustomer")
            elif isinstance(found, Conversation) and found.deleted:
                self._settle(job.write, WriteState.GONE, "gone", detail="deleted in Kustomer")
            elif isinstance(found, Conversation) and found.merged_away:
                self._settle(job.write, WriteState.GONE, "gone", detail="merged into another conversation")
            elif record:  # otherwise it exists, but cannot be read now: the next run looks again
                here.append((job, record))
        return here

    def _finds_others(self, ids: Sequence[str]) -> bool:
        others = self._ledger.releasing.list_latest_conversations(ids, MAX_PROBED_CONVERSATIONS)
        return bool(others and self._kustomer.read_conversations(others))

    # --- conversation attributes

    def _write_attributes(self, jobs: Sequence[tuple[_Job, Record]]) -> None:
        missing = self._settle_shown(jobs)
        if len(missing) >= MIN_BULK and self._may_bulk:
            missing = self._write_in_bulk(missing)
        for job in missing:
            if not self._has_time():
                return
            with self._trying(job.write):
                self._kustomer.update_conversation(job.conversation_id, job.content)
                self._settle_written(job)

    def _settle_shown(self, jobs: Sequence[tuple[_Job, Record]]) -> list[_Job]:
        """Settle what Kustomer holds, whoever wrote it; return the other jobs."""
        written, missing = [], []
        for job, record in jobs:
            if _holds(record, job.content):
                written.append((job.write, content_hash(job.content)))
            else:
                missing.append(job)
        self.counts["written"] += retry_ledger(self._ledger.writing.settle_written, written)
        return missing

    def _write_in_bulk(self, jobs: Sequence[_Job]) -> list[_Job]:
        """Write many at once; return those that were not taken, to be tried alone.

        What a job in doubt has done shows in the conversations, so nothing is read from its own results.
        """
        with self._trying(jobs[0].write):
            try:
                bulk = self._kustomer.update_conversations({job.conversation_id: job.content for job in jobs})
            except Refused:
                return list(jobs)
            if bulk is not None and self._wait_for(bulk):
                records = self._kustomer.read_conversations([job.conversation_id for job in jobs])
                return self._settle_shown([(job, records.get(job.conversation_id, {})) for job in jobs])
        return []  # the next run looks

    def _wait_for(self, bulk: str) -> bool:
        for seconds in BULK_WAITS:
            if self._kustomer.is_bulk_complete(bulk):
                return True
            pause(seconds)
        return self._kustomer.is_bulk_complete(bulk)

    # --- custom objects and notes

    def _write_each(self, jobs: Sequence[tuple[_Job, Record]]) -> None:
        for job, _ in jobs:
            if not self._has_time():
                return
            with self._trying(job.write):
                if self._write_back.kobject is not None and self._target is Target.KOBJECT:
                    self._write_kobject(job, self._write_back.kobject)
                else:
                    self._write_note(job)

    def _write_kobject(self, job: _Job, setting: Kobject) -> None:
        """Create the object, or bring it up to date; its `externalId` is unique at Kustomer."""
        uuid = job.write.answer.uuid
        found, object_id = self._kustomer.find_kobject(setting.klass, uuid), None
        if found is None:
            try:
                object_id = self._kustomer.create_kobject(setting.klass, job.content)
            except Refused:
                found = self._kustomer.find_kobject(setting.klass, uuid)
                if found is None:
                    raise
        if found is not None:
            object_id = str(found.get("id"))
            if not _holds(found, job.content):
                changes = {name: job.content[name] for name in ("title", "custom")}
                self._kustomer.update_kobject(setting.klass, object_id, changes)
        self._settle_written(job, object_id)

    def _write_note(self, job: _Job) -> None:
        write = job.write
        if (note_id := self._find_note(job)) is not None:
            self._settle_written(job, note_id)
        elif write.doubtful_since is not None:
            if datetime.now(UTC) - write.doubtful_since >= NOTE_GRACE:
                words = "unknown whether Kustomer took the note, and it does not show"
                self._settle(write, WriteState.FAILED, "failed", detail=words)
        elif retry_ledger(self._ledger.writing.start_note, write):
            try:
                note_id = self._kustomer.create_note(job.conversation_id, job.content["body"])
            except VendorApiError as error:
                if error.outcome_known:  # certainly not taken
                    self._settle(write, WriteState.PENDING)
                raise
            self._settle_written(job, note_id)

    def _find_note(self, job: _Job) -> str | None:
        marker = note_marker(job.write.answer.uuid)
        for note in self._kustomer.list_notes(job.conversation_id):
            if marker in str((note.get("attributes") or {}).get("body")):
                return str(note.get("id"))
        return None

    # --- outcomes

    @contextmanager
    def _trying(self, write: DueWrite) -> Iterator[None]:
        """Decide whether a failure concerns one answer, the target, or everything."""
        try:
            yield
        except KeyFault as error:
            if error.status == 401:
                raise
            raise TargetStoppedError(str(error)) from error
        except NotFound as error:
            if error.call == str(CREATE_KOBJECT):
                raise TargetStoppedError(
                    f"{error} The class of the setting write_back.kobject does not exist."
                ) from error
            log.info("%s Answer %s: the next run looks again.", error, write.answer.uuid)
        except Refused as error:
            self._refused.append((write, f"Kustomer refused it: {error.status} {error.code or ''}".strip()))
            if len(self._refused) >= MAX_REFUSALS and not self.counts["written"]:
                raise TargetStoppedError(f"Kustomer refuses every answer: {error}") from error
        except (OutcomeUnknown, BrokenAnswer) as error:
            log.warning("%s Answer %s: the next run looks again.", error, write.answer.uuid)
            self._unanswered.append(write)
            self._unknown_in_a_row += 1
            if self._unknown_in_a_row >= MAX_UNKNOWN_IN_A_ROW:
                raise
        else:
            self._unknown_in_a_row = 0

    def _fail_hopeless(self) -> None:
        """Give up answers that Kustomer refuses, or for which it never answers, while it takes others."""
        if self.counts["written"]:
            for write, words in self._refused:
                self._settle(write, WriteState.FAILED, "failed", detail=words)
            for write in self._unanswered:
                if write.tries >= MAX_TRIES and write.doubtful_since is None:
                    self._settle(write, WriteState.FAILED, "failed", detail="Kustomer does not answer for it")

    def _settle_written(self, job: _Job, object_id: str | None = None) -> None:
        self._settle(
            job.write, WriteState.WRITTEN, "written", content_hash=content_hash(job.content), object_id=object_id
        )

    def _settle(self, write: DueWrite, state: WriteState, counted_as: str | None = None, **values: Any) -> None:
        if retry_ledger(self._ledger.writing.settle, write, state, **values) and counted_as:
            self.counts[counted_as] += 1


def _holds(record: Record, content: Mapping[str, Any]) -> bool:
    """Whether a record of Kustomer holds these custom attributes."""
    custom = (record.get("attributes") or {}).get("custom")
    held = custom if isinstance(custom, Mapping) else {}
    return all(held.get(name) == value for name, value in content["custom"].items())
