"""Closings, clocks and work for other processes, as the ledger's tests need them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier

from include.interactions.actor import Actor
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.ledger import Ledger, connect

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEASE = timedelta(minutes=5)
REQUEST = {
    "channel": "email",
    "customer": {"name": "Customer", "email": "customer@example.com"},
    "employee": {"email": "Agent@Example.com"},
}
"""A request, as far as the ledger and its readers ask."""


def closing(
    number: int = 1,
    *,
    closed_at: datetime = NOON,
    delay: timedelta = timedelta(hours=1),
    skip: Reason | None = None,
    agent_email: str = "agent@example.com",
) -> Interaction:
    """The closing of conversation `number`, in every field unlike the next number's."""
    return Interaction(
        conversation_id=f"{number:024x}",
        closed_at=closed_at,
        due_at=closed_at + delay,
        skip=skip,
        customer_id=f"customer-{number}",
        customer_name=f"Customer {number}",
        customer_email=f"customer{number}@example.com",
        agent_id="agent-1",
        agent_email=agent_email,
        agent_name="Agent",
        tags=("billing", "späte Antwort"),
        do_not_send=number % 2 == 0,
    )


def by_run(run_id: str) -> Actor:
    """Who acts in a test: a run of this name."""
    return Actor(dag_id="a_dag", run_id=run_id)


@dataclass
class Clock:
    """A clock that stands until it is told otherwise."""

    time: datetime = NOON

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **duration: float) -> None:
        """Let time pass."""
        self.time += timedelta(**duration)


_together: Barrier


def start_together(barrier: Barrier) -> None:
    """Initialise a worker process: `together` will wait at this barrier."""
    global _together
    _together = barrier


def together(work: Callable[..., object], *arguments: object) -> object:
    """Do the work in the same moment as the other processes."""
    _together.wait(60)
    return work(*arguments)


def migrate(url: str) -> None:
    """Migrate as a process of its own does."""
    Ledger(connect(url)).migrate()


def record(url: str, numbers: list[int]) -> int:
    """Record these conversations' closings; returns how many were new."""
    return (
        Ledger(connect(url))
        .extraction.record_closings([closing(number) for number in numbers], by_run("race"))
        .planned
    )


def claim_all(url: str, now: datetime, limit: int) -> list[int]:
    """Claim until nothing is left; returns the row ids."""
    ledger = Ledger(connect(url), lambda: now)
    claimed: list[int] = []
    while batch := ledger.releasing.claim(NOON, now, limit, LEASE, by_run("race")):
        claimed += [one.id for one in batch]
    return claimed
