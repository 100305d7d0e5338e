from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.interactions.release_windows import MAX_WINDOWS, ReleaseWindow, release_windows

NOW = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)


def at(*seconds):
    return [NOW + timedelta(seconds=second) for second in seconds]


def test_nothing_due_needs_no_window():
    assert list(release_windows([], NOW, 60)) == []


def test_everything_overdue_goes_out_in_one_window():
    windows = list(release_windows(at(-90_000, -5, 0, 30), NOW, 60))

    assert [(w.due_from, w.due_until, w.count) for w in windows] == [(*at(-90_000, 0), 3), (*at(30, 30), 1)]


def test_a_window_opens_at_the_first_due_time_and_closes_a_width_later():
    windows = list(release_windows(at(10, 69.9, 70, 100, 131), NOW, 60))

    assert [(w.due_from, w.due_until, w.count) for w in windows] == [
        (*at(10, 69.9), 2),
        (*at(70, 100), 2),
        (*at(131, 131), 1),
    ]


def test_an_hour_and_its_handover_never_need_more_than_76_windows():
    due = sorted(at(*(second / 10 for second in range(1, 45_000)), -1))

    assert len(list(release_windows(due, NOW, 60))) == 76


def test_the_smallest_windows_keep_their_width_for_an_hour_and_its_handover():
    """At 30 interactions a second: 902 windows of 5 s, and Airflow maps at most 1,024."""
    due = at(*(second / 30 for second in range(-30, 135_000)))

    windows = list(release_windows(due, NOW, 5))

    assert len(windows) <= 902 < MAX_WINDOWS
    waiting = [window for window in windows if window.due_until > NOW]
    assert max(window.due_until - window.due_from for window in waiting) < timedelta(seconds=5)
    assert max(window.count for window in waiting) <= 150


def test_windows_widen_rather_than_exceed_what_airflow_can_map():
    assert len(list(release_windows(at(*range(1, 86_400)), NOW, 5))) <= MAX_WINDOWS


def test_unsorted_due_times_are_a_mistake():
    with pytest.raises(ValueError, match="sorted"):
        list(release_windows(at(5, 1), NOW, 60))


@given(seconds=st.lists(st.integers(-5000, 5000)), width=st.integers(5, 3600))
def test_every_interaction_is_in_one_window_and_none_waits_longer_than_its_width(seconds, width):
    due = at(*sorted(seconds))
    windows = list(release_windows(due, NOW, width))

    assert sum(window.count for window in windows) == len(due)
    assert all(sum(w.due_from <= moment <= w.due_until for w in windows) == 1 for moment in due)
    for window in windows:
        assert window.due_until <= NOW or window.due_until - window.due_from < timedelta(seconds=width)


@pytest.mark.parametrize(
    ("window", "label"),
    [
        (ReleaseWindow(*at(312, 363), 37), "due 14:05:12–14:06:03 · 37 interactions"),
        (ReleaseWindow(*at(312, 312), 1), "due 14:05:12 · 1 interaction"),
        (ReleaseWindow(*at(-86_400, 0), 1200), "due 2026-01-04 14:00:00–14:00:00 · 1,200 interactions"),
    ],
)
def test_a_window_is_labelled_for_people(window, label):
    assert window.label(today=NOW) == label
