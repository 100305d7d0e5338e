"""From Kustomer's records and the settings to what becomes of a closing."""

from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.closing_facts import facts_from_text
from include.interactions.gathering import facts_now, gather_facts
from include.interactions.mapping import Filing
from include.interactions.names import Names
from include.interactions.reasons import Reason
from include.interactions.records import User, read_conversation, read_customer
from include.interactions.settings import SettingsError, load_settings
from include.interactions.survey_plan import SurveyPlanner, kinds_needed_by

CLOSED = datetime(2026, 6, 15, 12, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
NAMES = Names({"brand": {"b1": "Brand A"}, "tag": {"t1": "fraud", "t2": "vip"}})
AGENT = User.model_validate({"id": "u1", "attributes": {"name": "Sam", "email": "sam@example.org"}})


def conversation(relationships=None, **attributes):
    return read_conversation(
        {
            "id": "c1",
            "attributes": {
                "status": "done",
                "channels": ["chat", "email"],
                "lastDone": {"createdAt": "2026-06-15T12:00:00.000Z", "createdBy": "u1"},
                **attributes,
            },
            "relationships": {name: {"data": {"id": identity}} for name, identity in (relationships or {}).items()},
        }
    )


def customer(**attributes):
    return read_customer({"id": "k1", "attributes": attributes})


def facts(settings=None, *, closer=AGENT, of=None, person=None):
    chosen = load_settings(settings or {}, {})
    return gather_facts(
        of or conversation(),
        person or customer(),
        agent=AGENT,
        closer=closer,
        address="jane@Example.com",
        channel_of=chosen.channel_of,
        custom=SurveyPlanner(chosen).custom,
    )


def planner(settings, names=NAMES):
    chosen = load_settings(settings, {})
    hours = chosen.send_window.to_open_hours() if chosen.send_window else None
    return SurveyPlanner(chosen, names, hours)


def plan(settings, *, now=CLOSED, time_zone=None, names=NAMES, **given):
    return planner(settings, names).plan(facts(settings, **given), time_zone=time_zone, now=now)


def test_with_the_settings_of_today_everything_is_as_it_was():
    planned = plan({})

    assert (planned.due_at, planned.first_due_at) == (CLOSED + DAY, CLOSED + DAY)
    assert planned.filing == Filing("email")
    assert (planned.survey, planned.rule, planned.skip, planned.detail) == ("send", None, None, None)


def test_what_kustomer_says_becomes_facts():
    read = facts(
        {"custom_properties": {"p": "custom.planStr", "c": "customer.custom.cityStr", "x": "custom.cardStr"}},
        of=conversation(
            {"brand": "b1", "queue": "q1"},
            tags=["t1"],
            custom={"planStr": "free", "other": 1, "cardStr": "****11"},
            messageCount=4,
            direction="in",
        ),
        person=customer(tags=["t2"], custom={"cityStr": "Paris"}, defaultLang="fr_ca"),
    )

    assert read.values == {
        "brand": ("b1",),
        "queue": ("q1",),
        "channel": ("chat",),
        "tag": ("t1",),
        "customer.tag": ("t2",),
        "language": ("fr-ca", "fr-CA"),
        "custom.planStr": ("free",),
        "customer.custom.cityStr": ("Paris",),
    }
    assert (read.customer_domain, read.agent) == ("Example.com", ("u1", "sam@example.org", "Sam"))
    assert (read.closed_by, read.direction, read.messages) == ("person", "in", 4)


def test_the_language_of_the_conversation_counts_before_the_customers():
    read = facts(of=conversation(defaultLang="de"), person=customer(defaultLang="fr"))

    assert read.of("language") == ("de",)


@pytest.mark.parametrize(
    ("closed_by", "closer", "who"),
    [
        ("u1", AGENT, "person"),
        ("gone", None, "person"),
        (None, None, "automation"),
        ("m1", User.model_validate({"id": "m1", "attributes": {"userType": "machine"}}), "automation"),
    ],
)
def test_who_closed_it_is_a_person_or_an_automation(closed_by, closer, who):
    done = {"createdAt": "2026-06-15T12:00:00.000Z", "createdBy": closed_by}

    assert facts(of=conversation(lastDone=done), closer=closer).closed_by == who


def test_the_ledger_keeps_the_facts():
    read = facts(
        {"custom_properties": {"p": "custom.planStr"}},
        of=conversation({"brand": "b1"}, tags=["t1"], custom={"planStr": "free"}, messageCount=4, direction="out"),
    )

    assert read == facts_from_text(
        read.to_text(),
        conversation_id="c1",
        closed_at=CLOSED,
        agent=("u1", "sam@example.org", "Sam"),
    )


def test_a_rule_can_skip():
    planned = plan(
        {"rules": [{"name": "ours", "when": {"customer_domain": "example.com"}, "then": {"survey": "skip"}}]}
    )

    assert (planned.skip, planned.detail, planned.rule) == (Reason.RULE, "rule 'ours'", "ours")


@pytest.mark.parametrize("name", ["channel", "brand", "language", "country"])
def test_what_has_no_entry_is_skipped(name):
    planned = plan({name: {"from": "brand", "map": {"Brand A": "fr"}}})

    assert planned.skip == f"unmapped_{name}"
    assert planned.detail == f"{name}: the closing has no value of brand"


def test_a_rule_that_skips_needs_no_mapping():
    planned = plan({"brand": {"from": "brand"}, "rules": [{"name": "none", "then": {"survey": "skip"}}]})

    assert planned.skip is Reason.RULE


def test_outside_the_sample_it_counts():
    planned = plan({"rules": [{"name": "none", "then": {"sample_percent": 0}}]})

    assert (planned.survey, planned.detail, planned.skip) == ("count", "outside the sample", None)


def test_a_send_window_moves_the_due_time_and_the_first_one_stays():
    window = {"days": ["wed"], "from": "09:00", "to": "18:00", "spread_minutes": 0}

    planned = plan({"send_window": window})

    assert planned.first_due_at == CLOSED + DAY
    assert planned.due_at == datetime(2026, 6, 17, 9, tzinfo=UTC)


def test_what_only_counts_needs_no_window():
    window = {"days": ["wed"], "from": "09:00", "to": "18:00"}
    rules = [{"name": "all", "then": {"survey": "count"}}]

    assert plan({"send_window": window, "rules": rules}).due_at == CLOSED + DAY


def test_a_backfill_obeys_the_window():
    window = {"days": ["wed"], "from": "09:00", "to": "18:00", "spread_minutes": 0}
    now = datetime(2026, 9, 1, 12, tzinfo=UTC)  # a Tuesday

    planned = plan({"send_window": window}, now=now)

    assert (planned.first_due_at, planned.due_at) == (CLOSED + DAY, datetime(2026, 9, 2, 9, tzinfo=UTC))


def test_late_tags_exclude():
    settings = {"rules": [{"name": "fraud", "when": {"tag": "fraud"}, "then": {"survey": "count"}}]}
    recorded = facts(settings)
    late = facts_now(recorded, conversation(tags=["t1"]), channel_of=None, custom=())

    assert planner(settings).judge_again(recorded, "send") == ("send", None)
    assert planner(settings).judge_again(late, "send") == ("count", "fraud")
    assert planner(settings).judge_again(late, "skip") == ("skip", "fraud")
    assert planner(settings).judge_again(recorded, "count") == ("count", None)


def test_the_second_look_keeps_what_only_the_customer_says():
    recorded = facts(person=customer(tags=["t2"], defaultLang="fr"))

    now = facts_now(recorded, conversation(tags=["t1"], messageCount=9), channel_of="first", custom=())

    assert (now.of("customer.tag"), now.of("language"), now.of("tag")) == (("t2",), ("fr",), ("t1",))
    assert now.messages == 9


def test_names_that_kustomer_does_not_have_are_a_wrong_setting():
    settings = {
        "brand": {"from": "brand", "map": {"Brand B": "b"}},
        "rules": [{"name": "fraud", "when": {"tag": ["fraud", "farud"]}}],
    }

    with pytest.raises(
        SettingsError,
        match=r"brand\.map: Kustomer has no brand 'Brand B'; rule 'fraud', when\.tag: .* no tag 'farud'",
    ):
        planner(settings)


def test_without_names_in_the_settings_no_list_is_read():
    assert kinds_needed_by(load_settings({}, {})) == {}
    assert kinds_needed_by(load_settings({"brand": {"from": "brand"}}, {})) == {"brand": "brand.from"}
