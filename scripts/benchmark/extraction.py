"""How fast a great span of closings is read, and in how much memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from scripts.benchmark import child, plain
from scripts.benchmark.figure import Figure
from scripts.benchmark.installation import Installation, installation
from scripts.stack.ports import loopback_session

MAX_MEBIBYTES = 250
TIMES_FASTER = 3
SEARCH = "POST /v1/customers/search"
SEARCHES_PER_MINUTE = 100
MAX_TIMES_THE_LIMIT, MAX_TIMES_FOR_A_SPAN = 1.15, 1.2
NETWORK_SECONDS = 0.05
PARTS_OF_THE_PLAIN_LOOP = 10
"""A search ends at page 100: a plain loop over the whole hour would lose everything after 10,000 rows."""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Extraction to the last committed row, beside a loop that reads the same rows into memory."""
    conversations = 5_000 if quick else 50_000
    ours, loop, searches = _both(conversations)
    yield Figure(
        "extraction",
        "peak memory above the imports",
        f"{ours['mebibytes']:.0f} MiB",
        f"≤ {MAX_MEBIBYTES} MiB",
        ours["mebibytes"] <= MAX_MEBIBYTES,
        "not measured",
        f"{ours['found']:,} closings, {ours['cpu_seconds'] * 1000 / ours['found']:.2f} CPU-seconds per 1,000.",
    )
    yield _speed(
        "closings a second on loopback, against a plain loop",
        ours,
        loop,
        f"Ours: {searches} searches in {ours['seconds']:.1f} s ({ours['cpu_seconds']:.1f} of CPU), joined, judged "
        f"and committed to the ledger. Loop: {loop['searches']} searches in {loop['seconds']:.1f} s "
        f"({loop['cpu_seconds']:.1f} of CPU), raw rows kept in memory. Loopback has no waiting time: both read "
        f"the same JSON from a simulator on the same cores, and ours then judges and writes.",
    )
    far_ours, far_loop, _ = _both(conversations // 5, NETWORK_SECONDS)
    yield _speed(
        f"closings a second with {NETWORK_SECONDS * 1000:.0f} ms added to each call, as over the internet",
        far_ours,
        far_loop,
        f"A fifth of the closings. Ours {far_ours['seconds']:.1f} s, loop {far_loop['seconds']:.1f} s.",
    )
    yield _at_the_limit(1_000 if quick else 10_400)


def measure_span(*, quick: bool) -> Iterator[Figure]:
    """Read 30 days of an organisation that closes 10 an hour, as one manual run does."""
    days = 3 if quick else 30
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    span = timedelta(days=days)
    with installation(days * 240, end - span, span, searches_per_minute=SEARCHES_PER_MINUTE) as here:
        ours, searches, limit = _extract_throttled(here)
    yield Figure(
        "span",
        f"a manual run reads {days} days of 10 closings an hour, time against the vendor's limit of searches",
        f"{ours['seconds']:.1f} s = {ours['seconds'] / limit:.2f} × the limit",
        f"≤ {MAX_TIMES_FOR_A_SPAN} ×",
        ours["seconds"] <= MAX_TIMES_FOR_A_SPAN * limit,
        f"{limit:.1f} s ({searches} searches at {SEARCHES_PER_MINUTE} a minute)",
        f"{ours['found']:,} closings in {ours['cpu_seconds']:.1f} CPU-seconds, default throttle.",
    )


def _extract_throttled(here: Installation) -> tuple[dict[str, Any], int, float]:
    """Return the task's figures, the searches it made, and the seconds that these need at the vendor's limit."""
    ours = child.run("scripts.benchmark.tasks:extract", here.env(), **here.span, throttled=True)
    searches: int = here.sandbox.ask("requests")["calls"][SEARCH]
    return ours, searches, searches / SEARCHES_PER_MINUTE * 60


def _at_the_limit(conversations: int) -> Figure:
    """An hour's closings with the default throttle, at a simulator that refuses what passes the limit."""
    with installation(conversations, searches_per_minute=SEARCHES_PER_MINUTE) as here:
        ours, searches, limit = _extract_throttled(here)
    return Figure(
        "extraction",
        f"an hour of {ours['found']:,} closings, time against the vendor's limit of searches",
        f"{ours['seconds']:.1f} s = {ours['seconds'] / limit:.2f} × the limit",
        f"≤ {MAX_TIMES_THE_LIMIT} ×",
        ours["seconds"] <= MAX_TIMES_THE_LIMIT * limit,
        f"{limit:.1f} s ({searches} searches at {SEARCHES_PER_MINUTE} a minute)",
        f"{ours['cpu_seconds'] * 1000 / ours['found']:.2f} CPU-seconds per 1,000 closings, default throttle.",
    )


def _both(conversations: int, seconds_a_call: float = 0.0) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Our extraction, the plain loop, and how many searches ours made; each call takes so much longer."""
    with installation(conversations) as here:
        if seconds_a_call:
            slow = {"match": {"path_prefix": "/v1/"}, "kind": "slow", "seconds": seconds_a_call}
            with loopback_session() as http:
                http.post(f"{here.sandbox.kustomer_url}/_sandbox/faults", json=[slow]).raise_for_status()
        before = here.sandbox.ask("requests")["calls"].get(SEARCH, 0)
        ours = child.run("scripts.benchmark.tasks:extract", here.env(), **here.span)
        searches = here.sandbox.ask("requests")["calls"][SEARCH] - before
        loop = plain.read_all(here.sandbox, here.closed_from, here.closed_to, PARTS_OF_THE_PLAIN_LOOP)
    return ours, loop, searches


def _speed(what: str, ours: dict[str, Any], loop: dict[str, Any], notes: str) -> Figure:
    rate, plain_rate = ours["found"] / ours["seconds"], loop["rows"] / loop["seconds"]
    return Figure(
        "extraction",
        what,
        f"{rate:,.0f}/s = {rate / plain_rate:.2f} ×",
        f"≥ {TIMES_FASTER} ×",
        rate >= TIMES_FASTER * plain_rate,
        f"{plain_rate:,.0f}/s (page size {plain.TAP_PAGE_SIZE}, one request at a time, a connection for each)",
        notes,
    )
