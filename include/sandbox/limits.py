"""Budgets of calls over a fixed time."""

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple


class Standing(NamedTuple):
    """Where a caller stands after one call. `reset` is epoch seconds (Kustomer's fact sheet, section 6)."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


@dataclass(slots=True)
class Budget:
    """`limit` calls in each window of `seconds`, counted from the window's first call; a limit of 0 is none."""

    limit: int
    seconds: float = 60.0
    used: int = field(default=0, init=False)
    ends: float = field(default=0.0, init=False)

    def take(self) -> Standing | None:
        """Spend one call; a refused call costs nothing. None when there is no limit."""
        if self.limit <= 0:
            return None
        now = time.time()
        if now >= self.ends:
            self.used, self.ends = 0, now + self.seconds
        allowed = self.used < self.limit
        if allowed:
            self.used += 1
        return Standing(allowed, self.limit, self.limit - self.used, math.ceil(self.ends))
