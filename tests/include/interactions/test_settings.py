import re
from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.settings import (
    MAX_DURATION_DAYS,
    MAX_DURATION_SECONDS,
    Settings,
    SettingsError,
    allowed,
    load_settings,
)


def test_without_a_variable_the_documented_defaults_hold():
    settings = load_settings(None, {})

    assert settings.seconds_until_send == 86400
    assert settings.on_reopen == "cancel"
    assert settings.max_releases_per_run is None


def test_the_trigger_form_overrides_the_variable_and_the_variable_the_default():
    params = {"channel": "phone", "start": "x", "end": None}
    settings = load_settings({"seconds_until_send": 60, "channel": "chat"}, params)

    assert (settings.seconds_until_send, settings.channel) == (60, "phone")


def test_an_empty_field_of_the_form_leaves_the_variable_alone():
    assert load_settings({"seconds_until_send": 60}, {"seconds_until_send": None}).seconds_until_send == 60


@pytest.mark.parametrize(
    ("variable", "names", "allows"),
    [
        ({"seconds_until_send": -1}, "'seconds_until_send' = -1", "whole number >= 0 and <= 3153600000"),
        ({"seconds_until_send": "soon"}, "'seconds_until_send' = 'soon'", "whole number >= 0 and <= 3153600000"),
        ({"seconds_until_send": True}, "'seconds_until_send' = True", "whole number >= 0 and <= 3153600000"),
        ({"release_window_seconds": 1}, "'release_window_seconds' = 1", "whole number >= 5 and <= 3600"),
        ({"expire_after_seconds": 10**12}, "'expire_after_seconds' = 1000000000000", "<= 3153600000"),
        ({"on_reopen": "maybe"}, "'on_reopen' = 'maybe'", "'cancel' | 'keep'"),
        ({"max_releases_per_run": 0}, "'max_releases_per_run' = 0", "whole number >= 1 or empty"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(variable, names, allows):
    with pytest.raises(SettingsError) as error:
        load_settings(variable, {})

    assert names in str(error.value)
    assert allows in str(error.value)


def test_an_unknown_setting_is_named_beside_the_known_ones():
    with pytest.raises(
        SettingsError, match=r"'seconds_till_send' is not a setting, .*; the settings are seconds_until"
    ):
        load_settings({"seconds_till_send": 5}, {})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"max_release_per_run": 10},
            "'max_release_per_run' is not a setting, perhaps you mean 'max_releases_per_run'",
        ),
        ({"max_release_per_run": None}, "'max_releases_per_run'"),
        ({"begin": "2026-01-05"}, "'begin' is not a setting"),
        ({"ends": "2026-01-05"}, "perhaps you mean 'end'"),
    ],
)
def test_an_unknown_param_of_a_run_is_refused_beside_the_nearest_setting(params, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings({}, params)


def test_an_unknown_setting_of_the_variable_is_named_beside_the_nearest():
    with pytest.raises(SettingsError, match="'seconds_til_send' is not a setting, perhaps you mean 'seconds_u"):
        load_settings({"seconds_til_send": 5}, {})


@pytest.mark.parametrize("seconds", [0, 30, 119])
@pytest.mark.parametrize("on_expired", ["count", "skip"])
def test_an_expiry_within_the_release_window_is_refused_since_nobody_would_get_a_survey(seconds, on_expired):
    with pytest.raises(SettingsError) as error:
        load_settings({"expire_after_seconds": seconds, "on_expired": on_expired}, {})

    assert f"'expire_after_seconds' = {seconds} is too short for 'release_window_seconds' = 60" in str(error.value)
    assert "at least 120" in str(error.value)


def test_settings_are_checked_together_wherever_they_come_from():
    with pytest.raises(SettingsError, match="at least 3660"):
        load_settings({"expire_after_seconds": 900}, {"release_window_seconds": 3600})

    assert load_settings({"expire_after_seconds": 120}, {}).expire_after_seconds == 120
    assert load_settings({"expire_after_seconds": 0, "on_expired": "send"}, {}).expire_after_seconds == 0


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(SettingsError) as error:
        load_settings({"seconds_until_send": -1, "on_expired": "never"}, {})

    assert "seconds_until_send" in str(error.value)
    assert "on_expired" in str(error.value)


def test_a_variable_that_is_not_an_object_is_refused():
    with pytest.raises(SettingsError, match="must be a JSON object"):
        load_settings([1, 2], {})


def test_the_longest_times_can_be_added_to_any_instant():
    settings = load_settings(
        {"seconds_until_send": MAX_DURATION_SECONDS, "expire_after_seconds": MAX_DURATION_SECONDS}, {}
    )
    due_at = datetime.now(UTC) + timedelta(seconds=settings.seconds_until_send)

    assert due_at + timedelta(seconds=settings.expire_after_seconds) > due_at
    assert datetime.now(UTC) - timedelta(days=MAX_DURATION_DAYS) < due_at


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_setting_can_be_explained_to_people(key):
    field = Settings.model_fields[key]

    assert field.title
    assert field.description
    assert allowed(key)


RULES = [{"name": "fraud", "when": {"tag": ["fraud"]}, "then": {"survey": "count"}}]


def test_what_is_more_than_one_value_is_off_by_default():
    settings = load_settings(None, {})

    assert (settings.channel, settings.brand, settings.language, settings.country) == ("email", None, None, None)
    assert (settings.rules, settings.custom_properties, settings.survey_address) == ((), {}, "profile")
    assert (settings.cap, settings.send_window) == (None, None)


def test_the_trigger_form_puts_a_text_in_place_of_a_mapping():
    variable = {"channel": {"from": "channel", "map": {"chat": "chat"}}, "rules": RULES}

    settings = load_settings(variable, {"channel": "phone"})

    assert settings.channel == "phone"
    assert settings.rules[0].name == "fraud"


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ({"rules": [{"name": "fraud", "when": {"tags": "x"}}]}, r"rule 'fraud', when = .*'tags' is no condition"),
        ({"rules": [*RULES, {"name": "b", "then": {"brand": ""}}]}, r"rule 'b', then\.brand = '' is not allowed"),
        ({"rules": [{"name": "a"}, *RULES]}, r"'rules' = .*\(rule 'fraud' could never apply"),
        ({"rules": {"name": "a"}}, r"'rules' = .*allowed: JSON list"),
        ({"rules": [{"name": "a", "them": {}}]}, r"rule 'a', them = {} is not allowed \(there is no such key\)"),
        (
            {"channel": {"from": "chanel"}},
            r"'channel\.from' = 'chanel' is not allowed \('chanel' is no source; the sources",
        ),
        ({"channel": ""}, r"'channel' = '' is not allowed .*allowed: text or JSON object"),
        ({"brand": {"map": {"a": "b"}}}, r"'brand\.from' = .*Field required"),
        ({"language": "French"}, r"'language' = 'French' is not allowed \('French' must be a language such as"),
        ({"cap": {"surveys": 0, "days": 30}}, r"'cap\.surveys' = 0 is not allowed"),
        (
            {"cap": {"surveys": 1, "days": 30, "every": 1}},
            r"'cap\.every' = 1 is not allowed \(there is no such key\)",
        ),
        ({"send_window": {"from": "09:00", "to": "9"}}, r"'send_window\.to' = '9' is not allowed \(must be a time"),
        ({"custom_properties": {"closed_at": "queue"}}, r"'custom_properties' = .*the pipeline's own property"),
        (
            {"custom_properties": {"q": "queu"}},
            r"'custom_properties\.q' = 'queu' is not allowed \('queu' is no source",
        ),
    ],
)
def test_a_wrong_mapping_rule_cap_or_window_is_named(variable, told):
    with pytest.raises(SettingsError, match=told):
        load_settings(variable, {})
