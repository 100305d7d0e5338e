"""How often both vendors are asked for each interaction that is released."""

from collections.abc import Iterator

from scripts.benchmark import child, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import installation

BAR = 1.05


def measure(*, quick: bool) -> Iterator[Figure]:
    """A whole run, in the windows of an ordinary hour; the baseline looks everything up for each interaction."""
    conversations, looked_up = (1_250, 50) if quick else (12_500, 500)
    with installation(conversations) as here:
        planned = child.run(
            "scripts.benchmark.tasks:whole_run",
            here.env(seconds_until_send=60, kustomer_requests_per_minute=100_000),
            **here.span,
        )
        released = here.sandbox.counts()["accepted"]
        calls = here.sandbox.ask("requests")
    ours = calls["total"] / released
    reads = ", ".join(f"{n} {call}" for call, n in calls["calls"].items() if call != "POST /v1/requests")
    baseline = _look_ups(looked_up)
    yield Figure(
        "requests",
        "requests to both vendors per released interaction",
        f"{ours:.4f}",
        f"≤ {BAR}",
        ours <= BAR,
        f"{baseline:.2f} (each looked up: conversation, customer, user, employee, POST)",
        f"{released:,} released in {planned['windows']} windows, each window looking again; beside the POSTs: "
        f"{reads}. Baseline on {looked_up}.",
    )


def _look_ups(count: int) -> float:
    with installation(count) as here:
        for conversation_id in here.sandbox.ask("expected")["sent"]:
            plain.look_up_and_post(here.sandbox, conversation_id)
        return int(here.sandbox.ask("requests")["total"]) / here.sandbox.counts()["accepted"]
