"""When evidence is about interactions, and when about its source."""

import pytest

from include.interactions.evidence import (
    MAX_REFUSALS_IN_A_ROW,
    Refusals,
    doubt_absence,
    doubt_profiles,
    requests_at_once,
)


@pytest.mark.parametrize(
    ("asked", "others_found", "is_doubted"), [(5, 0, True), (1, 0, True), (5, 1, False), (0, 0, False)]
)
def test_absence_is_doubted_if_kustomer_finds_nothing_at_all(
    asked: int, others_found: int, is_doubted: bool
) -> None:
    assert (doubt_absence(asked, others_found) is not None) is is_doubted


@pytest.mark.parametrize(
    ("due", "approved", "served", "is_doubted"),
    [
        pytest.param({"a"}, set(), set(), True, id="an empty list"),
        pytest.param(set(), set(), set(), False, id="nobody is due"),
        pytest.param({"a", "b"}, {"b"}, {"a", "b"}, False, id="one of those due"),
        pytest.param({"a"}, {"x"}, {"a", "b"}, True, id="none of those served lately"),
        pytest.param({"a"}, {"b"}, {"a", "b"}, False, id="one agent lost the profile, another has it"),
        pytest.param({"a", "b"}, {"c"}, {"a", "b", "c"}, True, id="all of those due lost it at once"),
        pytest.param({"a", "b"}, {"c"}, {"c"}, False, id="new agents who never had it"),
        pytest.param({"a"}, {"x"}, {"a"}, False, id="the only agent lost it"),
    ],
)
def test_a_list_of_profiles_is_doubted_if_everybody_loses_theirs_at_once(
    due: set[str], approved: set[str], served: set[str], is_doubted: bool
) -> None:
    assert (doubt_profiles(due, approved, served) is not None) is is_doubted


def test_a_release_begins_with_a_few_and_refusals_leave_room_for_few() -> None:
    def at_once(number: int, taken: bool = False, key_in_doubt: bool = False) -> int:
        return requests_at_once(8, Refusals(number), taken=taken, key_in_doubt=key_in_doubt)

    assert (at_once(0), at_once(0, taken=True)) == (3, 8)
    assert at_once(0, taken=True, key_in_doubt=True) == 1
    for number in range(1, MAX_REFUSALS_IN_A_ROW):
        assert number + at_once(number, taken=True) <= MAX_REFUSALS_IN_A_ROW


def test_the_first_refusal_is_about_its_interaction_and_the_tenth_about_the_source() -> None:
    refusals = Refusals()
    seen = []
    for _ in range(MAX_REFUSALS_IN_A_ROW):
        refusals = refusals.one_more()
        seen.append((refusals.concern_the_interaction, refusals.concern_the_source))
    assert seen == [(True, False), *[(False, False)] * (MAX_REFUSALS_IN_A_ROW - 2), (False, True)]
    assert refusals.resumed().number == MAX_REFUSALS_IN_A_ROW - 3
