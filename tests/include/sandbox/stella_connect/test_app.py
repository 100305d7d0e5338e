import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from include.sandbox import STELLA_KEY, STELLA_SECRET, Sandbox, start
from include.sandbox.model import PROFILE_STATUSES

Request = dict[str, Any]


def token(secret: str = STELLA_SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode(claims, secret, algorithm)


def test_an_accepted_request_is_echoed_without_an_id(client: Any, feedback: Request) -> None:
    answer = client.post(feedback)
    assert answer.status_code == 200
    assert answer.json() == feedback


def test_all_documented_fields_are_accepted_and_long_texts_cut(client: Any, feedback: Request) -> None:
    feedback |= {
        "external_url": "https://larkspur.kustomerapp.com/app/customers/a/event/b",
        "tags": ["x" * 3000, *[str(number) for number in range(19)]],
        "do_not_send": False,
        "language": "en-US",
        "country": "NL",
        "brand": "larkspur",
        "custom_properties": {"order": "y" * 3000},
    }
    answer = client.post(feedback)
    assert answer.status_code == 200
    assert len(answer.json()["tags"][0]) == len(answer.json()["custom_properties"]["order"]) == 2000


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"subject": "no such field"}, "Validation Error"),
        ({"channel": None}, "Validation Error"),
        ({"channel": "pigeon"}, "Channel not enabled for company"),
        ({"ext_interaction_id": None}, "Validation Error"),
        ({"ext_interaction_id": 5}, "Validation Error"),
        ({"ext_interaction_id": " "}, "Validation Error"),
        ({"customer": None}, "Validation Error"),
        ({"customer": {"name": "A", "email": "a@example.com", "phone": "1"}}, "Validation Error"),
        ({"customer": {"name": "A"}}, "Invalid customer"),
        ({"customer": {"email": "a@example.com"}}, "Invalid customer"),
        ({"customer": {"name": "  ", "email": "a@example.com"}}, "Invalid customer"),
        ({"customer": {"name": "A\nB", "email": "a@example.com"}}, "Invalid customer"),
        ({"customer": {"name": "A", "email": "a@@example.com"}}, "Invalid customer"),
        ({"customer": {"name": "A", "email": " a@example.com"}}, "Invalid customer"),
        ({"customer": {"name": "A", "email": "j****@example.com"}}, "Invalid customer"),
        ({"customer": {"name": None, "email": "a@example.com"}}, "Validation Error"),
        ({"employee": None}, "Validation Error"),
        ({"employee": {}}, "Validation Error"),
        ({"employee": {"email": "nobody@example.org"}}, "Employee not found"),
        ({"employee": {"custom_id": "E9999"}}, "Employee not found"),
        ({"tags": [str(number) for number in range(21)]}, "Validation Error"),
        ({"tags": "vip"}, "Validation Error"),
        ({"tags": [1]}, "Validation Error"),
        ({"do_not_send": "true"}, "Validation Error"),
        ({"do_not_send": None}, "Validation Error"),
        ({"custom_properties": {"a": 1}}, "Validation Error"),
        ({"custom_properties": {"a": {"b": "c"}}}, "Validation Error"),
        ({"external_url": "javascript:alert(1)"}, "Validation Error"),
        ({"brand": "other"}, "Invalid/inactive brand signifier"),
        ({"language": "English"}, "Validation Error"),
        ({"country": "Netherlands"}, "Validation Error"),
    ],
)
def test_a_malformed_request_is_refused_by_name(unchanged: Any, change: Request, name: str) -> None:
    agent = unchanged.sandbox.state.organisation.employees[0]
    good = {
        "channel": "email",
        "customer": {"name": "A", "email": "a@example.com"},
        "employee": {"email": agent.email},
        "ext_interaction_id": "x",
    }
    answer = unchanged.post(good | change)
    assert (answer.status_code, answer.json()["error"]) == (400, name)
    assert unchanged.sandbox.state.refused[-1].name == name
    assert not unchanged.sandbox.state.received


@pytest.mark.parametrize("status", PROFILE_STATUSES)
def test_only_an_approved_profile_may_be_surveyed(
    vendors: Sandbox, client: Any, feedback: Request, status: str
) -> None:
    employee = next(one for one in vendors.state.organisation.employees if one.status == status)
    for how in ({"email": employee.email}, {"custom_id": employee.custom_id}):
        answer = client.post(feedback | {"employee": how})
        if status == "active":
            assert answer.status_code == 200
        else:
            wanted = "Deactivated employee" if status == "deactivated" else "Employee profile not complete"
            assert (answer.status_code, answer.json()["error"]) == (400, wanted)


