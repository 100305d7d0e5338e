"""Answers of customers in an installation's ledger, and the task that writes them to Kustomer."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from include.interactions.survey_response import SurveyResponse
from include.interactions.write_back import Target
from include.sandbox import KUSTOMER_KEY, Sandbox
from include.sandbox.options import ROLES, WRITE_ROLES
from plugins.pipeline.writing_back import write_answers
from plugins.runtime.organisations import DEFAULT
from tests.support.ledger import by_run, closing
from tests.support.pipeline import Pipeline, run_of

WRITE_BACK = {
    "conversation_attributes": {"starsNum": "stars", "answeredAt": "answered_at", "commentStr": "comment"},
    "kobject": {"klass": "survey_answer", "title": "{stars} stars", "attributes": {"starsNum": "stars"}},
    "note": {"text": "{stars} stars: {comment}"},
    "per_minute": 600,
}


def write_once() -> dict[str, Any]:
    """Run the task once; returns its counts."""
    run = run_of(datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
    return write_answers(run | {"outlet_events": defaultdict(SimpleNamespace)}, DEFAULT)  # type: ignore[arg-type]


@dataclass
class Answers:
    """Customers' answers; `uuids` leads to their conversations."""

    pipeline: Pipeline
    sandbox: Sandbox
    uuids: dict[str, str]

    @classmethod
    def of(cls, pipeline: Pipeline, sandbox: Sandbox) -> "Answers":
        """Let the key write, and switch every target on."""
        sandbox.state.kustomer_tokens[KUSTOMER_KEY] = (*ROLES, *WRITE_ROLES)
        pipeline.ledger.migrate()
        for target in Target:
            pipeline.ledger.writing.plan(target)
        return cls(pipeline, sandbox, {})

    def give(self, conversation: str, rating: int = 5, sequence: int = 1, **more: Any) -> str:
        """The customer of a conversation answers, or the answer changes; returns its uuid."""
        known = self.sandbox.state.organisation.conversations[conversation]
        closed_at = datetime.fromtimestamp((known.closed_at or 0) / 1000, UTC)
        one = replace(
            closing(len(self.uuids) + 1, closed_at=closed_at),
            conversation_id=conversation,
            customer_id=known.customer_id,
        )
        self.pipeline.ledger.extraction.record_closings([one], by_run("run"))
        uuid = more.pop("uuid", f"uuid-{conversation}")
        self.uuids[uuid] = conversation
        response = SurveyResponse(
            uuid=uuid,
            sequence_id=sequence,
            conversation_id=conversation,
            closed_at=closed_at,
            requested_via="API",
            rating=rating,
            comment=f"about {conversation}",
            **{"response_received_at": datetime.now(UTC), **more},
        )
        assert self.pipeline.ledger.feedback.record_responses([response]).changed == 1
        return uuid

    def states(self) -> dict[tuple[str, str], str]:
        """The state of each answer at each target."""
        rows = self.pipeline.query("SELECT uuid, target, state FROM answer_write")
        return {(self.uuids[row.uuid], row.target): row.state for row in rows}

    def notes(self, conversation: str) -> list[str]:
        """The notes of a conversation in Kustomer."""
        return [note.body for note in self.sandbox.state.written.notes.get(conversation, [])]

    def objects(self) -> list[tuple[str, int]]:
        """The custom objects in Kustomer: answer and stars."""
        records = self.sandbox.state.written.objects.get("survey_answer", [])
        return [(one["attributes"]["externalId"], one["attributes"]["custom"]["starsNum"]) for one in records]

    def stars(self, conversation: str) -> int | None:
        """The stars that a conversation shows in Kustomer."""
        custom = self.sandbox.state.organisation.conversations[conversation].custom or {}
        stars: int | None = custom.get("starsNum")
        return stars

    def calls(self) -> dict[str, int]:
        """The calls to Kustomer so far."""
        return {call: number for call, number in self.sandbox.state.calls.items() if "stella" not in call}
