"""Airflow's own processes killed (SIGKILL) and started again, while one window waits and another is being released.

Comes after the other tests of the running Airflow: what it leaves behind is not for them.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter

import pytest
from sqlalchemy import select

from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.schema import interaction
from include.sandbox.changes import change_conversation
from include.sandbox.faults import Fault
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.sending import SENDING_LEASE
from scripts.stack.api import FINAL_STATES
from scripts.stack.connections import DAG_ID
from scripts.stack.waiting import wait_until
from tests.support.installation import Installation
from tests.support.ledger import by_run

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

WAIT, RELEASE = "release_window.wait_until_due", "release_window.release_interactions"
OVERDUE_WINDOW, WAITING_WINDOW = 0, -1
"""The first and the last that are planned."""
OVERDUE, WAITING = 240, 12
"""Interactions that are released at once, and others that wait meanwhile."""
DELAY = timedelta(seconds=100)
"""Before the waiting ones are due."""
ANSWER_SECONDS = 3.0
"""How long Stella Connect takes for each: the release outlasts all three deaths."""
PARTS = ("triggerer", "scheduler", "api-server")
SENDERS = 8
ANOTHER = SENDERS + 1
"""So many more are accepted before the next death: each release has begun its second round of POSTs."""
IN_A_HURRY = {
    # The new scheduler takes the tasks of the dead one for dead, while they still run as orphans, and starts them
    # once more beside these. With Airflow's own patience that takes minutes.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    # A task that starts while the API server is down is lost, and stays queued so long: ten minutes by default.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
}


@dataclass(frozen=True)
class Death:
    """What was going on when a part was killed: two task instances, and how many had been accepted."""

    wait: str
    release: str
    accepted: int


@dataclass(frozen=True)
class Story:
    """Three deaths, and what is known of the interactions when all has run again."""

    deaths: dict[str, Death]
    overdue: set[str]
    waiting: set[str]
    states: dict[str, str]
    due: dict[str, datetime]
    accepted: list[tuple[str, datetime]]

    def check_the_promise(self, conversations: set[str]) -> None:
        """At most one POST each, none early; each sent or under review; what was taken is not called otherwise."""
        unknown = {one for one in conversations if self.states[one] == State.UNKNOWN}
        sent = {one for one in conversations if self.states[one] == State.SENT}
        accepted = Counter(one for one, _ in self.accepted if one in conversations)
        assert sent | unknown == conversations
        assert len(unknown) <= len(PARTS) * SENDERS
        assert set(accepted.values()) == {1}
        assert sent <= accepted.keys()
        assert all(at >= self.due[one] for one, at in self.accepted if one in conversations)


@pytest.fixture(scope="module")
def story(installation: Installation) -> Story:
    stack, api, state = installation.stack, installation.api, installation.sandbox.state

    def close(number: int, closed_at: datetime) -> set[str]:
        closed = {"closed_at": closed_at, "updated_at": closed_at}
        return {change_conversation(state, dict(closed)).id for _ in range(number)}

    def run() -> str:
        return installation.trigger(
            now - 3 * DELAY, now, seconds_until_send=int(DELAY.total_seconds()), max_senders=SENDERS
        )

    def state_of(run_id: str, task_id: str, window: int) -> str:
        windows = [one for one in installation.tasks(run_id) if one["task_id"] == task_id]
        return str(sorted(windows, key=itemgetter("map_index"))[window]["state"])

    def accepted(number: int) -> bool:
        return len(state.received) >= number

    def others_have_ended() -> bool:
        """The one by the clock, too, which begins when the DAG is unpaused for the first time."""
        states = {one["state"] for one in api.runs(DAG_ID)}
        return bool(states) and states <= FINAL_STATES

    api.set_paused(DAG_ID, paused=False)
    wait_until(others_have_ended, "all other runs to end", 120)
    now, before = datetime.now(UTC), len(state.received)
    overdue, waiting = close(OVERDUE, now - 2 * DELAY), close(WAITING, now - timedelta(seconds=1))
    state.faults.active = [Fault("slow", "/v1/requests", seconds=ANSWER_SECONDS)]
    run_id = run()
    wait_until(lambda: state_of(run_id, WAIT, WAITING_WINDOW) == "deferred", "a window to wait", 120)
    stack.env |= IN_A_HURRY
    deaths: dict[str, Death] = {}
    for number, part in enumerate(PARTS, 1):
        wait_until(partial(accepted, before + number * ANOTHER), "a release under way", 60, every=0.05)
        deaths[part] = Death(
            state_of(run_id, WAIT, WAITING_WINDOW),
            state_of(run_id, RELEASE, OVERDUE_WINDOW),
            len(state.received) - before,
        )
        stack.kill(part)
        stack.start(part)
    stack.wait_healthy()
    state.faults.replace([])
    # Three deaths may cost three tries, which wait 30, 60 and 120 s.
    wait_until(lambda: state_of(run_id, RELEASE, OVERDUE_WINDOW) in FINAL_STATES, "the release to end", 420)

    engine = connect(f"sqlite:///{stack.home}/ledger.db")
    Ledger(engine, lambda: datetime.now(UTC) + LEASE + SENDING_LEASE).releasing.recover(
        by=by_run("time, as it passes")
    )
    for each in (run_id, run()):
        installation.wait(each)
    with engine.connect() as connection:
        rows = connection.execute(select(interaction)).all()
    engine.dispose()
    return Story(
        deaths,
        overdue,
        waiting,
        {row.conversation_id: row.state for row in rows},
        {row.conversation_id: row.due_at for row in rows},
        [
            (one.request["ext_interaction_id"], datetime.fromtimestamp(one.received_at, UTC))
            for one in state.received[before:]
        ],
    )


@pytest.mark.parametrize("part", PARTS)
class TestKilled:
    def test_during_a_wait_it_makes_nothing_early_double_or_lost(self, story: Story, part: str) -> None:
        assert story.deaths[part].wait == "deferred"
        story.check_the_promise(story.waiting)

    def test_during_a_release_it_makes_nothing_double_or_lost(self, story: Story, part: str) -> None:
        assert story.deaths[part].release == "running"
        assert 0 < story.deaths[part].accepted < OVERDUE
        story.check_the_promise(story.overdue)
