"""The setting `rules`: which closings a rule is about, and what becomes of them.

Reading and checking them is done here; `rule_book.py` decides by them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from include.interactions.clock_times import Hours
from include.interactions.closing_facts import CUSTOM, CUSTOMER_CUSTOM, NAMED_SOURCES, is_custom, texts_of
from include.interactions.mapping import FIELDS, Brand, Channel, Country, Language, Properties, Text, mentions_of
from include.interactions.names import Mention
from include.interactions.setting_types import MAX_DURATION_SECONDS, SettingPart

MAX_RULES = 200

Survey = Literal["send", "count", "skip"]
"""`send`: a survey. `count`: counted in Stella Connect without one (`do_not_send`). `skip`: nothing is sent."""


def _list_of_texts(value: Any) -> tuple[str, ...]:
    texts = texts_of(value)
    if not texts or (isinstance(value, list) and len(texts) < len(value)):
        raise ValueError("must be a text or a list of texts, none of them empty")
    return texts


def _list_of(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


AnyOf = Annotated[tuple[str, ...], BeforeValidator(_list_of_texts)]
"""One value or a list of them: any of them may be the closing's."""


class Block(BaseModel):
    """Conditions that must all hold; each has one value or a list of which any suffices."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, AnyOf]

    channel: AnyOf | None = None
    brand: AnyOf | None = None
    queue: AnyOf | None = None
    team: AnyOf | None = None
    sub_status: AnyOf | None = None
    priority: AnyOf | None = None
    language: AnyOf | None = None
    tag: AnyOf | None = None
    customer_tag: AnyOf | None = Field(None, alias="customer.tag")
    customer_domain: AnyOf | None = None
    agent: AnyOf | None = None
    closed_by: Annotated[tuple[Literal["person", "automation"], ...], BeforeValidator(_list_of)] | None = None
    direction: Annotated[tuple[Literal["in", "out"], ...], BeforeValidator(_list_of)] | None = None
    messages_at_least: Annotated[int, Field(strict=True, ge=0)] | None = None
    closed_between: Annotated[tuple[Hours, ...], BeforeValidator(_list_of), Field(min_length=1)] | None = None
    turned_round: "Block | None" = Field(None, alias="not")

    @model_validator(mode="before")
    @classmethod
    def _known_conditions(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for key in value:
                if key not in CONDITIONS and not is_custom(str(key)):
                    raise ValueError(
                        f"{key!r} is no condition; the conditions are {', '.join(CONDITIONS)}, "
                        f"{CUSTOM}<name>, {CUSTOMER_CUSTOM}<name>"
                    )
        return value

    @model_validator(mode="after")
    def _not_means_something(self) -> "Block":
        if self.turned_round is not None and self.turned_round.is_empty:
            raise ValueError("'not' without a condition never holds, so the rule could never apply")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether there is no condition at all, so that it always holds."""
        return (
            not self.by_source
            and self.turned_round is None
            and all(getattr(self, name) is None for name in _OTHER_CONDITIONS)
        )

    @property
    def by_source(self) -> dict[str, tuple[str, ...]]:
        """The conditions on sources, custom attributes included."""
        named = {name: getattr(self, name.replace(".", "_")) for name in NAMED_SOURCES}
        return {source: texts for source, texts in {**named, **(self.model_extra or {})}.items() if texts}


_OTHER_CONDITIONS = ("customer_domain", "agent", "closed_by", "direction", "messages_at_least", "closed_between")
CONDITIONS: tuple[str, ...] = (*NAMED_SOURCES, *_OTHER_CONDITIONS, "not")


class Then(SettingPart):
    """What becomes of the closings of a rule. The settings fill in the rest."""

    survey: Survey = "send"
    seconds_until_send: Annotated[int, Field(strict=True, ge=0, le=MAX_DURATION_SECONDS)] | None = None
    sample_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    channel: Channel | None = None
    brand: Brand | None = None
    language: Language | None = None
    country: Country | None = None
    custom_properties: Properties = Field(default={})


class Rule(SettingPart):
    """One rule: the first whose conditions hold decides."""

    name: Text
    when: Block = Block()
    then: Then = Then()


def _can_all_apply(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    names: set[str] = set()
    for place, rule in enumerate(rules):
        if rule.name in names:
            raise ValueError(f"rule {rule.name!r}: another rule has this name")
        names.add(rule.name)
        if rule.when.is_empty and place + 1 < len(rules):
            behind = rules[place + 1].name
            raise ValueError(
                f"rule {behind!r} could never apply: rule {rule.name!r} before it has no conditions in 'when'"
            )
    return rules


Rules = Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES), AfterValidator(_can_all_apply)]


def mentions_of_rules(rules: Iterable[Rule]) -> Iterator[Mention]:
    """Yield where the rules mention what Kustomer keeps lists of, and custom attributes."""
    for rule in rules:
        place = f"rule {rule.name!r}, "
        yield from _of_block(f"{place}when.", rule.when)
        fields = {name: getattr(rule.then, name) for name in FIELDS}
        yield from mentions_of(f"{place}then.", fields, rule.then.custom_properties)


def _of_block(place: str, block: Block) -> Iterator[Mention]:
    for source, texts in block.by_source.items():
        yield Mention(f"{place}{source}", source, texts)
    if block.turned_round is not None:
        yield from _of_block(f"{place}not.", block.turned_round)


def place_in_rules(location: tuple[int | str, ...], given: object) -> str:
    """Describe where a fault lies: "rule 'fraud', when.tag".

    Args:
        location: pydantic's, below the setting `rules`: the rule's place in the list, then the keys.
        given: the setting as it was written.
    """
    if not location or not isinstance(location[0], int):
        return "rules"
    rule = given[location[0]] if isinstance(given, list) and location[0] < len(given) else None
    name = rule.get("name") if isinstance(rule, Mapping) else None
    words = f"rule {name!r}" if isinstance(name, str) and name else f"rule {location[0] + 1}"
    keys = [str(key) for key in location[1:] if key not in ("text", "mapping")]
    return f"{words}, {'.'.join(keys)}" if keys else words
