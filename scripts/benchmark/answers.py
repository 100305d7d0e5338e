"""How fast answers get to Kustomer, against the limit of calls that the setting allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from include.sandbox.options import KUSTOMER_KEY, WRITING_KUSTOMER_KEY
from scripts.benchmark import child
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation
from scripts.benchmark.stream import SENT_SHARE

MAX_RATIO = 1.1
PER_MINUTE, MANY_PER_MINUTE = 60, 240
WRITE_BACK = {
    "conversation_attributes": {"starsNum": "stars", "commentStr": "comment"},
    "kobject": {"klass": "survey_answer", "attributes": {"starsNum": "stars"}},
    "note": {"text": "{stars} stars: {comment}"},
}
TARGETS = {"conversation_attributes": "attributes of conversations", "kobject": "custom objects", "note": "notes"}
RUN_SHARE = 15 / 14.5
"""A run writes for 14.5 of the 15 minutes between two runs."""
MANY = 100_000
RUN_SECONDS = 600
"""Of each process that writes a part of the many."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Write to each target for a minute, at the default limit of calls; the time for 100,000 is worked out."""
    conversations, seconds = (700, 5) if quick else (2_500, 60)
    with _answered(conversations, PER_MINUTE) as (here, env):
        for target in TARGETS:
            done = _write(here, env, target, seconds)
            hours = done["calls"] / done["written"] * MANY / PER_MINUTE / 60 * _times_the_limit(done, PER_MINUTE)
            yield _figure(
                "answers", "answers", target, done, PER_MINUTE, f" Worked out for {MANY:,} answers: {hours:.1f} h."
            )


def measure_many(*, quick: bool) -> Iterator[Figure]:
    """Write 100,000 answers to the cheapest target, at four times the default limit: else it takes 70 minutes."""
    answers, target = 700 if quick else MANY, "conversation_attributes"
    with _answered(int(answers / SENT_SHARE), MANY_PER_MINUTE) as (here, env):
        runs = [_write(here, env, target, RUN_SECONDS)]
        while runs[-1].get("written"):
            runs.append(_write(here, env, target, RUN_SECONDS))
        done = {name: sum(run[name] for run in runs[:-1]) for name in ("written", "calls", "seconds")}
        yield _figure("many", f"{done['written']:,} answers", target, done, MANY_PER_MINUTE)


@contextmanager
def _answered(conversations: int, per_minute: int) -> Iterator[tuple[Installation, dict[str, str]]]:
    """Run simulators and a ledger in which every customer has answered; with the environment for its children."""
    with installation(conversations) as here:
        env = here.env(write_back={**WRITE_BACK, "per_minute": per_minute}, seconds_until_send=60)
        for name, value in env.items():
            env[name] = value.replace(KUSTOMER_KEY, WRITING_KUSTOMER_KEY)
        child.run("scripts.benchmark.tasks:extract", env, **here.span)
        child.run("scripts.benchmark.tasks:answer_all", env)
        yield here, env


def _write(here: Installation, env: dict[str, str], target: str, seconds: float) -> dict[str, Any]:
    """Write to one target for so long; returns what was written, the calls it took, and the seconds."""
    before = here.sandbox.ask("requests")["total"]
    done = child.run("scripts.benchmark.tasks:write_answers_for", env, target=target, seconds=seconds)
    return {**done, "calls": here.sandbox.ask("requests")["total"] - before}


def _times_the_limit(done: dict[str, Any], per_minute: int) -> float:
    """Return the time as a multiple of what the limit needs for these calls; the first call does not wait."""
    return float(done["seconds"] / ((done["calls"] - 1) * 60 / per_minute) * RUN_SHARE)


def _figure(row: str, what: str, target: str, done: dict[str, Any], per_minute: int, more: str = "") -> Figure:
    ratio = _times_the_limit(done, per_minute)
    return Figure(
        row,
        f"{what} written to Kustomer as {TARGETS[target]}, time against the limit of calls",
        f"{ratio:.2f} × the limit",
        f"≤ {MAX_RATIO} ×",
        ratio <= MAX_RATIO,
        f"{done['calls'] / done['written']:.2f} calls for each answer, at {per_minute} a minute",
        f"{done['written']:,} written with {done['calls']:,} calls in {done['seconds']:.1f} s, times 30/29, since "
        f"a run writes for 14.5 of 15 minutes. SQLite.{more}",
    )
