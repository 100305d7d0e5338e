"""How fast a great span of closings is read, and in how much memory."""

from collections.abc import Iterator

from scripts.benchmark import child, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import installation

MOST_MEBIBYTES = 250
TIMES_FASTER = 3
SEARCHES_PER_MINUTE = 100
PARTS_OF_THE_PLAIN_LOOP = 10
"""A search ends at page 100: a plain loop over the whole hour would lose everything after 10,000 rows."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Extraction to the last committed row, beside a loop that reads the same rows into memory."""
    conversations = 5_000 if quick else 50_000
    with installation(conversations) as here:
        before = here.sandbox.ask("requests")["calls"]
        ours = child.run("scripts.benchmark.tasks:extract", here.env(), **here.span)
        after = here.sandbox.ask("requests")["calls"]
        loop = plain.read_all(here.sandbox, here.closed_from, here.closed_to, PARTS_OF_THE_PLAIN_LOOP)
    search = "POST /v1/customers/search"
    searches = after[search] - before.get(search, 0)
    rate, plain_rate = ours["found"] / ours["seconds"], loop["rows"] / loop["seconds"]
    yield Figure(
        "extraction",
        "peak memory above the imports",
        f"{ours['mebibytes']:.0f} MiB",
        f"≤ {MOST_MEBIBYTES} MiB",
        ours["mebibytes"] <= MOST_MEBIBYTES,
        "not measured",
        f"{ours['found']:,} closings.",
    )
    yield Figure(
        "extraction",
        "closings a second without any limit, against a plain loop",
        f"{rate:,.0f}/s = {rate / plain_rate:.2f} ×",
        f"≥ {TIMES_FASTER} ×",
        rate >= TIMES_FASTER * plain_rate,
        f"{plain_rate:,.0f}/s (page size {plain.TAP_PAGE_SIZE}, one request at a time, a connection for each)",
        f"Ours: {searches} searches in {ours['seconds']:.0f} s, joined, judged and committed to the ledger. Loop: "
        f"{loop['searches']} searches in {loop['seconds']:.0f} s, raw rows kept in memory. The stand-in answers "
        f"at once on loopback, so this weighs our judging and writing against nothing rather than the reading.",
    )
    ours_limited, loop_limited = _minutes(searches, ours["seconds"]), _minutes(loop["searches"], loop["seconds"])
    yield Figure(
        "extraction",
        f"minutes at the vendor's {SEARCHES_PER_MINUTE} searches a minute, against a plain loop (worked out)",
        f"{ours_limited:.1f} min = {loop_limited / ours_limited:.2f} × as fast",
        f"≥ {TIMES_FASTER} ×",
        loop_limited >= TIMES_FASTER * ours_limited,
        f"{loop_limited:.1f} min",
        f"The number of searches that each made above, over {SEARCHES_PER_MINUTE}; or its own time if longer.",
    )


def _minutes(searches: int, seconds: float) -> float:
    return max(searches / SEARCHES_PER_MINUTE, seconds / 60)