def test_an_employees_address_must_be_spelled_as_in_the_profile(client: Any, feedback: Request) -> None:
    address = feedback["employee"]["email"]
    for other in (address.upper(), f" {address}"):
        assert client.post(feedback | {"employee": {"email": other}}).json()["error"] == "Employee not found"


def test_a_body_that_is_not_json_is_refused(unchanged: Any) -> None:
    url = f"{unchanged.sandbox.stella_url}/v1/requests"
    json_type = {"x-api-key": STELLA_KEY, "content-type": "application/json"}
    assert unchanged.session.post(url, data=b"{", headers=json_type).status_code == 400
    assert unchanged.session.post(url, data=b"[]", headers=json_type).status_code == 400
    assert unchanged.session.post(url, data=b"{}", headers={"x-api-key": STELLA_KEY}).status_code == 400


def test_the_same_interaction_twice_is_accepted_twice_and_counted(
    client: Any, vendors: Sandbox, feedback: Request
) -> None:
    assert [client.post(feedback).status_code for _ in range(3)] == [200, 200, 200]
    assert client.post(feedback | {"ext_interaction_id": "other"}).status_code == 200
    assert [one.duplicate for one in vendors.state.received] == [False, True, True, False]
    assert vendors.state.duplicates == 2


def test_a_wrong_api_key_is_403_everywhere(unchanged: Any) -> None:
    for path in ("/v2/employees", "/v2/employees/x", "/v2/data"):
        url = unchanged.sandbox.stella_url + path
        good = token(iat=int(time.time()))
        assert unchanged.session.get(url, headers={"authorization": good}).status_code == 403
        headers = {"authorization": good, "x-api-key": "wrong"}
        assert unchanged.session.get(url, headers=headers).status_code == 403
    assert unchanged.post({}, key="wrong").status_code == 403


@pytest.mark.parametrize(
    "make",
    [
        lambda now: "",
        lambda now: "nonsense",
        lambda now: token(),
        lambda now: token(iat=now - 301),
        lambda now: token(iat=now + 310),
        lambda now: token(iat=now + 0.5),
        lambda now: token(iat=str(now)),
        lambda now: token("another-secret-of-at-least-32-bytes", iat=now),
        lambda now: token(algorithm="HS512", iat=now),
        lambda now: token(iat=now, exp=now - 10),
        lambda now: f"Bearer {token(iat=now)}",
        lambda now: f"JWT {token(iat=now)}",
    ],
)
@pytest.mark.filterwarnings("ignore:The HMAC key is")  # ours suffices for HS256, not for HS512
def test_anything_but_a_fresh_bare_jwt_is_403(unchanged: Any, make: Callable[[int], str]) -> None:
    now = int(time.time())
    for path in ("/v2/employees", "/v2/data"):
        assert unchanged.stella(path, make(now)).status_code == 403
        assert unchanged.stella(path, token(iat=now - 200)).status_code == 200


def test_bearer_is_taken_when_switched_on(run: Callable[..., Sandbox], client_of: Any) -> None:
    client = client_of(run(accept_bearer=True))
    fresh = token(iat=int(time.time()))
    assert client.stella("/v2/employees", f"Bearer {fresh}").status_code == 200
    assert client.stella("/v2/employees", fresh).status_code == 200


def test_employees_are_filtered_by_status_which_no_row_shows(unchanged: Any) -> None:
    employees = unchanged.sandbox.state.organisation.employees
    for status in PROFILE_STATUSES:
        rows = unchanged.stella("/v2/employees", status=status, number_of_employees=500).json()["employees"]
        assert [row["email"] for row in rows] == [one.email for one in employees if one.status == status]
        assert not any("status" in row or "id" in row for row in rows)
    everyone = unchanged.stella("/v2/employees", number_of_employees=500).json()
    assert len(everyone["employees"]) == len(employees)


