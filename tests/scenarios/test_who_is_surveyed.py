"""Mapping, rules, cap and send window through the pipeline's own tasks."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import generate, start
from include.sandbox.model import Schedule
from include.sandbox.options import LIST_ROLES, ROLES
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import run_of

BRANDS = {"b-home": "Larkspur Home", "b-kids": "Larkspur Kids", "b-none": "Not at Stella"}
QUEUES = {"q-day": "Day shift", "q-night": "Night shift"}
LANGUAGES = {"en_us": "en-US", "fr_CA": "fr-CA", "de": "de"}
MAPPING = {
    "channel": {"from": "channel", "map": {"chat": "chat", "voice": "phone"}, "default": "email"},
    "brand": {"from": "brand", "map": {"Larkspur Home": "home", "larkspur kids": "kids"}},
    "language": {"from": "language", "default": "en-US"},
    "custom_properties": {"queue": "queue", "plan": "custom.planStr", "tier": "customer.custom.tierStr"},
}
QUICK = {"seconds_until_send": 60, "kustomer_requests_per_minute": 100_000}


@pytest.fixture
def sandbox(hour, size):
    organisation = generate(seed=7, conversations=size, agents=12, closed_from=hour, closed_to=hour + HOUR)
    organisation.brands |= BRANDS
    organisation.queues |= QUEUES
    options = {"search_per_minute": 0, "org_per_minute": 0, "data_per_minute": 0}
    account = {"stella_brands": ("home", "kids"), "stella_languages": tuple(LANGUAGES.values())}
    with start(organisation, kustomer_roles=(*ROLES, *LIST_ROLES), **options, **account) as running:
        yield running


def related(**ids):
    return {name: {"data": {"type": name, "id": identity}} for name, identity in ids.items()}


def sent(sandbox):
    return {one.request["ext_interaction_id"]: one.request for one in sandbox.state.received}


class TestSeveralBrandsAndLanguages:
    @pytest.fixture
    def size(self):
        return 1000

    def test_of_a_thousand_closings_none_is_refused_and_each_is_filed_right(
        self, pipeline, sandbox, settings, hour
    ):
        chance, organisation, wanted = random.Random(5), sandbox.state.organisation, {}
        for one in organisation.conversations.values():
            brand, queue, language = (chance.choice(list(kind)) for kind in (BRANDS, QUEUES, LANGUAGES))
            one.relationships = {**(one.relationships or {}), **related(brand=brand, queue=queue)}
            one.attributes = {**(one.attributes or {}), "defaultLang": language}
            one.custom = {**(one.custom or {}), "planStr": chance.choice(["free", "pro"])}
            channel = {"chat": "chat", "voice": "phone"}.get(one.channel, "email")
            wanted[one.id] = (channel, brand, LANGUAGES[language], QUEUES[queue], one.custom["planStr"])
        settings(**QUICK, **MAPPING)

        pipeline.run(run_of(hour))

        assert sandbox.state.refused == []
        states, requests = pipeline.states(), sent(sandbox)
        assert len(requests) > 400
        for conversation, (channel, brand, language, queue, plan) in wanted.items():
            if brand == "b-none":
                assert states.get(conversation) != "sent"
                continue
            if conversation in requests:
                request = requests[conversation]
                told = request["channel"], request["brand"], request["language"]
                assert told == (channel, {"b-home": "home", "b-kids": "kids"}[brand], language)
                assert request["custom_properties"]["queue"] == queue
                assert request["custom_properties"].get("plan") == plan
        unmapped = [key for key, state in states.items() if state == "skipped unmapped_brand"]
        assert unmapped
        assert {wanted[key][1] for key in unmapped} == {"b-none"}


def test_without_an_entry_the_closing_is_skipped_with_the_value_that_lacks_one(pipeline, settings, close, hour):
    close(relationships=related(brand="b-none"))
    settings(**QUICK, **MAPPING)

    pipeline.run(run_of(hour))

    (row,) = pipeline.query("SELECT state, reason, detail, customer_email FROM interaction")
    assert tuple(row) == ("skipped", "unmapped_brand", "brand: no entry for brand 'Not at Stella'", None)


def test_rules_decide_who_is_surveyed_and_when(pipeline, sandbox, settings, close, hour):
    tag, other = list(sandbox.state.organisation.tags.values())[:2]
    rules = [
        {"name": "fraud", "when": {"tag": tag.name}, "then": {"survey": "count"}},
        {
            "name": "colleagues",
            "when": {"customer_domain": "example.com", "tag": other.name},
            "then": {"survey": "skip"},
        },
        {"name": "slow", "when": {"queue": "night shift"}, "then": {"seconds_until_send": 7 * 86400}},
    ]
    home = related(brand="b-home")
    counted, skipped = close(tags=[tag.id], relationships=home), close(tags=[other.id], relationships=home)
    waits = close(relationships=home | related(queue="q-night"))
    plain = close(relationships=home | related(queue="q-day"))
    settings(**QUICK, **MAPPING, rules=rules)

    pipeline.run(run_of(hour))

    assert pipeline.states() == {counted: "sent", skipped: "skipped rule", waits: "planned", plain: "sent"}
    assert sent(sandbox)[counted]["do_not_send"] is True
    assert "do_not_send" not in sent(sandbox)[plain]
    rows = pipeline.query("SELECT conversation_id, rule FROM interaction")
    assert {row.conversation_id: row.rule for row in rows} == {
        counted: "fraud",
        skipped: "colleagues",
        waits: "slow",
        plain: None,
    }


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"rules": [{"name": "night", "when": {"queue": "Nigth shift"}}]},
            "rule 'night', when.queue: .* 'Nigth shift'",
        ),
        ({"brand": {"from": "brand", "map": {"Larkspur": "x", "Nobody": "y"}}}, "brand.map: .* no brand 'Nobody'"),
    ],
)
def test_a_name_that_kustomer_does_not_have_fails_the_run_at_its_start(pipeline, settings, hour, values, told):
    settings(**QUICK, **values)

    with pytest.raises(AirflowFailException, match=told):
        pipeline.extract(run_of(hour))
    assert pipeline.states() == {}


def test_names_that_the_key_may_not_read_fail_the_run_and_name_the_role(pipeline, sandbox, settings, hour):
    for key, roles in sandbox.state.kustomer_tokens.items():
        if roles is not None:
            sandbox.state.kustomer_tokens[key] = ROLES
    settings(**QUICK, rules=[{"name": "night", "when": {"queue": "Night shift"}, "then": {"survey": "count"}}])

    with pytest.raises(
        AirflowFailException, match=r"rule 'night', when\.queue needs .* org\.permission\.queue\.read"
    ):
        pipeline.extract(run_of(hour))


def test_ids_need_no_role(pipeline, sandbox, settings, close, hour):
    close(relationships=related(brand="b-home", queue="5f00000000000000000000c1"))
    for key, roles in sandbox.state.kustomer_tokens.items():
        if roles is not None:
            sandbox.state.kustomer_tokens[key] = ROLES
    settings(
        **QUICK, rules=[{"name": "id", "when": {"queue": "5f00000000000000000000c1"}, "then": {"survey": "skip"}}]
    )

    pipeline.run(run_of(hour))

    assert list(pipeline.states().values()) == ["skipped rule"]


@pytest.mark.parametrize(
    ("survey_address", "goes_to"), [("profile", "first@example.com"), ("conversation", "wrote@example.com")]
)
def test_the_survey_can_go_to_the_address_that_wrote(
    pipeline, sandbox, settings, close, hour, survey_address, goes_to
):
    wrote = {"channel": "email", "meta": {"from": "Wrote@example.com"}}
    conversation = close(attributes={"firstMessageIn": wrote}, relationships=related(brand="b-home"))
    customer = sandbox.state.organisation.customers[
        sandbox.state.organisation.conversations[conversation].customer_id
    ]
    customer.emails = (("first@example.com", True), ("wrote@example.com", False))
    settings(**QUICK, **MAPPING, survey_address=survey_address)

    pipeline.run(run_of(hour))

    assert sent(sandbox)[conversation]["customer"]["email"] == goes_to


class TestTheSettingsOfToday:
    @pytest.fixture
    def sandbox(self, hour):
        organisation = generate(seed=7, conversations=0, agents=12, closed_from=hour, closed_to=hour + HOUR)
        with start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as running:
            yield running

    def test_send_the_same_request_byte_for_byte(self, pipeline, sandbox, close, hour):
        tag = next(iter(sandbox.state.organisation.tags.values()))
        conversation = close(
            tags=[tag.id],
            custom={"planStr": "free"},
            relationships=related(queue="q-day"),
            attributes={"defaultLang": "fr"},
        )
        one = sandbox.state.organisation.conversations[conversation]
        customer = sandbox.state.organisation.customers[one.customer_id]

        pipeline.run(run_of(hour))

        closed_at = (hour + timedelta(minutes=10)).isoformat()
        expected = {
            "channel": "email",
            "customer": {"name": customer.name, "email": customer.emails[0][0]},
            "employee": {"email": one.expected_employee},
            "ext_interaction_id": conversation,
            "external_url": f"https://acme.kustomerapp.com/app/customers/{customer.id}/event/{conversation}",
            "custom_properties": {"closed_at": closed_at},
            "tags": [tag.name],
        }
        assert json.dumps(sent(sandbox)[conversation]) == json.dumps(expected)

    def test_read_no_list_but_users_and_tags(self, pipeline, sandbox, close, hour):
        close()

        pipeline.run(run_of(hour))

        lists = ("/v1/brands", "/v1/queues", "/v1/teams", "/v1/sub-statuses", "/v1/schedules")
        assert [call for call in sandbox.state.calls if any(path in call for path in lists)] == []


def at_home(**ids):
    return related(brand="b-home", **ids)


def window(opens_in, **more):
    """A send window that opens so many hours from now, for an hour."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    start, end = (now + timedelta(hours=opens_in + one) for one in (0, 1))
    return {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}", "spread_minutes": 0, **more}


