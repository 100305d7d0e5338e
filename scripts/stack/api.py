"""A small client of Airflow's REST API for the demo, measurements and tests."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed
from urllib3 import Retry

from scripts.stack.ports import loopback_session
from scripts.stack.waiting import wait_until

Json = dict[str, Any]
FINAL_STATES = frozenset({"success", "failed"})
READ_SECONDS = 60
ASKED_AGAIN = Retry(
    total=2, connect=0, allowed_methods=["GET"], backoff_factor=0.5, status_forcelist=[500], raise_on_status=False
)
"""A busy machine may answer only after half a minute, or 500 because its SQLite file was locked for longer than
Airflow waits (both were seen). A refused connection fails at once."""
STOP_ORDERING = stop_after_attempt(5)
"""For a backfill that Airflow answers with 500 because its SQLite file was locked (seen at load 16). If it exists
after all, Airflow refuses the second order with 409."""


class AirflowApi:
    """A session with one API server. It logs in when needed, and again after the token has expired.

    Each call raises requests.HTTPError (its text includes Airflow's answer) or another requests.RequestException
    if the server refuses the connection or does not answer; a GET only after three attempts.
    """

    def __init__(self, url: str, user: str = "admin", password: str = "admin") -> None:  # noqa: S107  the demo's login on loopback
        self.url = url
        self._login = {"username": user, "password": password}
        self._http = loopback_session()
        self._http.mount(url, HTTPAdapter(max_retries=ASKED_AGAIN))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self, method: str, path: str, body: Json | None = None, params: Mapping[str, Any] | None = None
    ) -> Json:
        """Return the answer to one call of `/api/v2`; an empty answer is an empty dict."""
        response = self._request(method, path, body, params)
        if response.status_code == requests.codes.unauthorized:
            token = self._http.post(f"{self.url}/auth/token", json=self._login, timeout=READ_SECONDS)
            token.raise_for_status()
            self._http.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            response = self._request(method, path, body, params)
        if not response.ok:
            words = f"{method} {path}: {response.status_code} {response.text[:500]}"
            raise requests.HTTPError(words, response=response)
        answer: Json = response.json() if response.content else {}
        return answer

    def _request(
        self, method: str, path: str, body: Json | None, params: Mapping[str, Any] | None
    ) -> requests.Response:
        url = f"{self.url}/api/v2/{path}"
        return self._http.request(method, url, json=body, params=params, timeout=READ_SECONDS)

    def health(self) -> Json:
        """Return `{part: {"status", "latest_..._heartbeat"}}`; needs no login."""
        return self.call("GET", "monitor/health")

    def has_dag(self, dag_id: str) -> bool:
        """Tell whether the DAG has been parsed and stored."""
        try:
            self.call("GET", f"dags/{dag_id}")
        except requests.HTTPError as error:
            if error.response.status_code == requests.codes.not_found:
                return False
            raise
        return True

    def import_errors(self) -> list[Json]:
        """Return the DAG files that failed to parse, with their tracebacks."""
        errors: list[Json] = self.call("GET", "importErrors")["import_errors"]
        return errors

    def wait_for_dag(self, dag_id: str, seconds: float = 120) -> None:
        """Wait until the DAG exists; a broken DAG file ends the wait at once."""

        def there() -> bool:
            if self.has_dag(dag_id):
                return True
            if errors := self.import_errors():
                raise RuntimeError("\n".join(f"{e['filename']}: {e['stack_trace']}" for e in errors))
            return False

        wait_until(there, f"DAG {dag_id} to be parsed", seconds)

    def add_connection(self, connection_id: str, *, extra: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Store a connection; `fields` are conn_type, host, password and so on."""
        body = {"connection_id": connection_id, **fields}
        if extra is not None:
            body["extra"] = json.dumps(extra)
        self.call("POST", "connections", body)

    def set_variable(self, key: str, value: Any) -> None:
        """Store a new Variable as JSON."""
        self.call("POST", "variables", {"key": key, "value": json.dumps(value)})

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": paused})

    def trigger_run(
        self,
        dag_id: str,
        conf: Json | None = None,
        logical_date: datetime | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run with Params `conf` and return its id. Without a logical date the run has no interval."""
        body: Json = {"logical_date": logical_date and logical_date.isoformat(), "conf": conf or {}}
        if run_id:
            body["dag_run_id"] = run_id
        started: str = self.call("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return started

    def runs(self, dag_id: str) -> list[Json]:
        """Return the DAG's latest 100 runs, oldest first."""
        latest: Json = {"limit": 100, "order_by": "-run_after"}
        found: list[Json] = self.call("GET", f"dags/{dag_id}/dagRuns", params=latest)["dag_runs"]
        return found[::-1]

    def count_runs(self, dag_id: str, **only: str) -> int:
        """Return how many runs there are, `only` of some `run_type` or `state`."""
        number: int = self.call("GET", f"dags/{dag_id}/dagRuns", params={"limit": 1, **only})["total_entries"]
        return number

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        state: str = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 240) -> str:
        """Wait for a run's end and return its state."""

        def final() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in FINAL_STATES else None

        state = wait_until(final, f"run {run_id} of {dag_id} to end", seconds, every=0.5)
        assert state is not None  # noqa: S101  wait_until returns true answers only
        return state

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """Return all task instances of a run, mapped ones singly (`map_index`, `rendered_map_index`)."""
        found: list[Json] = []
        while True:
            where: Json = {"limit": 100, "offset": len(found), "order_by": "id"}
            page = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", params=where)
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str] | None = None) -> None:
        """Clear a run's tasks (all, or those named) so that they run again."""
        body: Json = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def backfill(
        self, dag_id: str, start: datetime, end: datetime, *, max_active_runs: int = 3, reprocess: str = "none"
    ) -> int:
        """Start a backfill of the intervals that begin in [start, end] and return its id.

        Airflow allows one running backfill per DAG; `reprocess` is none, failed or completed.
        """
        body: Json = {"dag_id": dag_id, "from_date": start.isoformat(), "to_date": end.isoformat()}
        body |= {"max_active_runs": max_active_runs, "reprocess_behavior": reprocess}
        for attempt in Retrying(
            retry=retry_if_exception(_was_locked), stop=STOP_ORDERING, wait=wait_fixed(2), reraise=True
        ):
            with attempt:
                created: int = self.call("POST", "backfills", body)["id"]
        return created

    def wait_for_backfill(self, backfill_id: int, seconds: float = 300) -> None:
        """Wait until a backfill is complete: Airflow looks only every 30 s, also when all its runs have ended."""
        wait_until(
            lambda: self.call("GET", f"backfills/{backfill_id}")["completed_at"],
            f"backfill {backfill_id} to complete",
            seconds,
            every=1,
        )


def _was_locked(fault: BaseException) -> bool:
    return isinstance(fault, requests.HTTPError) and fault.response.status_code == requests.codes.server_error
