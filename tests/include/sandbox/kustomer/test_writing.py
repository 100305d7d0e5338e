"""The simulator's endpoints for writing."""

from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox import KUSTOMER_KEY, WRITING_KUSTOMER_KEY, Sandbox


@pytest.fixture
def write(client: Any) -> Callable[..., Any]:
    """A function that calls Kustomer with the key that may write."""

    def call(method: str, path: str, body: Any = None, key: str = WRITING_KUSTOMER_KEY) -> Any:
        headers = {"authorization": f"Bearer {key}"}
        return client.session.request(
            method, client.sandbox.kustomer_url + path, json=body, headers=headers, timeout=10
        )

    return call


@pytest.fixture
def here(vendors: Sandbox) -> str:
    return next(one.id for one in vendors.state.organisation.conversations.values() if not one.deleted)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v1/conversations/{}"),
        ("PUT", "/v1/conversations/bulk"),
        ("POST", "/v1/conversations/{}/tags"),
        ("GET", "/v1/conversations/{}/notes"),
        ("POST", "/v1/conversations/{}/notes"),
        ("GET", "/v1/bulk/1"),
        ("POST", "/v1/klasses/survey_answer"),
        ("GET", "/v1/klasses/survey_answer/externalId=1"),
        ("PUT", "/v1/klasses/survey_answer/1"),
    ],
)
def test_each_call_needs_its_role(write: Any, here: str, method: str, path: str) -> None:
    assert write(method, path.format(here), {}, KUSTOMER_KEY).status_code == 403
    assert write(method, path.format(here), {}).status_code != 403


@pytest.mark.parametrize(
    "custom",
    [
        {"stars": 5},
        {"starsNum": "5"},
        {"starsNum": True},
        {"goodBool": 1},
        {"commentStr": "x" * 1025},
        {"whenAt": "yesterday"},
        {f"a{number}Str": "" for number in range(101)},
    ],
)
def test_custom_attributes_end_in_their_type_and_have_its_values(write: Any, here: str, custom: Any) -> None:
    assert write("PATCH", f"/v1/conversations/{here}", {"custom": custom}).status_code == 400


def test_tags_in_an_update_replace_the_list(write: Any, here: str, vendors: Sandbox) -> None:
    assert write("PATCH", f"/v1/conversations/{here}", {"tags": []}).status_code == 200
    assert vendors.state.organisation.conversations[here].tags == ()


def test_what_does_not_exist_is_404(write: Any, vendors: Sandbox) -> None:
    gone = next(one.id for one in vendors.state.organisation.conversations.values() if one.deleted)
    for id_ in ("nonsense", gone):
        assert write("PATCH", f"/v1/conversations/{id_}", {"custom": {}}).status_code == 404
        assert write("POST", f"/v1/conversations/{id_}/notes", {"body": "a"}).status_code == 404
    assert write("POST", "/v1/klasses/unknown", {"title": "a"}).status_code == 404


def test_a_customer_gets_120_notes_a_minute(write: Any, here: str) -> None:
    answers = [write("POST", f"/v1/conversations/{here}/notes", {"body": "a"}).status_code for _ in range(121)]
    assert answers == [201] * 120 + [429]


@pytest.mark.parametrize("body", ["", "x" * 10_241, None])
def test_a_note_has_a_body_of_limited_length(write: Any, here: str, body: Any) -> None:
    assert write("POST", f"/v1/conversations/{here}/notes", {"body": body}).status_code == 400


def test_notes_with_the_same_external_id_stand_beside_each_other_and_objects_do_not(write: Any, here: str) -> None:
    for _ in range(2):
        write("POST", f"/v1/conversations/{here}/notes", {"body": "a", "externalId": "1"})
    assert len(write("GET", f"/v1/conversations/{here}/notes").json()["data"]) == 2
    made = [write("POST", "/v1/klasses/survey_answer", {"title": "a", "externalId": "1"}) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 409]


def test_a_bulk_job_takes_a_hundred_at_most_and_tells_what_became_of_each(write: Any, here: str) -> None:
    assert write("PUT", "/v1/conversations/bulk", [{"id": here}] * 101).status_code == 400
    job = write("PUT", "/v1/conversations/bulk", [{"id": here}, {"id": "gone"}]).json()["data"]["id"]
    while write("GET", f"/v1/bulk/{job}").json()["data"]["attributes"]["status"] != "complete":
        pass
    batch = write("GET", f"/v1/bulk/{job}/batches").json()["data"][0]["attributes"]
    assert (batch["successCount"], batch["failureCount"]) == (1, 1)
