"""What one release has done, counted by several threads."""

import threading
from collections import Counter
from typing import Any


class ReleaseCounts:
    """Counts by outcome, and the lateness of what was sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter(sent=0)  # zero is a result: other processes may have sent everything
        self._late_seconds: list[float] = []

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name] += number

    def add_sent(self, late_seconds: float, *, do_not_send: bool) -> None:
        """Note how late an interaction was sent, and whether without a survey."""
        with self._lock:
            self._late_seconds.append(late_seconds)
            self._counts["do_not_send"] += do_not_send

    @property
    def decided(self) -> int:
        """How many requests Stella Connect took or refused for good."""
        return self._counts["sent"] + self._counts["rejected"]

    def facts(self) -> dict[str, Any]:
        """Return the counts, and the lateness of what was sent in seconds."""
        late = sorted(self._late_seconds)
        return dict(self._counts) | {
            "late_seconds": {
                "least": round(late[0], 1) if late else None,
                "median": round(late[len(late) // 2], 1) if late else None,
                "most": round(late[-1], 1) if late else None,
            }
        }
