"""What of an answer is written to Kustomer."""

from datetime import UTC, datetime
from typing import Any

import pytest

from include.interactions.settings import SettingsError, load_settings
from include.interactions.write_back import Answer, Target, WriteBack, content_hash, content_of, note_marker

ANSWERED = datetime(2026, 3, 2, 12, 0, 0, 5000, tzinfo=UTC)
VALUES = {"stars": 5, "resolved": True, "answered_at": ANSWERED, "comment": "Great {stars}", "url": "https://a.b/c"}


def settings(**write_back: Any) -> WriteBack:
    loaded = load_settings({"write_back": write_back}, {}).write_back
    assert loaded is not None
    return loaded


def written(answer: dict[str, Any], **write_back: Any) -> dict[Target, Any]:
    setting, one = settings(**write_back), Answer("u1", "c1", "k1", answer)
    return {target: content_of(one, setting, target) for target in setting.targets}


def test_nothing_is_written_unless_it_is_set() -> None:
    assert load_settings({}, {}).write_back is None


def test_each_attribute_gets_its_part_in_the_form_of_its_type() -> None:
    mapping = {
        "starsNum": "stars",
        "starsStr": "stars",
        "solvedBool": "resolved",
        "solvedTxt": "resolved",
        "answeredAt": "answered_at",
        "commentStr": "comment",
        "linkUrl": "url",
        "npsNum": "nps",
    }
    custom = written(VALUES, conversation_attributes=mapping)[Target.ATTRIBUTES]["custom"]
    assert custom == {
        "starsNum": 5,
        "starsStr": "5",
        "solvedBool": True,
        "solvedTxt": "yes",
        "answeredAt": "2026-03-02T12:00:00.005Z",
        "commentStr": "Great {stars}",
        "linkUrl": "https://a.b/c",
        "npsNum": None,
    }


@pytest.mark.parametrize(
    ("customer", "url"), [("k1", "https://desk.example.com/app/customers/k1/event/c1"), (None, None)]
)
def test_the_link_leads_to_the_conversation_if_its_customer_is_known(customer: str | None, url: str | None) -> None:
    linked = Answer("u1", "c1", customer, {"stars": 5}).with_link("https://desk.example.com/")
    assert linked.values == {"stars": 5, "url": url}


def test_an_object_and_a_note_carry_the_uuid_by_which_they_are_found_again() -> None:
    contents = written(
        VALUES,
        kobject={"klass": "survey_answer", "title": "{stars} stars", "attributes": {"starsNum": "stars"}},
        note={"text": "{stars} stars: {comment}; NPS {nps}"},
    )
    assert contents[Target.KOBJECT] == {
        "title": "5 stars",
        "externalId": "u1",
        "customer": "k1",
        "custom": {"starsNum": 5},
    }
    assert contents[Target.NOTE] == {"body": "5 stars: Great {stars}; NPS –\n" + note_marker("u1")}


def test_values_stay_within_kustomers_lengths_as_javascript_counts_them() -> None:
    answer = {"comment": "😀" * 20_000}
    contents = written(
        answer,
        conversation_attributes={"commentTxt": "comment"},
        kobject={"klass": "survey_answer", "title": "{comment}", "attributes": {"commentStr": "comment"}},
        note={"text": "{comment}{comment}"},
    )
    assert contents[Target.ATTRIBUTES]["custom"] == {"commentTxt": "😀" * 512}
    assert contents[Target.KOBJECT]["custom"] == {"commentStr": "😀" * 512}
    assert contents[Target.KOBJECT]["title"] == "😀" * 127
    body = contents[Target.NOTE]["body"]
    assert len(body.encode("utf-16-le")) // 2 <= 10_240
    assert body.endswith(note_marker("u1"))


def test_equal_content_has_an_equal_hash() -> None:
    one, same, other = (written({"stars": n}, note={"text": "{stars}"})[Target.NOTE] for n in (1, 1, 2))
    assert content_hash(one) == content_hash(same) != content_hash(other)


@pytest.mark.parametrize(
    ("write_back", "words"),
    [
        ({}, "at least one of conversation_attributes, kobject, note"),
        ({"note": {"text": "a"}, "notes": 1}, "'write_back.notes'"),
        ({"conversation_attributes": {"starsNum": "score"}}, "'score' is no part of an answer; known are stars"),
        ({"conversation_attributes": {"stars": "stars"}}, "'stars' must end in the type"),
        ({"conversation_attributes": {"Num": "stars"}}, "'Num' must end in the type"),
        ({"conversation_attributes": {"commentNum": "comment"}}, "'commentNum' cannot hold 'comment'"),
        ({"conversation_attributes": {}}, "write_back.conversation_attributes"),
        ({"kobject": {"klass": "a/b", "attributes": {"starsNum": "stars"}}}, "write_back.kobject.klass"),
        ({"kobject": {"klass": "answer"}}, "write_back.kobject.attributes"),
        ({"note": {"text": "{score}"}}, "'score' is no part of an answer"),
        ({"note": {"text": "{stars.__class__}"}}, "no part of an answer"),
        ({"note": {"text": "{stars:>5}"}}, "takes no format"),
        ({"note": {"text": "{stars"}}, "write_back.note.text"),
        ({"note": {"text": "a"}, "per_minute": 0}, "write_back.per_minute"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(write_back: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**write_back)
    assert "write_back" in str(refused.value)
    assert words in str(refused.value)
