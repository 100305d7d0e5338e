import re

import pytest
from pydantic import TypeAdapter, ValidationError

from include.interactions.names import Names, custom_sources, kinds_needed, unknown_names
from include.interactions.rules import Rules, mentions_of_rules, place_in_rules

RULES = TypeAdapter(Rules)


def faults(rules):
    with pytest.raises(ValidationError) as error:
        RULES.validate_python(rules)
    return [f"{place_in_rules(fault['loc'], rules)}: {fault['msg']}" for fault in error.value.errors()]


def test_the_example_of_the_docs_is_read():
    rules = RULES.validate_python(
        [
            {
                "name": "colleagues",
                "when": {"customer_domain": ["example.com"]},
                "then": {"survey": "skip"},
            },
            {"name": "fraud", "when": {"tag": ["fraud", "dupe"]}, "then": {"survey": "count"}},
            {
                "name": "chat",
                "when": {"channel": ["chat"], "messages_at_least": 3},
                "then": {"seconds_until_send": 900},
            },
            {
                "name": "free plan",
                "when": {"custom.planStr": ["free"], "not": {"tag": ["vip"]}},
                "then": {"sample_percent": 20},
            },
        ]
    )

    assert [rule.name for rule in rules] == ["colleagues", "fraud", "chat", "free plan"]
    assert rules[3].when.by_source == {"custom.planStr": ("free",)}
    assert rules[3].when.turned_round.by_source == {"tag": ("vip",)}


def test_one_value_is_a_list_of_one_and_numbers_and_switches_are_texts():
    (rule,) = RULES.validate_python(
        [
            {
                "name": "a",
                "when": {"tag": "vip", "priority": 5, "custom.isBetaBool": True, "customer.tag": ["x", "y"]},
            }
        ]
    )

    assert rule.when.by_source == {
        "tag": ("vip",),
        "priority": ("5",),
        "custom.isBetaBool": ("true",),
        "customer.tag": ("x", "y"),
    }


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (
            {"name": "r", "when": {"tags": ["a"]}},
            r"rule 'r', when: .*'tags' is no condition; the conditions are channel",
        ),
        ({"name": "r", "when": {"custom.": ["a"]}}, r"rule 'r', when: .*'custom\.' is no condition"),
        ({"name": "r", "when": {"not": {"tags": ["a"]}}}, r"rule 'r', when\.not: .*'tags' is no condition"),
        ({"name": "r", "when": {"tag": []}}, r"rule 'r', when\.tag: .*a text or a list of texts"),
        ({"name": "r", "when": {"tag": ["a", ""]}}, r"rule 'r', when\.tag: .*none of them empty"),
        ({"name": "r", "when": {"tag": {"a": 1}}}, r"rule 'r', when\.tag: .*a text or a list of texts"),
        ({"name": "r", "when": {"custom.planStr": None}}, r"rule 'r', when\.custom\.planStr: .*a text or a list"),
        (
            {"name": "r", "when": {"closed_by": "robot"}},
            r"rule 'r', when\.closed_by\.0: .*'person' or 'automation'",
        ),
        ({"name": "r", "when": {"messages_at_least": "3"}}, r"rule 'r', when\.messages_at_least: .*integer"),
        ({"name": "r", "when": {"not": {}}}, r"rule 'r', when: .*'not' without a condition never holds"),
        (
            {"name": "r", "when": {"closed_between": {"from": "9:00", "to": "17:00"}}},
            r"rule 'r', when\.closed_between\.0\.from: .*'09:30'",
        ),
        (
            {"name": "r", "when": {"closed_between": {"from": "09:00", "to": "09:00"}}},
            r"rule 'r', when\.closed_between\.0: .*'from' must be before 'to'",
        ),
        (
            {"name": "r", "when": {"closed_between": {"from": "09:00", "to": "10:00", "time_zone": "Paris"}}},
            r"rule 'r', when\.closed_between\.0\.time_zone: .*'Paris' is no time zone",
        ),
        ({"name": "r", "then": {"surveys": "skip"}}, r"rule 'r', then\.surveys: Extra inputs"),
        ({"name": "r", "then": {"survey": "never"}}, r"rule 'r', then\.survey: .*'send', 'count' or 'skip'"),
        (
            {"name": "r", "then": {"sample_percent": 101}},
            r"rule 'r', then\.sample_percent: .*less than or equal to 100",
        ),
        ({"name": "r", "then": {"seconds_until_send": -1}}, r"rule 'r', then\.seconds_until_send: "),
        ({"name": "r", "then": {"language": "French"}}, r"rule 'r', then\.language: .*'French' must be a language"),
        ({"name": "r", "then": {"country": "France"}}, r"rule 'r', then\.country: .*'France' must be two letters"),
        (
            {"name": "r", "then": {"brand": {"from": "brands"}}},
            r"rule 'r', then\.brand\.from: .*'brands' is no source",
        ),
        (
            {"name": "r", "then": {"custom_properties": {"closed_at": "queue"}}},
            r"rule 'r', then\.custom_properties: .*'closed_at' is the pipeline's own property",
        ),
        ({"name": "r", "if": {}}, r"rule 'r', if: Extra inputs"),
        ({"when": {}}, r"rule 1, name: Field required"),
        ({"name": " "}, r"rule ' ', name: "),
    ],
)
def test_a_fault_names_the_rule_and_the_key(rule, named):
    (fault,) = faults([rule])

    assert re.match(named, fault)