class TestRightBeforeTheSend:
    @pytest.fixture
    def tag(self, sandbox):
        return next(iter(sandbox.state.organisation.tags.values()))

    @pytest.mark.parametrize(("survey", "state"), [("count", "sent"), ("skip", "skipped rule")])
    def test_a_tag_that_came_late_excludes(self, pipeline, sandbox, settings, close, hour, tag, survey, state):
        conversation = close(relationships=at_home())
        settings(
            **QUICK, **MAPPING, rules=[{"name": "late", "when": {"tag": tag.name}, "then": {"survey": survey}}]
        )
        pipeline.extract(run_of(hour))
        close(id=conversation, tags=[tag.id])

        pipeline.release_due(run_of(hour))

        assert pipeline.states() == {conversation: state}
        assert [request.get("do_not_send") for request in sent(sandbox).values()] == [True] * (state == "sent")
        (row,) = pipeline.query("SELECT rule FROM interaction")
        assert row.rule is None  # as it was when the closing was recorded

    def test_delay_and_mapping_stay_as_they_were_at_the_closing(self, pipeline, sandbox, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING)
        pipeline.extract(run_of(hour))
        settings(**QUICK, brand="kids", language="de")
        close(id=conversation, relationships=related(brand="b-kids"))

        pipeline.release_due(run_of(hour))

        assert (sent(sandbox)[conversation]["brand"], sent(sandbox)[conversation]["language"]) == ("home", "en-US")


