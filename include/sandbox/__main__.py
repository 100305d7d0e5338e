"""`python -m include.sandbox`: both simulators alone, until Ctrl-C."""

import argparse
import gc
import logging
import signal
import sys
import threading
from datetime import UTC, datetime

from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET, PortTaken, generate, start
from include.sandbox.options import CHANNELS
from include.sandbox.organisation import last_full_hour


def instant(text: str) -> datetime:
    """Read an ISO time; without an offset it is UTC."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not an ISO time: {text!r}") from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def words(text: str) -> tuple[str, ...]:
    """Read words with commas between them; an empty text is none."""
    return tuple(word for word in text.split(",") if word)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m include.sandbox",
        description="Simulators of Kustomer and Stella Connect with an invented organisation. "
        "Open either address in a browser to see what Stella Connect has received.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    where = parser.add_argument_group("addresses")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on")
    where.add_argument("--kustomer-port", type=int, default=8101, help="0 for any free port")
    where.add_argument("--stella-port", type=int, default=8102, help="0 for any free port")
    _add_organisation(parser)
    _add_limits(parser)
    _add_accounts(parser)
    return parser.parse_args(given)


def _add_organisation(parser: argparse.ArgumentParser) -> None:
    start_of_hour, end_of_hour = last_full_hour(datetime.now(UTC))
    what = parser.add_argument_group("organisation (the same values give the same organisation)")
    what.add_argument("--seed", type=int, default=7, help="start of its random numbers")
    what.add_argument("--conversations", type=int, default=200, help="number of conversations, up to 100,000")
    what.add_argument("--agents", type=int, default=12, help="agents with an approved profile; others come on top")
    what.add_argument("--closed-from", type=instant, default=start_of_hour, help="first closing, ISO time, UTC")
    what.add_argument("--closed-to", type=instant, default=end_of_hour, help="end of the closings, exclusive")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("limits and lags (calls per minute; 0 is no limit)")
    how.add_argument("--search-per-minute", type=int, default=100, help="Kustomer's search, for each key")
    how.add_argument("--org-per-minute", type=int, default=1000, help="all calls to Kustomer")
    how.add_argument("--data-per-minute", type=int, default=100, help="Stella Connect's Data Return")
    how.add_argument("--retry-after", action="store_true", help="send Retry-After with a 429")
    how.add_argument("--index-lag-seconds", type=float, default=0, help="age of what Kustomer's search shows")
    how.add_argument("--visibility-lag-seconds", type=float, default=0, help="until Data Return shows a request")
    how.add_argument("--repeated-share", type=float, default=0.02, help="share of rows a search page repeats")
    how.add_argument("--answered-share", type=float, default=0.35, help="share of surveys that are answered")
    how.add_argument("--answer-after-seconds", type=float, default=60, help="until a customer answers")
    how.add_argument("--changed-share", type=float, default=0.1, help="share of answers that change later")
    how.add_argument("--change-after-seconds", type=float, default=60, help="from an answer to its change")
    how.add_argument("--suppression-days", type=int, default=0, help="no second survey to a customer; 0 is off")
    how.add_argument("--accept-bearer", action="store_true", help="take `Bearer <JWT>` too")


def _add_accounts(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "accounts and answers (POST /_sandbox/options changes these while it runs)"
    ).add_argument
    add("--stella-channels", type=words, default=CHANNELS, help="enabled at Stella Connect")
    add("--stella-brands", type=words, default=(), help="of several, each request must name one")
    add("--stella-languages", type=words, default=(), help="of several, each request must name one")
    add("--post-seconds", type=float, default=0, help="an accepted POST answers after so long")
    add("--slow-post-every", type=int, default=0, help="each so many-th POST is slow; 0 is none")
    add("--slow-post-seconds", type=float, default=90, help="how long a slow POST takes")
    add("--mask-emails", action="store_true", help="the key may not read addresses")
    add("--mask-custom", action="store_true", help="the key may not read custom attributes")
    add("--show-deleted", action="store_true", help="a read by id returns what is deleted")
    add("--generic-links", action="store_true", help="Kustomer's links name its generic host")
    add("--overcounted-rows", type=int, default=0, help="rows that a search counts too many")


def main() -> int:
    """Run until Ctrl-C or SIGTERM; status 1 with one line when it cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    chosen = vars(arguments())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    made = {name: chosen.pop(name) for name in ("seed", "conversations", "agents", "closed_from", "closed_to")}
    try:
        organisation = generate(**made)
        gc.freeze()  # it lives as long as this process: collections need not walk through it
        with start(organisation, **chosen) as sandbox:
            say(f"Kustomer        {sandbox.kustomer_url}   key {KUSTOMER_KEY}")
            say(f"Stella Connect  {sandbox.stella_url}   key {STELLA_KEY}   secret {STELLA_SECRET}")
            say(f"{made['conversations']:,} conversations, closed {made['closed_from']} to {made['closed_to']}")
            say(f"What was received: {sandbox.stella_url}/   Ctrl-C stops.")
            stop.wait()
    except (PortTaken, ValueError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    return 0


def say(line: str) -> None:
    """Print a line now, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
