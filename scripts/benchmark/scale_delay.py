"""A delay of seven days at 10,000 interactions an hour: how many triggers wait, and what they weigh."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from include.ledger import connect
from include.ledger.columns import EPOCH, MILLISECOND
from scripts.benchmark import plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import HOUR, installation
from scripts.benchmark.usage import mebibytes
from scripts.stack.cluster import Cluster, Vendors
from scripts.stack.connections import DAG_ID
from scripts.stack.processes import session_members
from scripts.stack.stack import SETTINGS_VARIABLE
from scripts.stack.waiting import wait_until

MOST_TRIGGERS = 90
PER_HOUR = 10_000
DELAY = timedelta(days=7)
HANDOVER = timedelta(minutes=15)


def measure(*, quick: bool) -> Iterator[Figure]:
    """Fill the ledger with what waits; start the run of this hour beside the rest of the hour before."""
    per_hour = PER_HOUR // 100 if quick else PER_HOUR
    waiting = int(DELAY / HOUR) * per_hour
    with (
        installation(0) as here,
        Cluster(
            here.home / "cluster",
            Vendors(here.sandbox.kustomer_url, here.sandbox.stella_url),
            extra={"KUSTOMER_STELLA_SCHEDULE": "0 0 1 1 *"},  # its run is waited for before anything is planned
        ) as cluster,
    ):
        api = cluster.api
        api.set_variable(SETTINGS_VARIABLE, {"seconds_until_send": int(DELAY.total_seconds())})
        api.wait_for_dag(DAG_ID)
        api.set_paused(DAG_ID, paused=False)
        wait_until(lambda: api.runs(DAG_ID), "the scheduled run", 120)
        api.wait_for_run(DAG_ID, api.runs(DAG_ID)[0]["dag_run_id"], 300)
        before = _memory(cluster)
        now = datetime.now(UTC)
        _fill(cluster, waiting, per_hour, now, plain.an_employee(here.sandbox))
        began = time.monotonic()
        # Where two hourly runs meet: the one has its last quarter before it, the other an hour and a quarter.
        for end in (now - HOUR, now):
            conf = {"start": (end - HOUR).isoformat(), "end": end.isoformat()}
            api.trigger_run(DAG_ID, conf)
        most = _most_triggers(cluster)
        seconds = time.monotonic() - began
        after = _memory(cluster)
    yield Figure(
        "delay",
        f"triggers in flight with {waiting:,} interactions waiting, two hourly runs at their handover",
        f"{most}",
        f"≤ {MOST_TRIGGERS}",
        most <= MOST_TRIGGERS,
        f"{int(DELAY.total_seconds()) // 60:,} if a run waited for its whole delay; {waiting:,} with one for each "
        "interaction (worked out)",
        f"{per_hour:,} an hour for {DELAY.days} days, PostgreSQL. Two triggerers: {before:.0f} MiB before, "
        f"{after:.0f} MiB with the triggers. All were waiting {seconds:.0f} s after the runs' trigger.",
    )


def _memory(cluster: Cluster) -> float:
    sessions = {member.process.pid for member in cluster.of("airflow-triggerer")}
    return mebibytes(process.pid for process in session_members(sessions))


def _most_triggers(cluster: Cluster) -> int:
    """The number of triggers when the last sensor has deferred."""

    def settled() -> int:
        with cluster.database("airflow") as airflow:
            rows = airflow.execute(
                "SELECT coalesce(state, 'none'), count(*) FROM task_instance WHERE task_id LIKE '%%wait_until_due'"
                " AND map_index >= 0 GROUP BY 1"
            )
            states = dict(rows.fetchall())
            triggers = airflow.execute("SELECT count(*) FROM trigger").fetchone()
        moving = sum(states.get(state, 0) for state in ("none", "scheduled", "queued", "running"))
        seen.append(triggers[0] if triggers else 0)
        return 1 if states.get("deferred", 0) > HANDOVER / timedelta(minutes=1) + 1 and not moving else 0

    seen: list[int] = []
    wait_until(settled, "all windows to wait", 900, every=1)
    return max(seen)


def _fill(cluster: Cluster, waiting: int, per_hour: int, now: datetime, agent: str) -> None:
    """Interactions planned evenly over the whole delay, the first due in a minute."""
    first_due = (now + timedelta(minutes=1) - EPOCH) // MILLISECOND
    statement = text(
        "INSERT INTO interaction (conversation_id, closed_at, due_at, state, customer_id, customer_name,"
        " customer_email, agent_id, agent_email, agent_name, do_not_send, attempts, created_at, updated_at)"
        " SELECT lpad(to_hex(n), 24, '0'), :due + n * :gap - :delay, :due + n * :gap, 'planned', 'c' || n,"
        " 'Somebody', 'somebody' || n || '@example.com', 'agent', :agent, 'Agent', false, 0,"
        " :due - :delay, :due - :delay"
        " FROM generate_series(0, :waiting - 1) AS numbers(n)"
    )
    engine = connect(cluster.ledger_url())
    with engine.begin() as connection:
        connection.execute(
            statement,
            {
                "due": first_due,
                "gap": HOUR // MILLISECOND // per_hour,
                "delay": DELAY // MILLISECOND,
                "agent": agent,
                "waiting": waiting,
            },
        )
    engine.dispose()
