"""Faults that can be switched on: which call is hit, how it fails, and how often."""

from dataclasses import dataclass
from typing import Any

NAMED_KINDS = {
    "500_before": "status 500, nothing accepted",
    "accept_then_500": "the call is carried out, then status 500",
    "accept_then_reset": "the call is carried out, then TCP RST",
    "accept_then_hang": "the call is carried out, then silence",
    "reset": "TCP RST, nothing accepted",
    "hang": "silence, nothing accepted",
    "slow": "answers properly after `seconds`",
    "cut_body": "carried out; the body ends before its Content-Length",
    "not_json": "carried out; status 200 with an HTML page",
    "broken_json": "carried out; status 200, the JSON ends in the middle",
    "no_data": "carried out; status 200 with a JSON object that holds nothing",
    "empty_body": "carried out; status 200 without a body",
    "missing_rows": "carried out; half of the rows are missing though `meta.total` counts them",
    "lost_row": "carried out; the first row is missing though `meta.total` counts it",
    "empty_list": "carried out; status 200 with no rows at all and no next page",
    "reopened_row": "carried out; then the page's first conversation is opened again: later pages move up by one",
    "redirect": "status 302 to another host, nothing accepted",
}
"""Besides these, any status from 400 to 599 as text: that status as JSON, nothing accepted; with `_html` behind it
(`404_html`) as a page of a gateway."""

MATCHERS = ("method", "path_prefix", "path_contains", "body_contains", "answer_contains")


@dataclass(slots=True)
class Call:
    """A call, as far as a fault looks at it. `answer` is there if some fault asked for it."""

    method: str
    path: str
    body: bytes = b""
    answer: bytes = b""


@dataclass(slots=True)
class Fault:
    """One fault. `seconds` is how long a hang or delay lasts; `after` is how many calls pass unharmed first.

    A call must fit all of `method`, `path_prefix` and the three texts. `body_contains` is compared without blanks,
    so that `"queryContext":"customer"` fits. `answer_contains` carries out the call first: only for reads.
    """

    kind: str
    path_prefix: str = "/"
    method: str | None = None
    path_contains: str = ""
    body_contains: str = ""
    answer_contains: str = ""
    times: int | None = None
    after: int = 0
    retry_after: float | None = None
    seconds: float | None = None
    hits: int = 0

    def fits_path(self, method: str, path: str) -> bool:
        """Say whether method and path are those this fault waits for."""
        return self.method in (None, method) and path.startswith(self.path_prefix) and self.path_contains in path

    def matches(self, call: Call) -> bool:
        """Say whether a call is of the kind this fault waits for."""
        return (
            self.fits_path(call.method, call.path)
            and self.body_contains.replace(" ", "").encode() in call.body.replace(b" ", b"")
            and self.answer_contains.encode() in call.answer
        )

    def as_json(self) -> dict[str, Any]:
        """Return the shape that `POST /_sandbox/faults` takes, with the hits so far."""
        return {
            "match": {
                name: getattr(self, name) for name in MATCHERS if getattr(self, name) or name in MATCHERS[:2]
            },
            "kind": self.kind,
            "times": self.times,
            "after": self.after,
            "retry_after": self.retry_after,
            "seconds": self.seconds,
            "hits": self.hits,
        }


class Faults:
    """The active faults, in order: the first that matches and is not used up strikes."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.generation = 0
        """Grows with each replacement; calls held by an older generation are let go."""

    def replace(self, faults: list[dict[str, Any]]) -> None:
        """Put these faults in place of the present ones; a wrong one raises ValueError or TypeError."""
        self.active = [fault_from_json(fault) for fault in faults]
        self.generation += 1

    def watching(self, method: str, path: str) -> list[Fault]:
        """Return the faults that may hit a call of this method and path."""
        return [fault for fault in self.active if fault.times != 0 and fault.fits_path(method, path)]

    def take(self, call: Call) -> Fault | None:
        """Return the fault that hits this call, if any, and count it."""
        for fault in self.active:
            if fault.times == 0 or not fault.matches(call):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            fault.hits += 1
            return fault
        return None


def fault_from_json(given: Any) -> Fault:
    """Read one fault. Raises ValueError or TypeError naming what is wrong."""
    if not isinstance(given, dict):
        raise TypeError("a fault is an object")
    unknown = set(given) - {"match", "kind", "times", "after", "retry_after", "seconds", "hits"}
    if unknown:
        raise ValueError(f"unknown key of a fault: {', '.join(sorted(unknown))}")
    match = given.get("match") or {}
    if not isinstance(match, dict) or set(match) - set(MATCHERS):
        raise ValueError(f"match holds {', '.join(MATCHERS)}")
    kind = str(given.get("kind"))
    status = kind.removesuffix("_html")
    if kind not in NAMED_KINDS and not (status.isdigit() and 400 <= int(status) <= 599):
        raise ValueError(f"unknown kind {kind!r}; known: a status from 400 to 599, {', '.join(NAMED_KINDS)}")
    for name, kinds in (("times", int), ("after", int), ("retry_after", int | float), ("seconds", int | float)):
        if not isinstance(given.get(name), kinds | None):
            raise TypeError(f"{name} of a fault must be a number or null")
    method = match.get("method")
    return Fault(
        kind=kind,
        path_prefix=str(match.get("path_prefix") or "/"),
        method=None if method in (None, "*") else str(method).upper(),
        path_contains=str(match.get("path_contains") or ""),
        body_contains=str(match.get("body_contains") or ""),
        answer_contains=str(match.get("answer_contains") or ""),
        times=given.get("times"),
        after=int(given.get("after") or 0),
        retry_after=given.get("retry_after"),
        seconds=given.get("seconds"),
    )
