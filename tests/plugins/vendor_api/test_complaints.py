import json
from collections.abc import Callable

import pytest

from plugins.interactions_view.people import without_addresses
from plugins.vendor_api.complaints import complaint, without_personal_data


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"errors": [{"code": "bad_request", "message": "Missing field"}]}, ("bad_request", "Missing field")),
        (
            {"errors": [{"status": 400, "code": "bad", "title": "Bad Request", "detail": "long story"}]},
            ("bad", "Bad Request"),
        ),
        ({"errors": ["Employee not found"]}, (None, "Employee not found")),
        ({"error": "Channel not enabled"}, (None, "Channel not enabled")),
        ({"error": {"code": 17, "message": "No"}}, ("17", "No")),
        ({"message": "Forbidden"}, (None, "Forbidden")),
        ({"errors": []}, (None, None)),
        ({"errors": [None]}, (None, None)),
        ({"errors": [{"code": "a code with spaces", "message": None}]}, (None, None)),
        ([], (None, None)),
        ("text", (None, "text")),
        (None, (None, None)),
    ],
)
def test_code_and_text_are_found_in_every_shape(body: object, expected: tuple[str | None, str | None]) -> None:
    assert complaint(json.dumps(body).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"<html>Jane Doe</html>", b"\xff\xfe", b'{"errors": [{"co'])
def test_what_is_no_json_yields_nothing(body: bytes) -> None:
    assert complaint(body) == (None, None)


@pytest.mark.parametrize(
    ("text", "private", "expected"),
    [
        ("No agent jane.doe+x@example.com here", [], "No agent […] here"),
        ("Name <ann@example.com>, bad", [], "Name <[…]>, bad"),
        ("customer Jane  Doe\n is invalid", ["Jane Doe"], "customer […] is invalid"),
        ("JANE isn't valid", ["Jane Doe"], "[…] isn't valid"),
        ('value "J. D." and ‘x’ are wrong', [], "value […] and […] are wrong"),
        ("Janet is fine", ["Jane"], "Janet is fine"),
    ],
)
def test_personal_data_is_left_out(text: str, private: list[str], expected: str) -> None:
    assert without_personal_data(text, private) == expected


def test_a_text_stays_short() -> None:
    assert len(without_personal_data("word " * 1000)) == 160


@pytest.mark.timeout(60)  # the time grows with the length; a search that reads a run twice would take hours
@pytest.mark.parametrize("find", [without_personal_data, without_addresses])
@pytest.mark.parametrize("part", ["x", "“ ", '"x', "' ", "x@", "@"])
def test_a_very_long_text_is_read_once(find: Callable[[str], str], part: str) -> None:
    find(part * 1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "word " * 199 + "jane.doe@example.com",  # the cut falls into the address
        "x" * 1000 + " Jane Doe",
        'no "' + "Jane Doe " * 200 + '"',  # or into the quotation
    ],
)
def test_a_cut_leaves_no_half_of_a_person(text: str) -> None:
    assert "jane" not in without_personal_data(text, ["Jane Doe"]).lower()


def test_a_body_nested_without_end_yields_nothing() -> None:
    assert complaint(b"[" * 200_000) == (None, None)
