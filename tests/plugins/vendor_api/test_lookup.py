"""What Airflow's API server cannot answer is no "not there"."""

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse, VariableResult

from plugins.kustomer.hook import KustomerHook
from plugins.runtime.organisations import DEFAULT
from plugins.runtime.run_context import open_ledger, settings_of
from plugins.vendor_api.errors import ConfigurationError
from plugins.vendor_api.lookup import LookupFailedError, find_connection, find_variable

NOT_FOUND = {"connection": ErrorType.CONNECTION_NOT_FOUND, "Variable": ErrorType.VARIABLE_NOT_FOUND}
CONTEXT: Any = {"params": {}}


class Supervisor:
    """What a task asks for connections and Variables; it answers as Airflow's does."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers

    def send(self, _question: object) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Be a task whose supervisor answers this; the last answer is repeated."""

    def answer(*answers: Any) -> None:
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(list(answers)), raising=False)

    return answer


def error(kind: ErrorType) -> ErrorResponse:
    return ErrorResponse(error=kind, detail={"status_code": 500})


ERRORS = [
    error(ErrorType.API_SERVER_ERROR),
    AirflowRuntimeError(error(ErrorType.API_SERVER_ERROR)),
    AirflowRuntimeError(error(ErrorType.GENERIC_ERROR)),
    EOFError(),
]


@pytest.mark.parametrize("answer", ERRORS, ids=repr)
@pytest.mark.parametrize("look", [find_connection, find_variable])
def test_an_error_of_the_api_server_is_an_error_to_retry(supervisor: Any, look: Any, answer: Any) -> None:
    supervisor(answer)

    with pytest.raises(LookupFailedError, match="'anything'") as failed:
        look("anything")

    assert not isinstance(failed.value, AirflowFailException)


@pytest.mark.parametrize(("look", "kind"), [(find_connection, "connection"), (find_variable, "Variable")])
@pytest.mark.parametrize("raised", [True, False])
def test_a_definite_no_is_believed(supervisor: Any, look: Any, kind: str, raised: bool) -> None:
    answer = error(NOT_FOUND[kind])
    supervisor(AirflowRuntimeError(answer) if raised else answer)

    assert look("anything") is None


def test_what_is_there_is_read(supervisor: Any) -> None:
    supervisor(VariableResult(key="settings", value="{}"))
    assert find_variable("settings") == "{}"

    nothing = dict.fromkeys(("schema", "login", "password", "port", "extra"))
    supervisor(ConnectionResult(conn_id="kustomer_default", conn_type="kustomer", host="h", **nothing))
    found = find_connection("kustomer_default")
    assert found is not None
    assert found.host == "h"


def test_what_comes_back_between_two_questions_is_not_taken_for_absent(supervisor: Any) -> None:
    supervisor(error(ErrorType.API_SERVER_ERROR), VariableResult(key="settings", value="{}"))

    with pytest.raises(LookupFailedError):
        find_variable("settings")


def test_settings_ledger_and_vendors_are_retried_while_the_api_server_errs(supervisor: Any) -> None:
    supervisor(AirflowRuntimeError(error(ErrorType.API_SERVER_ERROR)))

    for read in (
        lambda: settings_of(CONTEXT, DEFAULT),
        lambda: open_ledger(DEFAULT),
        lambda: KustomerHook("kustomer_default").settings,
    ):
        with pytest.raises(LookupFailedError):
            read()


def test_a_connection_that_is_not_there_ends_at_once(supervisor: Any) -> None:
    supervisor(AirflowRuntimeError(error(ErrorType.CONNECTION_NOT_FOUND)))

    with pytest.raises(AirflowFailException, match="'interaction_ledger' does not exist"):
        open_ledger(DEFAULT)
    with pytest.raises(ConfigurationError, match="'kustomer_default' does not exist"):
        _ = KustomerHook("kustomer_default").settings


def test_a_secrets_backend_that_fails_is_no_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow.sdk.configuration._secrets_backend_cache", {})
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "tests.support.broken_secrets.BrokenBackend")

    for look in (find_connection, find_variable):
        with pytest.raises(LookupFailedError, match="RuntimeError") as failed:
            look("anything")
        assert "hush" not in str(failed.value)
