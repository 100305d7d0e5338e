import json

import pytest

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
