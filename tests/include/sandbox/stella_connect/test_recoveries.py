"""Service recoveries: what is taken, what is refused, and where they show."""

from typing import Any

import pytest
import requests

from include.sandbox import STELLA_KEY


@pytest.fixture
def recover(client: Any) -> Any:
    """A function that posts a service recovery."""

    def post(body: Any) -> requests.Response:
        url, headers = f"{client.sandbox.stella_url}/v1/recoveries", {"x-api-key": STELLA_KEY}
        return client.session.post(url, json=body, headers=headers, timeout=10)

    return post


@pytest.fixture
def recovery(client: Any, feedback: dict[str, Any]) -> dict[str, Any]:
    """A recovery of a request that was taken."""
    assert client.post(feedback).status_code == 200
    return {name: feedback[name] for name in ("employee", "ext_interaction_id")}


def test_it_is_taken_with_an_id_and_shows_only_if_asked_for(client: Any, recover: Any, recovery: Any) -> None:
    answer = recover(recovery)

    assert answer.status_code == 200
    plain, whole = (client.stella("/v2/data", **more).json() for more in ({}, {"include_recovery": "true"}))
    shown = [record for record in whole if record["is_recovery"]]
    assert [record["uuid"] for record in shown] == [answer.json()["request_id"]]
    assert shown[0]["parent_uuid"] in [record["uuid"] for record in plain]
    assert shown[0]["ext_interaction_id"] == recovery["ext_interaction_id"]
    assert not [record for record in plain if record["is_recovery"] or record["parent_uuid"]]


def test_it_has_no_key_against_duplicates(client: Any, recover: Any, recovery: Any) -> None:
    recover(recovery)
    recover(recovery)

    assert [taken.duplicate for taken in client.sandbox.state.recoveries] == [False, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ext_interaction_id": "another"}, "no such initial request"),
        ({"initial_feedback_request_id": "another"}, "no such initial request"),
        ({"channel": "email"}, "unknown property channel"),
        ({"employee": {"email": "nobody@example.org"}}, "no employee"),
        ({"employee": None}, "employee must be an object"),
        ({"do_not_send": "true"}, "do_not_send must be a boolean"),
        ({"tags": "vip"}, "tags must be a list"),
    ],
)
def test_what_it_refuses(recover: Any, recovery: Any, change: Any, words: str) -> None:
    answer = recover({**recovery, **change})

    assert answer.status_code == 400
    assert words in answer.json()["message"]
