"""Rules against a plain model that reads the same JSON in the most literal way."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from include.interactions.closing_facts import ClosingFacts
from include.interactions.mapping import Filing
from include.interactions.names import Names
from include.interactions.rule_book import RuleBook, stricter
from include.interactions.rules import Rules
from include.interactions.sampling import stable_fraction

LONG = [pytest.mark.soak, pytest.mark.timeout(3600)]
RULES = TypeAdapter(Rules)
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
NAMES = {"tag": {"t1": "vip", "t2": "Fraud", "t3": "VIP"}, "queue": {"q1": "Night", "q2": "Day"}}


def book(rules, names=NAMES):
    return RuleBook(
        RULES.validate_python(rules),
        fields={"channel": "email", "brand": None},
        properties={"q": "queue"},
        seconds_until_send=86400,
        names=Names(names),
    )


def facts(number=1, at=NOON, values=None, **more):
    return ClosingFacts(
        f"c{number}", at, {source: tuple(texts) for source, texts in (values or {}).items()}, **more
    )


def test_without_rules_the_settings_decide():
    decision = book([]).decide(facts(values={"queue": ["q1"]}))

    assert decision.filing == Filing("email", custom_properties={"q": "Night"})
    assert (decision.survey, decision.seconds_until_send, decision.rule) == ("send", 86400, None)


def test_the_first_rule_that_matches_decides_and_the_settings_fill_what_it_leaves_open():
    rules = [
        {"name": "night", "when": {"queue": "night"}, "then": {"brand": "b", "custom_properties": {"t": "tag"}}},
        {"name": "vip", "when": {"tag": "vip"}, "then": {"survey": "skip", "seconds_until_send": 60}},
    ]

    decision = book(rules).decide(facts(values={"queue": ["q1"], "tag": ["t1"]}))

    assert decision.filing == Filing("email", brand="b", custom_properties={"q": "Night", "t": "vip"})
    assert (decision.survey, decision.seconds_until_send, decision.rule) == ("send", 86400, "night")


def test_a_sample_is_drawn_once_for_each_closing_whatever_rule_asks():
    closings = [facts(number, NOON + timedelta(minutes=number)) for number in range(2000)]
    fifth = book([{"name": "a", "then": {"sample_percent": 20}}])
    again = book([{"name": "b", "when": {"tag": "vip"}}, {"name": "c", "then": {"sample_percent": 20}}])

    drawn = [fifth.decide(one).survey for one in closings]

    assert (
        drawn == [fifth.judge_again(one)[0] for one in closings] == [again.decide(one).survey for one in closings]
    )
    assert 340 < Counter(drawn)["send"] < 460
    assert [one.survey == "count" for one in map(fifth.decide, closings)] == [
        one.outside_sample for one in map(fifth.decide, closings)
    ]


@pytest.mark.parametrize(("percent", "survey"), [(0, "count"), (100, "send")])
def test_nobody_and_everybody_are_samples_too(percent, survey):
    rules = book([{"name": "a", "then": {"sample_percent": percent}}])

    assert {rules.decide(facts(number)).survey for number in range(500)} == {survey}


def test_what_is_not_surveyed_anyway_is_outside_no_sample():
    decision = book([{"name": "a", "then": {"survey": "skip", "sample_percent": 0}}]).decide(facts())

    assert (decision.survey, decision.outside_sample) == ("skip", False)


def test_sample_and_spread_draw_apart():
    early = [number for number in range(4000) if stable_fraction("sample", f"c{number}", NOON) < 0.1]

    assert 0.4 < sum(stable_fraction("spread", f"c{number}", NOON) for number in early) / len(early) < 0.6


@pytest.mark.parametrize(
    ("at", "holds"), [("08:59", False), ("09:00", True), ("16:59", True), ("17:00", False), ("00:00", False)]
)
def test_hours_are_wall_clock_times_of_their_zone(at, holds):
    rules = book(
        [
            {
                "name": "day",
                "when": {"closed_between": {"from": "09:00", "to": "17:00", "time_zone": "Europe/Paris"}},
            }
        ]
    )
    local = datetime.fromisoformat(f"2026-07-01T{at}").replace(tzinfo=ZoneInfo("Europe/Paris"))

    assert (rules.decide(facts(at=local.astimezone(UTC))).rule == "day") is holds


@pytest.mark.parametrize(
    ("at", "holds"), [("21:59", False), ("22:00", True), ("00:00", True), ("05:59", True), ("06:00", False)]
)
def test_hours_may_go_over_midnight(at, holds):
    rules = book([{"name": "night", "when": {"closed_between": {"from": "22:00", "to": "06:00"}}}])

    assert (rules.decide(facts(at=datetime.fromisoformat(f"2026-07-01T{at}+00:00"))).rule == "night") is holds


@pytest.mark.parametrize(
    ("one", "other", "result"), [("send", "count", "count"), ("skip", "count", "skip"), ("count", "send", "count")]
)
def test_an_exclusion_that_was_decided_stays(one, other, result):
    assert stricter(one, other) == result


def literal(value):
    return str(value).lower().strip()


def means(source, text, value):
    """Whether the setting's text means that value of the closing."""
    names = NAMES.get({"customer.tag": "tag"}.get(source, source), {})
    return literal(text) in (literal(value), literal(names.get(value, value)))


