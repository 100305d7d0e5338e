"""What rules would do, over closings that the ledger already holds. Nothing is written, and no vendor is called."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from include.interactions.closing_facts import ClosingFacts
from include.interactions.mapping import Unmapped
from include.interactions.rule_book import Decision
from include.interactions.survey_plan import SurveyPlanner

Outcome = Literal["survey", "counted", "skipped", "unmapped"]
OUTCOMES: tuple[Outcome, ...] = ("survey", "counted", "skipped", "unmapped")


@dataclass(slots=True)
class SimulatedRule:
    """What one rule would do; `name` is None for the closings to which no rule applies."""

    name: str | None
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    changed: int = 0
    """Closings of this rule that today's settings treat otherwise: outcome, delay or mapping."""

    @property
    def closings(self) -> int:
        """How many closings the rule would decide."""
        return self.outcomes.total()


@dataclass(slots=True)
class Simulation:
    """What rules would do.

    Attributes:
        rules: in the order of the settings, then the closings without a rule.
        closings: how many were judged.
        without_facts: how many closings of the time could not be judged: skipped for other reasons, or erased.
        changes: outcomes today and then, with how many closings move from one to the other.
        missing: custom attributes of which the ledger kept nothing, since no setting asked for them.
    """

    rules: list[SimulatedRule]
    closings: int = 0
    without_facts: int = 0
    changes: Counter[tuple[Outcome, Outcome]] = field(default_factory=Counter)
    missing: tuple[str, ...] = ()


def simulate(closings: Iterable[ClosingFacts | None], today: SurveyPlanner, proposed: SurveyPlanner) -> Simulation:
    """Judge each closing by today's settings and by the proposed ones; None stands for one without facts."""
    by_name: dict[str | None, SimulatedRule] = {name: SimulatedRule(name) for name in (*proposed.rule_names, None)}
    result = Simulation(list(by_name.values()), missing=tuple(sorted(proposed.custom - today.custom)))
    for facts in closings:
        if facts is None:
            result.without_facts += 1
            continue
        before, after = today.decide(facts), proposed.decide(facts)
        was, becomes = outcome_of(before), outcome_of(after)
        rule = by_name[after.rule]
        rule.outcomes[becomes] += 1
        result.closings += 1
        if was != becomes:
            result.changes[was, becomes] += 1
        rule.changed += was != becomes or _is_sent_differently(before, after)
    return result


def outcome_of(decision: Decision) -> Outcome:
    """Return in which of the four ways a closing ends, before cap, send window and second look."""
    if decision.survey == "skip":
        return "skipped"
    if isinstance(decision.filing, Unmapped):
        return "unmapped"
    return "survey" if decision.survey == "send" else "counted"


def _is_sent_differently(before: Decision, after: Decision) -> bool:
    if after.survey == "skip":
        return False
    return (before.seconds_until_send, before.filing) != (after.seconds_until_send, after.filing)
