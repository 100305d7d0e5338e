"""How many requests a release has under way at once: as many as help, and fewer if Stella Connect is overloaded."""

from dataclasses import dataclass

START_SENDERS = 8
MIN_SENDERS = 2


@dataclass(frozen=True, slots=True)
class SenderLimit:
    """A limit that each taken request raises by one, up to `most`, and each failure halves."""

    most: int
    number: int = START_SENDERS

    @property
    def at_once(self) -> int:
        """Requests that may be under way."""
        return min(self.number, self.most)

    def raised(self) -> "SenderLimit":
        """Return the limit after a request was taken."""
        return SenderLimit(self.most, min(self.number + 1, self.most))

    def lowered(self) -> "SenderLimit":
        """Return the limit after 429, an unknown outcome, or a connection that did not come about."""
        return SenderLimit(self.most, max(self.at_once // 2, MIN_SENDERS))
