"""Foreign text in one form."""

from hypothesis import given
from hypothesis import strategies as st

from include.interactions.text import is_invisible, one_line, trimmed


@given(st.text(), st.integers(1, 30))
def test_text_in_its_form_stays_as_it_is(text, characters):
    line = one_line(text, characters)
    assert one_line(line, characters) == line
    assert trimmed(trimmed(text)) == trimmed(text)


@given(st.text())
def test_a_line_is_empty_or_shows_something(text):
    line = one_line(text, 200)
    assert line == "" or not all(map(is_invisible, line))
    assert "\n" not in line
