"""Reading the answers of a survey, question by question."""

import pytest

from include.interactions.answers import (
    MAX_ANSWERS,
    MAX_COMMENT_CHARACTERS,
    MAX_OPTIONS,
    Answer,
    answers_from,
    answers_text,
    read_answers,
    read_nps,
    read_resolved,
)


def option(label=None, value=None):
    return {"option_id": "o", "option_text": label, "integer_value": value}


def answered(name, *options, **more):
    return {name: {"question_text": "Why?", "selected_options": {str(n): o for n, o in enumerate(options)}, **more}}


def nps(*options):
    return read_nps(read_answers(answered("nps", *options)))


def resolved(*options):
    return read_resolved(read_answers(answered("fcr", *options)))


def test_each_question_keeps_its_text_its_options_and_its_comment():
    read = read_answers(
        answered("areas_of_improvement", option("Speed"), option("Clarity"), comment="Both.")
        | answered("nps", option("9", 9), question_text="Would you recommend us?")
        | answered("fcr")
    )

    assert read == (
        Answer("areas_of_improvement", "Why?", None, ("Speed", "Clarity"), "Both."),
        Answer("nps", "Would you recommend us?", 9, ("9",), None),
        Answer("fcr", "Why?", None, (), None),
    )


def test_a_comment_does_not_show_when_an_answer_is_printed():
    assert "secret" not in repr(read_answers(answered("nps", comment="secret")))


def test_numbers_and_lengths_have_limits():
    many = {f"q{n}": {} for n in range(MAX_ANSWERS + 1)}
    (long,) = read_answers(answered("nps", *[option("x")] * (MAX_OPTIONS + 1), comment="c" * 99_999))

    assert len(read_answers(many)) == MAX_ANSWERS
    assert (len(long.options), len(long.comment)) == (MAX_OPTIONS, MAX_COMMENT_CHARACTERS)


@pytest.mark.parametrize(
    "strange", [None, [], "?", 7, [[]], {"q": None}, {"q": [1]}, {"q": {"selected_options": "x"}}]
)
def test_no_strange_shape_breaks_the_reading(strange):
    assert {(read.value, read.options, read.comment) for read in read_answers(strange)} <= {(None, (), None)}


@pytest.mark.parametrize("value", [None, True, 1.5, "x", [], 2**31, -(2**40), "9" * 400])
def test_a_strange_number_is_left_out(value):
    assert read_answers(answered("nps", option("x", value)))[0].value is None


def test_what_is_written_as_text_is_read_back():
    answers = read_answers(answered("nps", option("naïve \ud800", 3), comment="🙂\n“”"))

    assert answers_from(answers_text(answers)) == answers


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (option("9", 9), 9),
        (option("Extremely likely", 10), 10),
        (option("0"), 0),
        (option("x", 11), None),
        (option(), None),
    ],
)
def test_nps_is_the_number_or_the_label_from_0_to_10(given, read):
    assert nps(given) == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (option("Yes", 1), True),
        (option("No", 2), False),
        (option("yes, at once"), True),
        (option("Not yet", 1), False),
        (option("Nobody called", 1), True),
        (option("Done", 0), False),
        (option("Done", 7), None),
        (option(), None),
    ],
)
def test_resolution_is_read_from_the_label_else_from_the_number(given, read):
    assert resolved(given) is read


def test_without_these_questions_there_is_neither():
    assert (nps(), resolved(), read_nps(()), read_resolved(())) == (None, None, None, None)
