"""Read Airflow's connections and Variables, and tell "not there" from "could not be read".

Airflow 3.3.2 takes both for "not there": the API server's 500 as well as a secrets backend that fails. A default
would then replace a setting that exists. So each "not there" is confirmed: every place that Airflow looks in must
say so.
"""

from typing import Any, Literal

from airflow.sdk import BaseHook, Connection, Variable
from airflow.sdk.bases.secrets_backend import BaseSecretsBackend
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException, AirflowRuntimeError, ErrorType

Kind = Literal["connection", "Variable"]
NOT_FOUND = (ErrorType.CONNECTION_NOT_FOUND, ErrorType.VARIABLE_NOT_FOUND)


class LookupFailedError(AirflowException):
    """Airflow could not say whether the connection or Variable exists: to be retried, never a default."""


def find_connection(conn_id: str) -> Connection | None:
    """Return the connection; None if it does not exist.

    Raises:
        LookupFailedError: it could not be read.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        _confirm_absence("connection", conn_id)
    return None


def find_variable(name: str) -> str | None:
    """Return the Variable's text; None if it does not exist.

    Raises:
        LookupFailedError: it could not be read.
    """
    # Read as text: asked for JSON, Airflow takes a Variable of the environment that is none for missing.
    value: str | None = Variable.get(name, default=None)
    if value is None:
        _confirm_absence("Variable", name)
    return value


def _confirm_absence(kind: Kind, name: str) -> None:
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            found = _ask(backend, kind, name)
        except AirflowRuntimeError as error:
            if error.error.error in NOT_FOUND:
                continue
            raise _failed(kind, name, error.error.error.value) from None
        except Exception as error:  # noqa: BLE001 - whatever a backend raises, it did not say "not there"
            # Not its words: a backend's may quote an address with its password.
            raise _failed(kind, name, f"{type(backend).__name__}: {type(error).__name__}") from None
        if found is not None:
            raise _failed(kind, name, "it could not be read a moment ago, and now it can")


def _ask(backend: BaseSecretsBackend, kind: Kind, name: str) -> Any:
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection, GetVariable
    from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend

    if not isinstance(backend, ExecutionAPISecretsBackend):
        return backend.get_connection(name) if kind == "connection" else backend.get_variable(name)
    # This backend returns None for every error, so its question is asked here.
    question = GetConnection(conn_id=name) if kind == "connection" else GetVariable(key=name)
    answer = task_runner.SUPERVISOR_COMMS.send(question)
    if isinstance(answer, ErrorResponse):
        raise AirflowRuntimeError(answer)
    return answer


def _failed(kind: Kind, name: str, cause: str) -> LookupFailedError:
    return LookupFailedError(f"Airflow could not read the {kind} {name!r} ({cause}). The task tries again.")