def test_the_next_page_is_on_a_foreign_host_and_forgets_the_filter(unchanged: Any) -> None:
    filters = {"status": "active", "number_of_employees": 5}
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = unchanged.stella("/v2/employees", **filters, **after).json()
        seen += [row["email"] for row in page["employees"]]
        if (link := page["meta"]["next_page"]) is None:
            break
        parts = urlsplit(link)
        assert (parts.hostname, parts.path) == ("larkspur.stellaconnect.net", "/api/v2/employees")
        query = parse_qs(parts.query)
        assert set(query) == {"after"}
        after = {"after": query["after"][0]}
    employees = unchanged.sandbox.state.organisation.employees
    assert seen == [one.email for one in employees if one.status == "active"]
    same = unchanged.stella("/v2/employees", external_id=5002, number_of_employees=1).json()
    assert same["employees"][0]["email"] == next(one.email for one in employees if one.id == 5003)


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "Active"},
        {"status": "approved"},
        {"number_of_employees": 501},
        {"number_of_employees": 0},
        {"number_of_employees": "many"},
        {"after": "x"},
        {"page": 2},
        {"roles": "Admin"},
    ],
)
def test_parameters_of_employees_outside_the_documents_are_refused(unchanged: Any, parameters: Request) -> None:
    assert unchanged.stella("/v2/employees", **parameters).status_code == 400


def test_q_matches_parts_of_name_address_and_id(unchanged: Any) -> None:
    one = unchanged.sandbox.state.organisation.employees[0]
    for part in (one.first_name[1:].upper(), one.email[3:-5], one.custom_id):
        rows = unchanged.stella("/v2/employees", q=part).json()["employees"]
        assert one.email in [row["email"] for row in rows]


def test_one_employee_is_found_whatever_the_status(unchanged: Any) -> None:
    for one in unchanged.sandbox.state.organisation.employees:
        assert unchanged.stella(f"/v2/employees/{one.email}").json()["custom_employee_id"] == one.custom_id
    assert unchanged.stella("/v2/employees/nobody@example.org").status_code == 404


def test_suppression_is_decided_unseen(run: Callable[..., Sandbox], client_of: Any, feedback: Request) -> None:
    sandbox = run(suppression_days=7)
    client = client_of(sandbox)
    quiet = feedback | {"do_not_send": True}
    assert [client.post(body).status_code for body in (quiet, feedback, feedback)] == [200, 200, 200]
    assert [one.delivery_status for one in sandbox.state.received] == [
        "Not sent: do not send flag",
        "Sent",
        "Not sent: suppression period",
    ]


def test_an_accepted_request_shows_in_data_return_among_those_sent_by_hand(client: Any, feedback: Request) -> None:
    client.post(feedback | {"tags": ["vip"], "external_url": "https://larkspur.kustomerapp.com/x"})
    rows = client.stella("/v2/data").json()
    assert [row["requested_via"] for row in rows] == ["manual", "manual", "manual", "API"]
    ours = rows[-1]
    assert ours["ext_interaction_id"] == feedback["ext_interaction_id"]
    assert ours["request_delivery_status"] == "Sent"
    assert ours["employee"]["email"] == feedback["employee"]["email"]
    assert ours["customer"]["full_name"] == "Ada Ashdown"
    assert ours["branding"] == "larkspur"
    assert ours["tags"] == ["vip"]
    assert len({row["uuid"] for row in rows}) == 4
    numbers = [row["sequence_id"] for row in rows]
    assert numbers == sorted(numbers)


def test_a_refused_request_does_not_show_in_data_return(client: Any, feedback: Request) -> None:
    client.post(feedback | {"channel": "pigeon"})
    assert {row["requested_via"] for row in client.stella("/v2/data").json()} == {"manual"}


def test_after_is_exclusive_and_limit_cuts(client: Any, feedback: Request) -> None:
    for number in range(5):
        client.post(feedback | {"ext_interaction_id": str(number)})
    first = client.stella("/v2/data", limit=3).json()
    second = client.stella("/v2/data", limit=100, after=first[-1]["sequence_id"]).json()
    assert len(first) == 3
    assert len(second) == 5
    assert client.stella("/v2/data", after=second[-1]["sequence_id"]).json() == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "x"},
        {"after": "-1"},
        {"created_at_gte": "2026-01-05T10:00:00Z"},
        {"created_at_gte": "2026-01-05T10:00:00 00:00"},
        {"created_at_gte": "2026-13-05T10:00:00+00:00"},
        {"stream": "true"},
    ],
)
def test_parameters_of_data_outside_the_documents_are_refused(unchanged: Any, parameters: Request) -> None:
    assert unchanged.stella("/v2/data", **parameters).status_code == 400


