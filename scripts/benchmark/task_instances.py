"""How many task instances a run has, whatever the number of its interactions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from include.interactions.release_windows import release_windows
from include.interactions.settings import Settings
from scripts.benchmark.figure import Figure

WINDOWS = 76
TASKS_IN_A_WINDOW = 2
OTHER_TASKS = 4
BAR = TASKS_IN_A_WINDOW * WINDOWS + OTHER_TASKS


def measure(*, quick: bool) -> Iterator[Figure]:
    """Plan windows over random due times of a run's reach: one hour, the handover, and what is overdue."""
    del quick  # takes a second at its full size
    settings = Settings()
    now = datetime.now(UTC)
    reach = 3600 + settings.handover_seconds
    chance = Random(7)  # noqa: S311  repeatable numbers, no secret
    counts = {}
    for interactions in (100, 10_000, 100_000):
        due_times = sorted(now + timedelta(seconds=chance.uniform(-600, reach)) for _ in range(interactions))
        windows = list(release_windows(due_times, now, settings.release_window_seconds))
        counts[interactions] = TASKS_IN_A_WINDOW * len(windows) + OTHER_TASKS
    most = max(counts.values())
    yield Figure(
        "instances",
        "task instances in a run",
        "; ".join(f"{count} for {interactions:,}" for interactions, count in counts.items()),
        f"≤ {BAR}",
        most <= BAR,
        "; ".join(f"{TASKS_IN_A_WINDOW * interactions:,} for {interactions:,}" for interactions in counts),
        f"Due times spread over {reach:,} s and ten minutes overdue. Baseline: a mapped sensor and task for each.",
    )
