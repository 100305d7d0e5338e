"""Settings that were there and are gone: nothing is sent by the defaults in their place."""

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from plugins.pipeline.feedback import record_feedback
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.preflight import check_configuration
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

VARIABLE = "AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT"
WEEK = 604800


@pytest.fixture
def context(hour):
    return run_of(hour)


@pytest.fixture
def lost(pipeline, close, settings, context, monkeypatch):
    """An hour's conversations were planned with a delay of a week; then the Variable goes."""
    close()
    settings(seconds_until_send=WEEK, do_not_send_attribute="doNotSurveyBool")
    check_configuration(context, DEFAULT)
    monkeypatch.delenv(VARIABLE)


@pytest.mark.usefixtures("lost")
def test_a_run_without_the_settings_that_the_last_one_had_fails_and_says_how_to_confirm_it(context):
    with pytest.raises(AirflowFailException) as failed:
        check_configuration(context, DEFAULT)

    for words in ("'kustomer_stella_connect' does not exist", f'"seconds_until_send": {WEEK}', "set it to {}"):
        assert words in str(failed.value)


@pytest.mark.usefixtures("lost")
def test_no_task_goes_on_with_the_defaults(pipeline, sandbox, context):
    window = {"due_from": context["dag_run"].run_after.isoformat(), "due_until": "2099-01-01T00:00:00+00:00"}
    for task in (
        lambda: pipeline.extract(context),
        lambda: plan_windows(context, DEFAULT),
        lambda: pipeline.release(context, window),
        lambda: record_feedback(context, DEFAULT),
    ):
        with pytest.raises(AirflowFailException, match="The defaults are not used"):
            task()

    assert sandbox.state.received == []


@pytest.mark.usefixtures("lost")
def test_an_empty_variable_confirms_that_the_defaults_are_wanted(settings, context, monkeypatch):
    settings()
    check_configuration(context, DEFAULT)
    monkeypatch.delenv(VARIABLE)

    check_configuration(context, DEFAULT)


def test_an_installation_that_never_had_settings_uses_the_defaults(pipeline, context, monkeypatch):
    monkeypatch.delenv(VARIABLE)

    check_configuration(context, DEFAULT)
    check_configuration(run_of(context["dag_run"].run_after + timedelta(hours=1)), DEFAULT)