def test_data_is_filtered_by_creation_and_answer(
    run: Callable[..., Sandbox], client_of: Any, feedback: Request
) -> None:
    client = client_of(run(answer_after_seconds=0, answered_share=1))
    client.post(feedback)
    for name in ("created_at", "responded_at"):
        recent = client.stella("/v2/data", **{f"{name}_gte": "2026-06-01T00:00:00+02:00"}).json()
        assert [row["requested_via"] for row in recent] == ["API"]
        old = client.stella("/v2/data", **{f"{name}_lte": "2026-06-01T00:00:00+02:00"}).json()
        assert {row["requested_via"] for row in old} == {"manual"}


def test_an_interaction_stays_invisible_during_the_lag(
    run: Callable[..., Sandbox], client_of: Any, feedback: Request
) -> None:
    client = client_of(run(visibility_lag_seconds=1.5, data_per_minute=0))

    def ours() -> list[Any]:
        return [row for row in client.stella("/v2/data").json() if row["requested_via"] == "API"]

    client.post(feedback)
    assert ours() == []
    deadline = time.monotonic() + 20
    while not ours():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_gives_the_record_a_new_number(
    run: Callable[..., Sandbox], client_of: Any, feedback: Request
) -> None:
    client = client_of(run(answered_share=1, answer_after_seconds=1, data_per_minute=0))
    client.post(feedback)

    def ours() -> Any:
        rows = [row for row in client.stella("/v2/data").json() if row["requested_via"] == "API"]
        assert len(rows) == 1
        return rows[0]

    first = ours()
    assert first["answers"] == {}
    assert first["response_received_at"] is None
    deadline = time.monotonic() + 20
    while (second := ours())["response_received_at"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert second["uuid"] == first["uuid"]
    assert second["sequence_id"] > first["sequence_id"]
    numbers = {
        name: [option["integer_value"] for option in answer["selected_options"].values()]
        for name, answer in second["answers"].items()
    }
    assert numbers["agent_star_rating"][0] in range(1, 6)
    assert numbers["nps"][0] in range(11)
    assert numbers["fcr"][0] in (0, 1)
    areas = numbers["areas_of_excellence"], numbers["areas_of_improvement"]
    assert min(map(len, areas)) == 0, "one of them was seen and not answered"


def test_an_answer_changes_later_under_a_new_number(
    run: Callable[..., Sandbox], client_of: Any, feedback: Request
) -> None:
    client = client_of(
        run(answered_share=1, answer_after_seconds=0, changed_share=1, change_after_seconds=2, data_per_minute=0)
    )
    for number in range(8):
        client.post(feedback | {"ext_interaction_id": str(number)})

    def ours() -> dict[str, Any]:
        return {row["uuid"]: row for row in client.stella("/v2/data").json() if row["requested_via"] == "API"}

    first = again = ours()
    deadline = time.monotonic() + 20
    while any(row["sequence_id"] == again[uuid]["sequence_id"] for uuid, row in first.items()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        again = ours()
    assert not any(row["disputed"] for row in first.values())
    assert {row["disputed"] for row in again.values()} == {True, False}
    assert all(row["answers"]["areas_of_improvement"]["comment"] for row in again.values())


def test_who_answers_hangs_on_the_seed_alone(organisation: Any, client_of: Any, feedback: Request) -> None:
    def answered() -> list[bool]:
        with start(organisation, answer_after_seconds=0) as sandbox:
            client = client_of(sandbox)
            for number in range(40):
                client.post(feedback | {"ext_interaction_id": str(number)})
            rows = sorted(client.stella("/v2/data").json(), key=lambda row: row["ext_interaction_id"])
            return [row["response_received_at"] is not None for row in rows]

    first = answered()
    assert first == answered()
    assert len(set(first)) == 2


def test_data_return_has_a_budget(run: Callable[..., Sandbox], client_of: Any) -> None:
    client = client_of(run(data_per_minute=2))
    assert [client.stella("/v2/data").status_code for _ in range(3)] == [200, 200, 429]
    assert client.stella("/v2/employees").status_code == 200
