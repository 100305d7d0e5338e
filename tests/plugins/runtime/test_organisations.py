"""One organisation by default, several by a variable of the environment."""

import json
from typing import Any

import pytest

from plugins.runtime.organisations import (
    ENVIRONMENT,
    SCHEDULE,
    Organisation,
    OrganisationsError,
    of_dag,
    organisations,
)


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.delenv(SCHEDULE, raising=False)


@pytest.mark.parametrize("text", [None, "", " "])
def test_without_a_word_there_is_the_one_with_the_plain_names(
    text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        monkeypatch.setenv(ENVIRONMENT, text)
    (one,) = organisations()

    assert one.schedule == "0 * * * *"
    assert one.dag_ids == (
        "kustomer_stella_connect",
        "stella_connect_feedback",
        "stella_connect_unknown_outcomes",
        "interaction_ledger_admin",
    )
    assert (one.kustomer_connection, one.stella_connect_connection, one.ledger_connection) == (
        "kustomer_default",
        "stella_connect_default",
        "interaction_ledger",
    )
    assert one.settings_variable == "kustomer_stella_connect"


def test_several_stand_beside_each_other_and_share_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCHEDULE, "5 * * * *")
    monkeypatch.setenv(ENVIRONMENT, '{"default": {}, "acme": {"schedule": "30 * * * *"}, "zeta_2": {}}')

    found = organisations()

    assert [(one.name, one.schedule) for one in found] == [
        ("default", "5 * * * *"),
        ("acme", "30 * * * *"),
        ("zeta_2", "5 * * * *"),
    ]
    assert found[1].dag_id == "kustomer_stella_connect__acme"
    assert found[1].settings_variable == "kustomer_stella_connect_acme"
    names = [
        name
        for one in found
        for name in (
            set(one.dag_ids) | {one.kustomer_connection, one.stella_connect_connection, one.ledger_connection}
        )
    ]
    assert len(set(names)) == len(names) == 21
    assert [of_dag(dag_id) for one in found for dag_id in one.dag_ids] == [one for one in found for _ in range(4)]
    assert of_dag("something_else") is None


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ("acme", "is not JSON"),
        ('{"acme": {}, "acme": {}}', "occurs twice"),
        ("[]", "not a JSON object"),
        ("{}", "not a JSON object"),
        ({"Acme": {}}, "'Acme' cannot be"),
        ({"a__b": {}}, "'a__b' cannot be"),
        ({"alarms": {}}, "'alarms' cannot be"),
        ({"x" * 41: {}}, "cannot be"),
        ({"acme": {"shedule": "0 * * * *"}}, "'shedule'"),
        ({"acme": None}, "None is not allowed for 'acme'"),
        ({"acme": {"schedule": "hourly"}}, "schedule 'hourly' of 'acme'"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_is_allowed(
    configuration: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, configuration if isinstance(configuration, str) else json.dumps(configuration))

    with pytest.raises(OrganisationsError) as refused:
        organisations()

    assert str(refused.value).startswith(ENVIRONMENT)
    assert says in str(refused.value)
    assert "allowed:" in str(refused.value)


def test_an_organisation_is_the_same_wherever_it_is_named() -> None:
    assert len({Organisation("acme"), Organisation("acme")}) == 1
