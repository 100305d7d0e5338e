"""The commands of docs/operations.md, as they stand there, while interactions wait and are released."""

import re
from datetime import UTC, datetime

import pytest

from scripts.stack.stack import SETTINGS_VARIABLE
from scripts.stack.waiting import wait_until
from tests.containers.stack import Stack, run, the_command
from tests.containers.world import World, stamp

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

FEEDBACK = "stella_connect_feedback"
NOTHING_LOST = "2000-01-01T00:00:00Z"
"""What the page gives for a standby that lacks no commit."""
SCALE = {"airflow-scheduler": 2, "airflow-triggerer": 2, "airflow-worker": 2}


def test_a_restored_copy_from_before_the_release_sends_nothing_again(world: World) -> None:
    case, stack = world.case(), world.stack
    case.trigger(first_due_in_seconds=120)
    case.wait_for("wait_until_due", "deferred")
    stack.follow("Backup", "pg_dump --username ledger")
    case.settle()
    lost_at = datetime.now(UTC)

    commands = ("stop airflow-scheduler", "RENAME TO ledger_lost", "createdb", "REVOKE ALL", "pg_restore")
    stack.follow("Restore", *commands)
    assert {*case.states().values()} == {"planned"}, "the copy does not know what was sent"
    mark = the_command("Restore", "restored interaction_ledger")
    stack.shell(re.sub(r"--due-until \S+", f"--due-until {stamp(lost_at)}", mark))
    assert {*case.states().values()} == {"unknown"}
    stack.follow("Restore", "up --wait", seconds=900)

    def looked_up() -> bool:
        run_id = stack.api.trigger_run(FEEDBACK)
        stack.api.wait_for_run(FEEDBACK, run_id, 300)
        return {*case.states().values()} == {"sent"}

    stack.api.set_paused(FEEDBACK, paused=False)
    wait_until(looked_up, "Data Return to show what was sent", 600, every=5)
    case.assert_nothing_lost_doubled_or_early()


def test_a_promoted_standby_is_sent_from_only_after_a_person_has_said_what_was_lost(world: World) -> None:
    case, stack = world.case(), world.stack
    case.trigger(first_due_in_seconds=120)
    case.wait_for("wait_until_due", "deferred")
    promote(stack)
    wait_until(case.ended, "the run's end", 600, every=2)
    assert case.run_again() == "failed", "Airflow works again, so only the promotion can refuse it"
    assert {*case.states().values()} == {"planned"}

    mark = the_command("Restore", "restored interaction_ledger")
    stack.shell(re.sub(r"--due-until \S+", f"--due-until {NOTHING_LOST}", mark))
    case.settle()
    case.assert_nothing_lost_doubled_or_early()
    assert case.expected()["difference"]["missing"] == []


def promote(stack: Stack) -> None:
    """Let the server come back as a standby that lacks nothing, and promote it."""
    stack.compose("exec", "--no-TTY", "postgres", "touch", "/var/lib/postgresql/data/standby.signal")
    stack.compose("restart", "postgres")
    stack.wait_until_healthy("postgres")
    assert stack.ledger("SELECT pg_promote()") == [["t"]]


def test_new_keys_and_passwords_while_windows_wait(world: World) -> None:
    case, stack = world.case(), world.stack
    case.trigger(first_due_in_seconds=420)
    case.wait_for("wait_until_due", "deferred")
    stack.api.add_connection("stored", conn_type="http", password="kept", extra={"token": "kept"})
    before = stored(stack)
    old = stack.value("AIRFLOW_FERNET_KEY")
    new = run(["bash", "-c", "head -c 32 /dev/urandom | base64 | tr '+/' '-_'"]).strip()
    stack.follow("Rotating keys", "ALTER USER ledger PASSWORD", new="changed-for-ever")
    stack.set_value("LEDGER_DB_PASSWORD", "changed-for-ever")
    stack.set_value("AIRFLOW_FERNET_KEY", f"{new},{old}")
    stack.follow("Rotating keys", "up --wait", seconds=900)
    case.wait_for("wait_until_due", "deferred")
    stack.follow("Rotating keys", "rotate_fernet_key.py")
    stack.set_value("AIRFLOW_FERNET_KEY", new)
    stack.follow("Rotating keys", "up --wait", seconds=900)
    assert stored(stack) == before
    case.settle()
    case.assert_nothing_lost_doubled_or_early()


def stored(stack: Stack) -> list[str]:
    """What Airflow's database holds encrypted, as its parts read it."""
    questions = (("variables", "get", SETTINGS_VARIABLE), ("connections", "get", "stored", "--output", "json"))
    return [stack.compose("exec", "--no-TTY", "airflow-scheduler", "airflow", *each) for each in questions]


def test_old_history_is_deleted(world: World) -> None:
    world.stack.follow("Backup", "db clean", "find /opt/airflow/logs", date="2026-01-01")


def test_an_upgrade_of_two_of_each_part_during_a_wait_and_a_release(world: World) -> None:
    stack = world.stack
    more = [option for part, number in SCALE.items() for option in ("--scale", f"{part}={number}")]
    stack.compose("up", "--wait", *more, seconds=900)
    case = world.case()
    case.trigger(first_due_in_seconds=120)
    case.wait_for("wait_until_due", "deferred")
    stack.follow("Upgrades", "compose build", "migrate interaction_ledger", seconds=900)
    for part in ("airflow-dag-processor", *SCALE, "airflow-apiserver"):
        scale = ("--scale", f"{part}={SCALE[part]}") if part in SCALE else ()
        stack.compose("up", "--wait", "--no-deps", "--force-recreate", *scale, part, seconds=900)
    case.settle()
    case.assert_nothing_lost_doubled_or_early()
    assert case.expected()["difference"]["missing"] == []
