"""How fast answers get to Kustomer, against the limit of calls that the setting allows."""

from collections.abc import Iterator

from include.sandbox.options import KUSTOMER_KEY, WRITING_KUSTOMER_KEY
from scripts.benchmark import child
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation

MAX_RATIO = 1.1
PER_MINUTE = 60
WRITE_BACK = {
    "conversation_attributes": {"starsNum": "stars", "commentStr": "comment"},
    "kobject": {"klass": "survey_answer", "attributes": {"starsNum": "stars"}},
    "note": {"text": "{stars} stars: {comment}"},
    "per_minute": PER_MINUTE,
}
TARGETS = {"conversation_attributes": "attributes of conversations", "kobject": "custom objects", "note": "notes"}
RUN_SHARE = 15 / 14.5
"""A run writes for 14.5 of the 15 minutes between two runs."""
MANY = 100_000


def measure(*, quick: bool) -> Iterator[Figure]:
    """Write to each target for a minute, at the default limit of calls; the time for 100,000 is worked out."""
    conversations, seconds = (700, 5) if quick else (2_500, 60)
    with installation(conversations) as here:
        env = here.env(write_back=WRITE_BACK, seconds_until_send=60)
        for name, value in env.items():
            env[name] = value.replace(KUSTOMER_KEY, WRITING_KUSTOMER_KEY)
        child.run("scripts.benchmark.tasks:extract", env, **here.span)
        child.run("scripts.benchmark.tasks:answer_all", env)
        for target in TARGETS:
            yield _measure_target(here, env, target, seconds)


def _measure_target(here: Installation, env: dict[str, str], target: str, seconds: int) -> Figure:
    before = here.sandbox.ask("requests")["total"]
    done = child.run("scripts.benchmark.tasks:write_answers_for", env, target=target, seconds=seconds)
    calls = here.sandbox.ask("requests")["total"] - before
    ratio = done["seconds"] / ((calls - 1) * 60 / PER_MINUTE) * RUN_SHARE  # the first call does not wait
    hours = calls / done["written"] * MANY / PER_MINUTE / 60 * ratio
    return Figure(
        "answers",
        f"answers written to Kustomer as {TARGETS[target]}, time against the limit of calls",
        f"{ratio:.2f} × the limit",
        f"≤ {MAX_RATIO} ×",
        ratio <= MAX_RATIO,
        f"{calls / done['written']:.2f} calls for each answer, at {PER_MINUTE} a minute",
        f"{done['written']:,} written with {calls:,} calls in {done['seconds']:.1f} s, times 30/29, since a run "
        f"writes for 14.5 of 15 minutes. Worked out for {MANY:,} answers: "
        f"{hours:.1f} h. SQLite.",
    )
