"""An unhappy customer: a survey that was sent, and a bad answer to it that the ledger knows."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from pytest_httpserver import HTTPServer

from include.interactions.survey_response import SurveyResponse
from include.sandbox import KUSTOMER_KEY
from include.sandbox.changes import change_conversation
from include.sandbox.options import LIST_ROLES, WRITE_ROLES
from plugins.pipeline.recovering import LEASE, recover_unhappy_customers
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import Pipeline, run_of

TEAM, QUEUE = "6a0000000000000000000001", "6b0000000000000000000002"
WHEN = {"stars_at_most": 2}
REOPEN = {"reopen": {"team": "Second line", "priority": 5}}
THEN = {
    "note": {"text": "sorry"},
    "tag": "unhappy",
    "webhook": "recovery_chat",
    "reopen": {"team": TEAM},
}
"""What each action can say; the connection of the webhook is that of the fixture."""


@dataclass
class Recoveries:
    """The task `recover_unhappy_customers` of one installation, and what people do in between."""

    pipeline: Pipeline
    _numbers: int = field(default=0)

    def __post_init__(self) -> None:
        state = self.pipeline.sandbox.state
        held = state.kustomer_tokens[KUSTOMER_KEY] or ()
        state.kustomer_tokens[KUSTOMER_KEY] = (*held, *WRITE_ROLES, *LIST_ROLES)
        state.organisation.teams[TEAM] = "Second line"
        state.organisation.queues[QUEUE] = "Complaints"

    def answer(self, conversation: str, stars: int | None = 1, **fields: Any) -> str:
        """Let the ledger learn an answer to the latest survey of a conversation; returns its uuid."""
        self._numbers += 1
        uuid = f"00000000-0000-4000-8000-{self._numbers:012d}"
        closed = self.pipeline.query(
            "SELECT max(closed_at) AS closed_at FROM interaction WHERE conversation_id = :id AND state = 'sent'",
            id=conversation,
        )
        known = {
            "uuid": uuid,
            "sequence_id": self._numbers,
            "conversation_id": conversation,
            "closed_at": datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=closed[0].closed_at),
            "requested_via": "API",
            "request_created_at": datetime.now(UTC),
            "response_received_at": datetime.now(UTC),
            "rating": stars,
        }
        self.pipeline.ledger.feedback.record_responses([SurveyResponse(**known | fields)])
        return uuid

    def act(self, later: timedelta = timedelta()) -> dict[str, Any]:
        """Run the task, as if it were so much later."""
        with time_machine.travel(datetime.now(UTC) + later, tick=True):
            return recover_unhappy_customers(run_of(datetime.now(UTC)), DEFAULT)

    def act_after_lease(self) -> dict[str, Any]:
        """Run the task when the claim of a dead process is over."""
        return self.act(LEASE + timedelta(seconds=1))

    def close(self, conversation: str) -> tuple[datetime, datetime]:
        """Let an agent close the conversation now; returns the span in which it is found."""
        now = datetime.now(UTC)
        change_conversation(
            self.pipeline.sandbox.state, {"id": conversation, "status": "done", "closed_at": now, "updated_at": now}
        )
        return now - timedelta(hours=1), now + timedelta(seconds=1)

    def close_again(self, conversation: str) -> None:
        """Let an agent close the conversation now, and the pipeline read it and send what is due."""
        run = run_of(*self.close(conversation))
        self.pipeline.extract(run)
        self.pipeline.release_due(run)

    def steps(self) -> dict[str, str]:
        """State of each step, by action."""
        rows = self.pipeline.query("SELECT action, state FROM recovery_step ORDER BY planned_at")
        return {row.action: row.state for row in rows}

    def notes(self, conversation: str) -> list[str]:
        """The notes in Kustomer."""
        return [note.body for note in self.pipeline.sandbox.state.written.notes.get(conversation, [])]

    def effects(self, conversation: str, webhook: HTTPServer) -> dict[str, int]:
        """How often each action was done."""
        state = self.pipeline.sandbox.state
        tags = [state.organisation.tags[tag].name for tag in state.organisation.conversations[conversation].tags]
        return {
            "note": len(self.notes(conversation)),
            "tag": tags.count("unhappy"),
            "webhook": len(webhook.log),
            "reopen": state.written.updates.get(conversation, 0),
        }

    def recovered(self) -> list[str]:
        """Conversations whose service recovery Stella Connect accepted, in order."""
        return [taken.request["ext_interaction_id"] for taken in self.pipeline.sandbox.state.recoveries]