class TestACap:
    @pytest.fixture
    def again(self, sandbox, close):
        """A function that closes a conversation of the same customer each time."""

        def add(minute):
            first = next(iter(sandbox.state.organisation.conversations.values()), None)
            same = {"customer_id": first.customer_id} if first else {}
            return close(minute=minute, relationships=at_home(), **same)

        return add

    @pytest.mark.parametrize("over", ["count", "skip"])
    def test_a_second_survey_within_the_days_is_not_mailed(self, pipeline, sandbox, settings, again, hour, over):
        first, *others = (again(minute) for minute in range(4))
        settings(**QUICK, **MAPPING, cap={"surveys": 1, "days": 30, "over": over})

        pipeline.run(run_of(hour))

        surveys = [key for key, request in sent(sandbox).items() if not request.get("do_not_send")]
        assert len(surveys) == 1
        states = pipeline.states()
        assert states.pop(surveys[0]) == "sent"
        assert set(states) == {first, *others} - set(surveys)
        assert set(states.values()) == {"sent" if over == "count" else "skipped capped"}
        words = [
            row.detail
            for row in pipeline.query("SELECT detail FROM interaction_event WHERE detail LIKE '%next survey%'")
        ]
        assert len(words) == 3
        assert all("next survey possible from" in each for each in words)

    def test_backfilled_and_manual_rows_are_capped_too(self, pipeline, sandbox, settings, again, hour):
        settings(**QUICK, **MAPPING, cap={"surveys": 1, "days": 30})
        for number, origin in enumerate(("scheduled", "backfill", "manual")):
            again(number)
            pipeline.run(run_of(hour, origin=origin))

        assert [bool(request.get("do_not_send")) for request in sent(sandbox).values()] == [False, True, True]

    def test_without_a_cap_nothing_is_capped(self, pipeline, sandbox, settings, again, hour):
        for minute in range(3):
            again(minute)
        settings(**QUICK, **MAPPING)

        pipeline.run(run_of(hour))

        assert [request.get("do_not_send") for request in sent(sandbox).values()] == [None] * 3


