"""Mapping and rules through the pipeline's own tasks."""

import json
import random
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import generate, start
from include.sandbox.options import ROLES
from tests.scenarios.conftest import HOUR
from tests.scenarios.surveying.conftest import BRANDS, LANGUAGES, MAPPING, QUEUES, QUICK, related, sent
from tests.support.pipeline import run_of


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

    def test_rules_mapping_cap_and_window_cost_no_call_for_each_interaction(
        self, pipeline, sandbox, settings, hour
    ):
        tag = next(iter(sandbox.state.organisation.tags.values()))
        brand = {**MAPPING["brand"], "default": "home"}
        rules = [
            {"name": "night", "when": {"queue": ["Night shift"]}, "then": {"survey": "skip"}},
            {
                "name": "tagged",
                "when": {"tag": [tag.name], "not": {"channel": ["chat"]}},
                "then": {"brand": "kids"},
            },
            {"name": "half", "when": {"brand": ["Larkspur Home"]}, "then": {"sample_percent": 50}},
        ]
        window = {"from": "00:00", "to": "24:00", "time_zone": "customer"}
        cap = {"surveys": 1, "days": 30}
        settings(**QUICK, **{**MAPPING, "brand": brand}, rules=rules, cap=cap, send_window=window)

        pipeline.run(run_of(hour))

        assert len(sandbox.state.received) > 600
        assert sandbox.state.calls.total() <= 1.05 * len(sandbox.state.received), dict(sandbox.state.calls)


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
