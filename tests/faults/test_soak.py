"""The long profile: all of the kill matrix and the fault matrix at random, for minutes, on PostgreSQL.

Releases run side by side over interactions that fall due meanwhile. Then service comes back, and what the ledger
says is compared with what Stella Connect took. `make soak` prints the figures; SOAK_SEED repeats a choice of
faults, though never their exact moments.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Row, func, select
from sqlalchemy.exc import OperationalError

from include.interactions.states import State
from include.ledger import Ledger
from include.ledger.schema import interaction, interaction_event
from include.sandbox import STELLA_KEY, STELLA_SECRET
from include.sandbox.changes import change_conversation
from include.sandbox.faults import Fault
from plugins.pipeline.feedback import GRACE, Feedback
from plugins.stella_connect.hook import StellaConnectHook
from scripts.stack.postgres import running
from tests.support import bad_server
from tests.support.bad_server import not_accepting, serving
from tests.support.ledger import by_run
from tests.support.pipeline import run_of
from tests.support.release_process import (
    POINTS,
    SOAK_LEASE,
    SOAK_SENDING_LEASE,
    Hit,
    context,
    is_stopped,
    release_for_ever,
)

pytestmark = [pytest.mark.soak, pytest.mark.postgres, pytest.mark.timeout(1800)]

INTERACTIONS = 5_000
DURATION = timedelta(minutes=3)
"""Within which they fall due, one after the other."""
LONGEST = timedelta(minutes=15)
"""Until all are sent or unknown; after that service comes back all the same."""
FIRST_DUE = timedelta(minutes=1)
"""After the beginning: they are extracted by then."""
STANDSTILL_SECONDS = 20.0
"""Without requests for so long, something else is broken."""
WORKERS = 4
ALL_LEASES = SOAK_LEASE + SOAK_SENDING_LEASE
POST_FAULTS = [
    *("500_before", "accept_then_500", "reset", "accept_then_reset", "hang", "accept_then_hang"),
    *("cut_body", "redirect", "408", "502", "503", "429", "403", "422", "not_json"),
]
READ_FAULTS = [("/v1/conversations", "503"), ("/v1/conversations", "not_json"), ("/v2/employees", "500_before")]


class Chaos:
    """Breaks one thing or another each time it is asked to, and counts what it did."""

    def __init__(self, chance, sandbox, server, engine, environment, elsewhere, hour):
        self.chance, self.sandbox, self.server, self.engine = chance, sandbox, server, engine
        self.environment, self.elsewhere, self.hour = environment, elsewhere, hour
        self.figures: Counter[str] = Counter()
        self._workers = []
        self._continue_at: dict[int, float] = {}
        # By requests, not by time: the same faults for each interaction, however fast the machine is.
        after_requests = {
            self._other_faults: 15,
            self._kill_anywhere: 80,
            self._end_leases_early: 150,
            self._restart_postgres: 300,
        }
        self._acts = [[act, requests, 0, 0.0] for act, requests in after_requests.items()]

    def step(self) -> None:
        self._keep_workers()
        self._stop_and_continue()
        for one in self._acts:
            act, requests, at_request, at_latest = one
            if self._requests() >= at_request or time.monotonic() >= at_latest:
                act()
                one[2] = self._requests() + self.chance.randint(1, 2 * requests)
                one[3] = time.monotonic() + STANDSTILL_SECONDS

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.join(30)
        self._faults_are([])

    def _requests(self) -> int:
        return self.sandbox.state.calls["POST /v1/requests"]

    def _keep_workers(self) -> None:
        for worker in [one for one in self._workers if not one.is_alive()]:
            worker.join()
            self._workers.remove(worker)
            self._continue_at.pop(worker.pid, None)
        while len(self._workers) < WORKERS:
            self._workers.append(self._worker())

    def _worker(self):
        hit, posts_to, behind = None, None, timedelta(0)
        match self.chance.choices(["plain", "killed", "stopped", "cut off", "behind"], [3, 4, 2, 1, 1])[0]:
            case "killed":
                hit = Hit(self.chance.choice([*POINTS]), signal.SIGKILL, self.chance.randint(1, 40))
                self.figures["a process killed at a point, if it came to it"] += 1
            case "stopped":
                hit = Hit(self.chance.choice([*POINTS]), signal.SIGSTOP, self.chance.randint(1, 40))
            case "cut off":
                posts_to = self.chance.choice([*self.elsewhere])
                self.figures[f"a process whose POSTs meet: {self.elsewhere[posts_to]}"] += 1
            case "behind":
                behind = timedelta(minutes=1)
                self.figures["a process whose clock is a minute behind"] += 1
        arguments = (self.environment, self.hour, hit, posts_to, behind)
        worker = context.Process(target=release_for_ever, args=arguments)
        worker.start()
        return worker

    def _stop_and_continue(self) -> None:
        for worker in self._workers:
            with suppress(FileNotFoundError):  # it has just ended
                if worker.pid not in self._continue_at and is_stopped(worker):
                    self.figures["a process stopped at a point and continued later"] += 1
                    stopped_for = self.chance.uniform(0.2, 1.2) * ALL_LEASES.total_seconds()
                    self._continue_at[worker.pid] = time.monotonic() + stopped_for
        for pid, at in list(self._continue_at.items()):
            if time.monotonic() >= at:
                os.kill(pid, signal.SIGCONT)
                del self._continue_at[pid]

    def _other_faults(self) -> None:
        kind, times = self.chance.choice(POST_FAULTS), self.chance.randint(1, 8)
        faults = [Fault(kind, "/v1/requests", times=times, retry_after=1)]
        if self.chance.random() < 0.2:
            path, kind = self.chance.choice(READ_FAULTS)
            faults.append(Fault(kind, path, times=self.chance.randint(1, 6)))
        self._faults_are(faults)

    def _faults_are(self, faults: list[Fault]) -> None:
        for fault in self.sandbox.state.faults.active:
            if fault.hits:
                self.figures[f"{fault.path_prefix}: {fault.kind}"] += fault.hits
        self.sandbox.state.faults.active = faults

    def _kill_anywhere(self) -> None:
        worker = self.chance.choice(self._workers)
        if worker.is_alive():
            worker.kill()
            self.figures["a process killed anywhere"] += 1

    def _restart_postgres(self) -> None:
        end = self.chance.choice([self.server.stop, self.server.kill])
        end()
        self.server.start()
        self.figures[f"PostgreSQL restarted ({end.__name__})"] += 1

    def _end_leases_early(self) -> None:
        with suppress(OperationalError):
            recovered = Ledger(self.engine, lambda: datetime.now(UTC) + ALL_LEASES).releasing.recover(
                by=by_run("a clock ahead")
            )
            self.figures["every lease ended by a clock that is ahead"] += bool(
                recovered.planned + recovered.unknown
            )


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def ledger_url(server):
    return server.create_database()


@pytest.fixture
def elsewhere(tmp_path) -> Iterator[dict[str, tuple[str, str]]]:
    """Connections to hosts to which no request can be sent: what happens there, and the host."""
    with ExitStack() as stack:
        hosts = {
            "refused": "http://127.0.0.1:9",
            "DNS error": "https://nonexistent.invalid",
            "connect timeout": f"http://127.0.0.1:{stack.enter_context(not_accepting())}",
            "TLS failure": f"https://127.0.0.1:{stack.enter_context(serving(bad_server.reset)).port}",
        }
        yield {f"elsewhere_{number}": (name, hosts[name]) for number, name in enumerate(hosts)}


@pytest.fixture
def impatient(environment, sandbox, elsewhere):
    """The environment of the releases: short timeouts, and the connections that lead nowhere."""
    hosts = {"stella_connect_default": sandbox.stella_url} | {name: host for name, (_, host) in elsewhere.items()}
    extra = {"api_secret": STELLA_SECRET, "timeout": [0.3, 1.0]}
    for conn_id, host in hosts.items():
        connection = {"conn_type": "stella_connect", "host": host, "password": STELLA_KEY, "extra": extra}
        environment[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return environment


def test_everything_at_random_loses_nothing_and_doubles_nothing(
    pipeline, sandbox, settings, impatient, server, elsewhere, hour, monkeypatch, capsys
):
    seed = int(os.environ.get("SOAK_SEED") or time.time())
    began = datetime.now(UTC)
    wishes = {
        "seconds_until_send": int((began + FIRST_DUE - hour).total_seconds()),
        "kustomer_requests_per_minute": 100_000,
    }
    settings(**wishes)
    impatient["AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT"] = json.dumps(wishes)
    for number in range(INTERACTIONS):
        closed_at = hour + number * DURATION / INTERACTIONS
        change_conversation(sandbox.state, {"closed_at": closed_at, "updated_at": closed_at})
    pipeline.extract(run_of(hour))

    nowhere = {conn_id: what for conn_id, (what, _) in elsewhere.items()}
    chaos = Chaos(random.Random(seed), sandbox, server, pipeline.engine, impatient, nowhere, hour)
    try:
        while datetime.now(UTC) < began + LONGEST and not drained(pipeline, began + FIRST_DUE + DURATION):
            chaos.step()
            time.sleep(0.05)
    finally:
        chaos.end()
    accepted_meanwhile = len(sandbox.state.received)

    monkeypatch.setattr("plugins.vendor_api.waiting.factor", 0)
    Ledger(pipeline.engine, lambda: datetime.now(UTC) + timedelta(days=1)).releasing.recover(by=by_run("next run"))
    pipeline.release_due(run_of(hour))
    back = Counter(row.state for row in rows(pipeline))
    with StellaConnectHook() as hook:
        feedback = Feedback(pipeline.ledger, hook, "resend", by=by_run("feedback"))
        told = feedback.read(datetime.now(UTC) + 2 * GRACE)
    pipeline.release_due(run_of(hour))

    ended = rows(pipeline)
    due = {row.conversation_id: row.due_at.timestamp() for row in ended}
    rejected = {row.conversation_id for row in ended if row.state == State.REJECTED}
    accepted = Counter(one.request["ext_interaction_id"] for one in sandbox.state.received)
    early = [one for one in sandbox.state.received if one.received_at < due[one.request["ext_interaction_id"]]]
    figures = {
        "interactions": len(ended),
        "accepted by Stella Connect": accepted.total(),
        "refused by it for good (422)": len(rejected),
        "LOSSES": len(due.keys() - accepted.keys() - rejected),
        "DUPLICATES": sandbox.state.duplicates,
        "EARLY SENDS": len(early),
        "requests made": sandbox.state.calls["POST /v1/requests"],
        "accepted before service was back": accepted_meanwhile,
        "outcomes that were unknown for a while": became_unknown(pipeline),
        "still unknown when service was back": back[State.UNKNOWN],
        "of them found in Data Return, so sent": told["settled"],
        "of them absent after the grace, so sent again": told["resent"],
        "faults injected": chaos.figures.total(),
    }
    with capsys.disabled():
        sys.stdout.write(f"\nseed {seed}, {(datetime.now(UTC) - began).total_seconds():.0f} s\n")
        for name, number in [*figures.items(), *sorted(chaos.figures.items())]:
            sys.stdout.write(f"{number:>9,}  {name}\n")
    assert back.keys() <= {State.SENT, State.UNKNOWN, State.REJECTED}
    assert {row.state for row in ended} <= {State.SENT, State.REJECTED}
    assert figures["LOSSES"] == figures["DUPLICATES"] == figures["EARLY SENDS"] == 0
    assert not rejected & accepted.keys()


def drained(pipeline, last_due: datetime) -> bool:
    return datetime.now(UTC) > last_due and not {row.state for row in rows(pipeline)} & {
        "planned",
        "claimed",
        "sending",
    }


def rows(pipeline) -> list[Row]:
    with pipeline.engine.connect() as connection:
        return list(connection.execute(select(interaction)))


def became_unknown(pipeline) -> int:
    with pipeline.engine.connect() as connection:
        to_unknown = interaction_event.c.to_state == State.UNKNOWN
        return connection.execute(select(func.count()).where(to_unknown)).scalar_one()