class TestASendWindow:
    def test_what_falls_due_outside_waits_for_the_opening(self, pipeline, sandbox, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window=window(opens_in=3))

        pipeline.run(run_of(hour))

        assert pipeline.states() == {conversation: "planned"}
        (row,) = pipeline.query("SELECT due_at, first_due_at, closed_at FROM interaction")
        assert row.first_due_at == row.closed_at + 60_000
        assert 2 * 3_600_000 < row.due_at - datetime.now(UTC).timestamp() * 1000 <= 3 * 3_600_000
        assert pipeline.sent() == []

    def test_what_is_due_when_the_window_has_closed_is_put_off(self, pipeline, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING)
        pipeline.extract(run_of(hour))
        settings(**QUICK, **MAPPING, send_window=window(opens_in=3))

        (result,) = pipeline.release_due(run_of(hour))

        assert result["put_off"] == 1
        assert pipeline.states() == {conversation: "planned"}
        assert pipeline.sent() == []
        assert pipeline.release_due(run_of(hour)) == []

    def test_an_open_window_changes_nothing(self, pipeline, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window=window(opens_in=0))

        pipeline.run(run_of(hour))

        assert pipeline.sent() == [conversation]

    def test_a_backfill_obeys_it(self, pipeline, settings, close, hour):
        close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window=window(opens_in=3))

        pipeline.run(run_of(hour, origin="backfill"))

        assert set(pipeline.states().values()) == {"planned"}

    def test_what_only_counts_does_not_wait(self, pipeline, sandbox, settings, close, hour):
        close(relationships=at_home())
        rules = [{"name": "all", "then": {"survey": "count"}}]
        settings(**QUICK, **MAPPING, rules=rules, send_window=window(opens_in=3))

        pipeline.run(run_of(hour))

        assert len(pipeline.sent()) == 1

    def test_a_schedule_of_kustomers_decides(self, pipeline, sandbox, settings, close, hour):
        now = datetime.now(UTC)
        closed_today = {str(day): [[0, 1440]] for day in range(7)}
        today = now.isoweekday() % 7
        closed_today[str(today)] = None
        sandbox.state.organisation.schedules.append(Schedule("s1", "Support", "UTC", closed_today))
        close(relationships=at_home())
        settings(**QUICK, **MAPPING, send_window={"schedule": "support", "spread_minutes": 0})

        pipeline.extract(run_of(hour))

        (row,) = pipeline.query("SELECT due_at FROM interaction")
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        assert row.due_at == midnight.timestamp() * 1000

    def test_a_schedule_that_does_not_exist_fails_the_run(self, pipeline, settings, hour):
        settings(**QUICK, send_window={"schedule": "Nights"})

        with pytest.raises(AirflowFailException, match="Kustomer has no schedule named 'Nights'"):
            pipeline.extract(run_of(hour))

    def test_past_the_expiry_on_expired_decides(self, pipeline, sandbox, settings, close, hour):
        conversation = close(relationships=at_home())
        settings(**QUICK, **MAPPING, expire_after_seconds=300, send_window=window(opens_in=3))

        pipeline.run(run_of(hour))

        assert pipeline.states() == {conversation: "planned"}  # counts at the opening, when it is expired
        with pipeline.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE interaction SET due_at = first_due_at + 1")
        pipeline.release_due(run_of(hour))
        assert sent(sandbox)[conversation]["do_not_send"] is True
