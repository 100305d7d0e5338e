from datetime import UTC, datetime, timedelta

from include.interactions.closing_facts import ClosingFacts
from include.interactions.settings import load_settings
from include.interactions.simulation import simulate
from include.interactions.survey_plan import SurveyPlanner

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def planner(**settings):
    return SurveyPlanner(load_settings(settings, {}))


def closings(**tags):
    """So many closings with each tag."""
    for tag, number in tags.items():
        for one in range(number):
            yield ClosingFacts(f"{tag}{one}", NOON + timedelta(seconds=one), {"tag": (tag,)})


def test_each_rule_says_what_it_would_do_and_what_that_changes():
    rules = [
        {"name": "fraud", "when": {"tag": "fraud"}, "then": {"survey": "skip"}},
        {"name": "vip", "when": {"tag": "vip"}, "then": {"seconds_until_send": 60}},
        {"name": "quiet", "when": {"tag": "dull"}, "then": {"survey": "count"}},
        {"name": "never", "when": {"tag": "none"}, "then": {"survey": "count"}},
    ]
    today = planner(rules=[{"name": "fraud", "when": {"tag": "fraud"}, "then": {"survey": "count"}}])

    result = simulate([*closings(fraud=2, vip=3, dull=4, other=5), None], today, planner(rules=rules))

    assert [(rule.name, dict(rule.outcomes), rule.changed) for rule in result.rules] == [
        ("fraud", {"skipped": 2}, 2),
        ("vip", {"survey": 3}, 3),
        ("quiet", {"counted": 4}, 4),
        ("never", {}, 0),
        (None, {"survey": 5}, 0),
    ]
    assert (result.closings, result.without_facts) == (14, 1)
    assert result.changes == {("counted", "skipped"): 2, ("survey", "counted"): 4}


def test_what_has_no_entry_in_the_mapping_is_told():
    brand = {"from": "tag", "map": {"vip": "gold"}}

    result = simulate(closings(vip=1, other=2), planner(), planner(brand=brand))

    assert dict(result.rules[0].outcomes) == {"survey": 1, "unmapped": 2}
    assert result.rules[0].changed == 3


def test_an_attribute_that_the_ledger_never_kept_is_named():
    rules = [{"name": "a", "when": {"custom.planStr": "free", "customer.custom.kindStr": "x"}}]
    kept = planner(custom_properties={"kind": "customer.custom.kindStr"})

    assert simulate([], kept, planner(rules=rules)).missing == ("custom.planStr",)