def test_a_rule_behind_one_without_conditions_is_refused():
    (fault,) = faults([{"name": "all", "then": {"survey": "count"}}, {"name": "vip", "when": {"tag": "vip"}}])

    assert "rule 'vip' could never apply: rule 'all' before it has no conditions" in fault


def test_the_last_rule_may_be_without_conditions():
    assert len(RULES.validate_python([{"name": "vip", "when": {"tag": "vip"}}, {"name": "rest"}])) == 2


def test_two_rules_of_one_name_are_refused():
    (fault,) = faults([{"name": "a", "when": {"tag": "x"}}, {"name": "a", "when": {"tag": "y"}}])

    assert "rule 'a': another rule has this name" in fault


def test_rules_that_are_no_list_are_refused():
    assert faults({"name": "a"}) == ["rules: Input should be a valid tuple"]


def test_names_that_kustomer_does_not_have_are_told_with_rule_and_key():
    rules = RULES.validate_python(
        [
            {"name": "a", "when": {"tag": ["vip", "vpi"], "not": {"queue": "Night"}}},
            {"name": "b", "when": {"customer.tag": "old", "sub_status": "Waiting"}, "then": {"brand": "free text"}},
            {"name": "c", "then": {"brand": {"from": "brand", "map": {"Brand A": "a", "Brand X": "x"}}}},
        ]
    )
    names = Names({"tag": {"1": "VIP"}, "queue": {"2": "Day"}, "brand": {"3": "Brand A"}})

    assert unknown_names(mentions_of_rules(rules), names) == [
        "rule 'a', when.tag: Kustomer has no tag 'vpi'",
        "rule 'a', when.not.queue: Kustomer has no queue 'Night'",
        "rule 'b', when.customer.tag: Kustomer has no tag 'old'",
        "rule 'c', then.brand.map: Kustomer has no brand 'Brand X'",
    ]


def test_lists_are_read_only_where_a_name_is_needed():
    rules = RULES.validate_python(
        [
            {"name": "ids", "when": {"queue": "5f0000000000000000000001", "channel": "chat"}},
            {"name": "names", "when": {"team": "Billing"}, "then": {"custom_properties": {"brand": "brand"}}},
        ]
    )

    assert kinds_needed(mentions_of_rules(rules)) == {
        "team": "rule 'names', when.team",
        "brand": "rule 'names', then.custom_properties.brand",
    }


def test_custom_attributes_are_known_from_the_settings():
    rules = RULES.validate_python(
        [
            {
                "name": "a",
                "when": {"custom.planStr": "free", "not": {"customer.custom.vipBool": True}},
                "then": {"country": {"from": "customer.custom.countryStr"}, "custom_properties": {"q": "queue"}},
            }
        ]
    )

    assert custom_sources(mentions_of_rules(rules)) == {
        "custom.planStr",
        "customer.custom.vipBool",
        "customer.custom.countryStr",
    }
