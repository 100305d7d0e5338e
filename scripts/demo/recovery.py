"""What follows bad answers in the demo: reopened conversations are closed again, and get a service recovery."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select

from include.interactions.recovery import StepState
from include.ledger.recovery_schema import is_reopening, recovery_step
from scripts.stack.connections import DAG_ID
from scripts.stack.ports import loopback_session
from scripts.stack.stack import Stack

UNHAPPY: dict[str, Any] = {
    "name": "unhappy customer",
    "when": {"stars_at_most": 1},
    "then": {
        "note": {"text": "{stars} star: {comment}"},
        "tag": "unhappy",
        "reopen": {"queue": "5d0000000000000000000001", "priority": 5},
    },
}
"""An entry of the setting `recovery`."""


def list_reopened(engine: Engine) -> list[str]:
    """List the conversations that the pipeline reopened after a bad answer."""
    done = select(recovery_step.c.conversation_id).where(is_reopening, recovery_step.c.state == StepState.DONE)
    with engine.connect() as connection:
        return list(connection.execute(done).scalars())


def close_again(stack: Stack, sandbox_url: str, conversation_ids: list[str]) -> str:
    """Let agents close these conversations, and a manual run send what follows; return the run's final state."""
    now = datetime.now(UTC)
    closed_at = (now - timedelta(seconds=1)).isoformat()
    changes = [{"id": id_, "status": "done", "closed_at": closed_at} for id_ in conversation_ids]
    with loopback_session() as http:
        http.post(f"{sandbox_url}/_sandbox/conversations", json=changes, timeout=30).raise_for_status()
    conf = {"start": (now - timedelta(minutes=1)).isoformat(), "end": now.isoformat(), "seconds_until_send": 0}
    return stack.api.wait_for_run(DAG_ID, stack.api.trigger_run(DAG_ID, conf))
