"""What an organisation of the model test has chosen, and the wrong answers that its vendors can give."""

from datetime import datetime
from typing import Any, Literal

from include.interactions.settings import Settings

Lie = Literal["finds nothing", "approves nobody", "refuses everything", "masks all addresses"]
"""A wrong answer about everything; it says nothing about any interaction."""
LIES: tuple[Lie, ...] = ("finds nothing", "approves nobody", "refuses everything", "masks all addresses")

RULED_AGENT = "agent-1"
SOON_SECONDS = 600
RULES: dict[str, dict[str, Any]] = {
    "skip": {"survey": "skip"},
    "count": {"survey": "count"},
    "soon": {"seconds_until_send": SOON_SECONDS},
}
"""What a rule about one agent says."""
OPENS_HOUR, CLOSES_HOUR = 9, 17
SEND_WINDOW = {"from": f"{OPENS_HOUR:02}:00", "to": f"{CLOSES_HOUR}:00", "time_zone": "UTC", "spread_minutes": 0}


def make_settings(*, rule: str | None, capped: str | None, in_window: bool, **choices: Any) -> Settings:
    """Return the settings of these choices; `capped` says what happens over the cap, None: there is none."""
    if rule is not None:
        choices["rules"] = [{"name": rule, "when": {"agent": [RULED_AGENT]}, "then": RULES[rule]}]
    if capped is not None:
        choices["cap"] = {"surveys": 1, "days": 1, "over": capped}
    if in_window:
        choices["send_window"] = SEND_WINDOW
    return Settings(**choices)


def is_open(settings: Settings, at: datetime) -> bool:
    """Whether a survey may go out at that instant."""
    return settings.send_window is None or OPENS_HOUR <= at.hour < CLOSES_HOUR


def rule_for(settings: Settings, agent: str | None) -> str | None:
    """Return which rule decides about this agent's closings."""
    return settings.rules[0].name if settings.rules and agent == RULED_AGENT else None
