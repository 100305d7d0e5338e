"""The demo's result: what the simulator of Stella Connect received, compared with what it should have."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import Engine, select

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.utc import EPOCH
from include.ledger.reports.scores import Group, Scores, scores_by
from include.ledger.schema import interaction
from scripts.stack.ports import loopback_session

_DIFFERENCES = {
    "missing": "never arrived",
    "unexpected": "should not have arrived",
    "duplicates": "arrived more than once",
    "wrong_content": "arrived with a wrong agent, customer or do-not-send mark",
}
"""The sandbox's name of each difference, and its words for people."""


@dataclass(frozen=True)
class Result:
    """The comparison. Only the due times and our skip reasons come from our code, all else from the sandbox."""

    run_state: str
    expected: int
    """How many conversations had to be sent."""
    expected_skips: Counter[str]
    received: dict[str, datetime]
    """Conversation id to the instant its (first) request was accepted."""
    difference: dict[str, list[str]]
    """Conversation ids that went wrong, by the keys of `_DIFFERENCES`."""
    due_at: dict[str, datetime]
    skipped: Counter[str]
    feedback_state: str
    """Of the run that reads the answers."""
    answers: Scores
    recovery_state: str
    """Of the run after conversations with a bad answer were reopened and closed again."""
    reopened: int
    recoveries: int
    """Service recoveries that were accepted."""

    @classmethod
    def read(
        cls,
        engine: Engine,
        sandbox_url: str,
        run_state: str,
        feedback_state: str,
        recovery_state: str,
        reopened: int,
    ) -> Self:
        """Ask the sandbox and the ledger."""
        expected = _get(f"{sandbox_url}/_sandbox/expected")
        accepted = _get(f"{sandbox_url}/_sandbox/received")["accepted"]
        with engine.connect() as connection:
            rows = connection.execute(
                select(
                    interaction.c.conversation_id,
                    interaction.c.due_at,
                    interaction.c.state,
                    interaction.c.reason,
                ).where(interaction.c.recovers_uuid.is_(None))
            ).all()
            tomorrow = datetime.now(UTC) + timedelta(days=1)
            by_day = scores_by(connection, Group.DAY, EPOCH, tomorrow)
        return cls(
            run_state=run_state,
            feedback_state=feedback_state,
            answers=sum(by_day.values(), Scores()),
            recovery_state=recovery_state,
            reopened=reopened,
            recoveries=_get(f"{sandbox_url}/_sandbox/received?limit=0")["counts"]["recoveries"],
            expected=len(expected["sent"]),
            # The sandbox also holds conversations that never were a closing; the ledger does not know them.
            expected_skips=Counter(
                {reason: number for reason, number in expected["reasons"].items() if reason in list(Reason)}
            ),
            received={
                entry["request"]["ext_interaction_id"]: datetime.fromisoformat(entry["received_at"])
                for entry in reversed(accepted)
            },
            difference=expected["difference"],
            due_at={row.conversation_id: row.due_at for row in rows},
            skipped=Counter(row.reason for row in rows if row.state in (State.SKIPPED, State.CANCELLED)),
        )

    def lateness_seconds(self) -> list[float]:
        """Return, sorted, how long after its due time each request arrived; negative is early."""
        return sorted(
            (at - self.due_at[id_]).total_seconds() for id_, at in self.received.items() if id_ in self.due_at
        )

    @property
    def early(self) -> int:
        """How many arrived before they were due."""
        return sum(1 for seconds in self.lateness_seconds() if seconds < 0)

    def faults(self) -> list[str]:
        """Return what went wrong, in words; empty if the sandbox received exactly what it should have."""
        faults = [
            f"{len(ids)} {_DIFFERENCES.get(kind, kind)}, for example {ids[0]}"
            for kind, ids in self.difference.items()
            if ids
        ]
        if self.run_state != "success":
            faults.append(f"the run ended as {self.run_state}")
        if self.feedback_state != "success":
            faults.append(f"the feedback run ended as {self.feedback_state}")
        elif not self.answers.answered:
            faults.append("no answer was read")
        if self.recovery_state != "success":
            faults.append(f"the run for the recoveries ended as {self.recovery_state}")
        elif self.recoveries != self.reopened:
            faults.append(f"{self.reopened} conversations were reopened, {self.recoveries} recoveries arrived")
        if self.early:
            faults.append(f"{self.early} arrived early")
        return faults


def _get(url: str) -> Any:
    with loopback_session() as http:
        response = http.get(url, timeout=30)
        response.raise_for_status()
        return response.json()
