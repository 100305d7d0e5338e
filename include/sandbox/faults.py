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
    "no_data": "carried out; status 200 with a JSON object that holds nothing",
    "empty_body": "carried out; status 200 without a body",
    "missing_rows": "carried out; half of the rows in `data` are missing though `meta.total` counts them",
    "redirect": "status 302 to another host, nothing accepted",
}
"""Besides these, any status from 400 to 599 as text: that status, nothing accepted."""


@dataclass(slots=True)
class Fault:
    """One fault. `seconds` is how long a hang or delay lasts; `after` is how many calls pass unharmed first."""

    kind: str
    path_prefix: str = "/"
    method: str | None = None
    times: int | None = None
    after: int = 0
    retry_after: float | None = None
    seconds: float | None = None
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Say whether a call is of the kind this fault waits for."""
        return (self.method in (None, method)) and path.startswith(self.path_prefix)

    def as_json(self) -> dict[str, Any]:
        """Return the shape that `POST /_sandbox/faults` takes, with the hits so far."""
        return {
            "match": {"method": self.method, "path_prefix": self.path_prefix},
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

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this call, if any, and count it."""
        for fault in self.active:
            if not fault.matches(method, path) or fault.times == 0:
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
    if not isinstance(match, dict) or set(match) - {"method", "path_prefix"}:
        raise ValueError("match holds method and path_prefix")
    kind = str(given.get("kind"))
    if kind not in NAMED_KINDS and not (kind.isdigit() and 400 <= int(kind) <= 599):
        raise ValueError(f"unknown kind {kind!r}; known: a status from 400 to 599, {', '.join(NAMED_KINDS)}")
    for name, kinds in (("times", int), ("after", int), ("retry_after", int | float), ("seconds", int | float)):
        if not isinstance(given.get(name), kinds | None):
            raise TypeError(f"{name} of a fault must be a number or null")
    method = match.get("method")
    return Fault(
        kind=kind,
        path_prefix=str(match.get("path_prefix") or "/"),
        method=None if method in (None, "*") else str(method).upper(),
        times=given.get("times"),
        after=int(given.get("after") or 0),
        retry_after=given.get("retry_after"),
        seconds=given.get("seconds"),
    )
