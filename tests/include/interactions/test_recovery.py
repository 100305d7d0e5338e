"""The setting `recovery`: what it refuses, and what it decides about an answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.interactions.recovery import AnswerToJudge, plan_steps, thresholds_of
from include.interactions.settings import SettingsError, load_settings

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANSWER = AnswerToJudge(
    uuid="u",
    conversation_id="c",
    answered_at=NOW,
    stars=1,
    nps=None,
    resolved=None,
    has_comment=False,
    channel=None,
    brand=None,
    rule=None,
    is_recovery=False,
)


def entries(*entries: dict[str, Any]) -> Any:
    return load_settings({"recovery": list(entries)}, {}).recovery


def entry(name: str = "unhappy", when: Any = None, then: Any = None) -> dict[str, Any]:
    return {"name": name, "when": when or {"stars_at_most": 2}, "then": then or {"tag": "unhappy"}}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry(when={"with_comment": True}), "one of stars_at_most, nps_at_most, resolved is needed"),
        (entry(when={"resolved": True}), "when.resolved"),
        (entry(when={"stars_at_most": 6}), "when.stars_at_most"),
        (entry(when={"stars_at_most": 2, "younger_than_days": 0}), "when.younger_than_days"),
        (entry(when={"stars": 2}), "there is no such key"),
        (entry(then={"tag": " "}), "then.tag"),
        (entry(then={"note": {}}), "then.note.text"),
        (entry(then={"note": {"text": "{stars} {secret}"}}), "'secret' is no part of an answer"),
        (entry(then={"reopen": {}}), "either a team or a queue is needed"),
        (entry(then={"reopen": {"team": "a", "queue": "b"}}), "either a team or a queue is needed"),
        (entry(then={"reopen": {"team": "a", "priority": 9}}), "then.reopen.priority"),
        (
            {"name": "nothing", "when": {"stars_at_most": 2}, "then": {}},
            "at least one of note, tag",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match="recovery") as refusal:
        entries(wrong)

    assert words in str(refusal.value)


def test_two_entries_differ_in_name() -> None:
    with pytest.raises(SettingsError, match="two entries have the name 'unhappy'"):
        entries(entry(), entry())


def test_the_first_entry_that_fits_decides() -> None:
    both = entries(entry("worst", {"stars_at_most": 1}, {"tag": "worst"}), entry("bad"))

    def chosen(stars: int) -> str | None:
        steps = plan_steps(replace(ANSWER, stars=stars), both, NOW)
        return steps and steps.entry

    assert [chosen(stars) for stars in (1, 2, 3)] == ["worst", "bad", None]


def test_a_recoverys_answer_reopens_nothing() -> None:
    (both,) = entries(entry(then={"tag": "unhappy", "reopen": {"team": "a"}}))
    (reopening,) = entries(entry(then={"reopen": {"team": "a"}}))
    recovery = replace(ANSWER, is_recovery=True)

    assert [str(action) for action in plan_steps(recovery, [both], NOW).actions] == ["tag"]  # type: ignore[union-attr]  # it has steps
    assert plan_steps(recovery, [reopening], NOW) is None


def test_an_answer_counts_until_it_is_too_old() -> None:
    (young,) = entries(entry(when={"stars_at_most": 2, "younger_than_days": 1}))
    day = timedelta(days=1)

    assert plan_steps(ANSWER, [young], NOW + day - timedelta(seconds=1)) is not None
    assert plan_steps(ANSWER, [young], NOW + day) is None


def test_only_answers_within_the_widest_conditions_are_read() -> None:
    conditions = {"a": {"stars_at_most": 2}, "b": {"stars_at_most": 3}, "c": {"nps_at_most": 4}}

    worst = thresholds_of(entries(*(entry(name, when) for name, when in conditions.items())))

    assert (worst.stars, worst.nps, worst.unresolved) == (3, 4, False)
    assert thresholds_of(entries(entry(when={"resolved": False}))).unresolved