def block_holds(block, closing):
    for key, wanted in block.items():
        listed = wanted if isinstance(wanted, list) else [wanted]
        if key == "not":
            holds = not block_holds(wanted, closing)
        elif key == "messages_at_least":
            holds = closing.messages is not None and closing.messages >= wanted
        elif key in ("closed_by", "direction"):
            holds = getattr(closing, key) in listed
        elif key == "customer_domain":
            holds = any(
                closing.customer_domain is not None and literal(closing.customer_domain) == literal(d)
                for d in listed
            )
        elif key == "agent":
            holds = any(literal(agent) == literal(one) for agent in listed for one in closing.agent)
        elif key == "closed_between":
            minute = closing.closed_at.strftime("%H:%M")
            start, end = wanted["from"], wanted["to"]
            holds = start <= minute < end if start < end else (minute >= start or minute < end)
        else:
            holds = any(means(key, text, value) for text in listed for value in closing.values.get(key, ()))
        if not holds:
            return False
    return True


def model(rules, closing):
    for rule in rules:
        if block_holds(rule.get("when", {}), closing):
            then = rule.get("then", {})
            survey = then.get("survey", "send")
            place = stable_fraction("sample", closing.conversation_id, closing.closed_at) * 100
            if survey == "send" and place >= then.get("sample_percent", 100):
                survey = "count"
            return rule["name"], survey, then.get("seconds_until_send", 86400), then.get("channel", "email")
    return None, "send", 86400, "email"


tags, queues = st.sampled_from(["vip", "Fraud ", "t2", "T3"]), st.sampled_from(["night", "q2", "Day"])
plans = st.sampled_from(["free", "Pro", 3, True])


def one_or_more(values):
    return st.one_of(values, st.lists(values, min_size=1, max_size=3))


plain_conditions = {
    "tag": one_or_more(tags),
    "customer.tag": one_or_more(tags),
    "queue": one_or_more(queues),
    "custom.planStr": one_or_more(plans),
    "channel": one_or_more(st.sampled_from(["chat", "email"])),
    "closed_by": one_or_more(st.sampled_from(["person", "automation"])),
    "direction": one_or_more(st.sampled_from(["in", "out"])),
    "customer_domain": one_or_more(st.sampled_from(["example.com", "EXAMPLE.org"])),
    "agent": one_or_more(st.sampled_from(["u1", "Jo@example.com", "Sam"])),
    "messages_at_least": st.integers(0, 4),
    "closed_between": st.fixed_dictionaries(
        {"from": st.sampled_from(["06:00", "12:00", "22:00"]), "to": st.sampled_from(["07:00", "12:30", "23:59"])}
    ),
}
some_conditions = st.fixed_dictionaries({}, optional=plain_conditions).filter(bool)
blocks = st.recursive(
    some_conditions,
    lambda inner: st.tuples(st.fixed_dictionaries({}, optional=plain_conditions), inner).map(
        lambda pair: {**pair[0], "not": pair[1]}
    ),
    max_leaves=3,
)
thens = st.fixed_dictionaries(
    {},
    optional={
        "survey": st.sampled_from(["send", "count", "skip"]),
        "seconds_until_send": st.integers(0, 99),
        "sample_percent": st.sampled_from([0, 12.5, 50, 100]),
        "channel": st.sampled_from(["chat", "phone"]),
    },
)
rule_lists = st.lists(st.tuples(blocks, thens), max_size=4).map(
    lambda pairs: [{"name": f"r{n}", "when": when, "then": then} for n, (when, then) in enumerate(pairs)]
)
some_tags = st.lists(st.sampled_from(["t1", "t2", "t3", "t9"]), max_size=3)


@st.composite
def closings(draw):
    """A closing in which any value may be missing: so is one that Kustomer gives unreadable."""
    values = {
        "tag": draw(some_tags),
        "customer.tag": draw(some_tags),
        "queue": draw(st.sampled_from([[], ["q1"], ["q2"], ["q7"]])),
        "custom.planStr": draw(st.sampled_from([[], ["free"], ["pro "], ["3"], ["true", "free"]])),
        "channel": draw(st.sampled_from([[], ["chat"], ["email"], ["sms"]])),
    }
    return facts(
        draw(st.integers(1, 10**6)),
        NOON + timedelta(minutes=draw(st.integers(0, 1440))),
        values,
        customer_domain=draw(st.sampled_from([None, "Example.com", "example.org", "example.net"])),
        agent=draw(st.sampled_from([(), ("u1", "jo@example.com", "Jo"), ("u2", "sam@example.com", "Sam")])),
        closed_by=draw(st.sampled_from([None, "person", "automation"])),
        direction=draw(st.sampled_from([None, "in", "out"])),
        messages=draw(st.sampled_from([None, 0, 1, 3, 9])),
    )


@pytest.mark.parametrize("examples", [300, pytest.param(10_000, marks=LONG)])
def test_rules_decide_as_a_plain_reading_of_them_does(examples):
    @settings(max_examples=examples, deadline=None)
    @given(rules=rule_lists, closing=closings(), late=some_tags)
    def check(rules, closing, late):
        rule_book = book(rules)
        decision = rule_book.decide(closing)
        told = (decision.rule, decision.survey, decision.seconds_until_send, decision.filing.channel)
        assert told == model(rules, closing)

        tagged = facts(
            closing.conversation_id.removeprefix("c"),
            closing.closed_at,
            {**closing.values, "tag": (*closing.of("tag"), *late)},
            customer_domain=closing.customer_domain,
            agent=closing.agent,
            closed_by=closing.closed_by,
            direction=closing.direction,
            messages=closing.messages,
        )
        assert rule_book.judge_again(tagged) == (model(rules, tagged)[1], model(rules, tagged)[0])

    check()
