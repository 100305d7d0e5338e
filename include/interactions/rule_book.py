"""Decide by the rules: the first whose conditions hold decides, and the settings fill in the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from include.interactions.clock_times import Hours
from include.interactions.closing_facts import ClosingFacts, comparable
from include.interactions.mapping import FIELDS, FieldName, Filer, Filing, Lookup, Unmapped
from include.interactions.names import Names
from include.interactions.rules import Block, Rule, Survey
from include.interactions.sampling import stable_fraction

Condition = Callable[[ClosingFacts], bool]

STRICTNESS: Mapping[Survey, int] = {"send": 0, "count": 1, "skip": 2}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules and the mapping say about one closing."""

    survey: Survey
    seconds_until_send: int
    filing: Filing | Unmapped
    rule: str | None = None
    """The rule that applies; None: none does, the settings decide."""
    outside_sample: bool = False
    """Counted because the sample does not hold this closing."""


@dataclass(frozen=True, slots=True)
class _Page:
    """One rule, ready for use."""

    rule: Rule | None
    holds: Condition
    survey: Survey
    sample: float
    seconds_until_send: int
    filer: Filer


class RuleBook:
    """Rules and mapping of a run, with Kustomer's names looked up once.

    The mapping (`fields`, `properties`) and the delay are the settings' own, for what a rule leaves open.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        fields: Mapping[FieldName, str | Lookup | None],
        properties: Mapping[str, str],
        seconds_until_send: int,
        names: Names,
    ) -> None:
        def page(rule: Rule | None) -> _Page:
            if rule is None:
                return _Page(None, _always, "send", 1.0, seconds_until_send, Filer(fields, properties, names))
            then = rule.then
            given = {name: text for name in FIELDS if (text := getattr(then, name)) is not None}
            filer = Filer({**fields, **given}, {**properties, **then.custom_properties}, names)
            sample = 1.0 if then.sample_percent is None else then.sample_percent / 100
            delay = seconds_until_send if then.seconds_until_send is None else then.seconds_until_send
            return _Page(rule, condition_of(rule.when, names), then.survey, sample, delay, filer)

        self._pages = [page(rule) for rule in (*rules, None)]

    def decide(self, facts: ClosingFacts) -> Decision:
        """Return what becomes of the closing, and how it counts."""
        page = self._page_of(facts)
        survey, outside_sample = _survey_of(page, facts)
        return Decision(
            survey=survey,
            seconds_until_send=page.seconds_until_send,
            filing=page.filer.file(facts),
            rule=page.rule.name if page.rule else None,
            outside_sample=outside_sample,
        )

    def judge_again(self, facts: ClosingFacts) -> tuple[Survey, str | None]:
        """Tell whether there may be a survey by the facts as they are now, and the rule that says so."""
        page = self._page_of(facts)
        return _survey_of(page, facts)[0], page.rule.name if page.rule else None

    def _page_of(self, facts: ClosingFacts) -> _Page:
        return next(page for page in self._pages if page.holds(facts))


def stricter(first: Survey, second: Survey) -> Survey:
    """Return the answer that mails less: an earlier exclusion stays."""
    return max(first, second, key=STRICTNESS.__getitem__)


def _survey_of(page: _Page, facts: ClosingFacts) -> tuple[Survey, bool]:
    if page.survey != "send" or page.sample == 1:
        return page.survey, False
    inside = stable_fraction("sample", facts.conversation_id, facts.closed_at) < page.sample
    return ("send", False) if inside else ("count", True)


def _always(_: ClosingFacts) -> bool:
    return True


def condition_of(block: Block, names: Names) -> Condition:
    """Return the block as one condition. A missing or unreadable value fulfils no condition."""
    conditions = [_any_of(source, texts, names) for source, texts in block.by_source.items()]
    if block.customer_domain:
        conditions.append(_domain_is(block.customer_domain))
    if block.agent:
        conditions.append(_agent_is(block.agent))
    if (people := block.closed_by) is not None:
        conditions.append(lambda facts: facts.closed_by in people)
    if (directions := block.direction) is not None:
        conditions.append(lambda facts: facts.direction in directions)
    if (least := block.messages_at_least) is not None:
        conditions.append(lambda facts: facts.messages is not None and facts.messages >= least)
    if block.closed_between:
        conditions.append(_closed_within(block.closed_between))
    if block.turned_round is not None:
        inner = condition_of(block.turned_round, names)
        conditions.append(lambda facts: not inner(facts))
    if len(conditions) == 1:
        return conditions[0]
    return lambda facts: all(holds(facts) for holds in conditions)


def _any_of(source: str, texts: Sequence[str], names: Names) -> Condition:
    accepted = frozenset().union(*(names.accepted(source, text) for text in texts))

    def holds(facts: ClosingFacts) -> bool:
        values = facts.values.get(source)
        return values is not None and not accepted.isdisjoint(map(comparable, values))

    return holds


def _domain_is(domains: Sequence[str]) -> Condition:
    accepted = {comparable(domain).removeprefix("@") for domain in domains}
    return lambda facts: facts.customer_domain is not None and comparable(facts.customer_domain) in accepted


def _agent_is(agents: Sequence[str]) -> Condition:
    accepted = {comparable(agent) for agent in agents}
    return lambda facts: any(comparable(value) in accepted for value in facts.agent)


def _closed_within(spans: Sequence[Hours]) -> Condition:
    zones = [(hours, ZoneInfo(hours.time_zone)) for hours in spans]

    def holds(facts: ClosingFacts) -> bool:
        local = ((hours, facts.closed_at.astimezone(zone)) for hours, zone in zones)
        return any(hours.hold_at(at.hour * 60 + at.minute) for hours, at in local)

    return holds
