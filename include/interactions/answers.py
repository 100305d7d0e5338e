"""The answers of a survey, question by question, as Data Return gives them.

Shapes are open (fact sheet stella-connect.md, sections 4.2 and 4.7): an unreadable part is left out, texts are cut.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STARS = "agent_star_rating"
NPS = "nps"
RESOLVED = "fcr"
EXCELLENCE = "areas_of_excellence"
IMPROVEMENT = "areas_of_improvement"
REWARDS = "rewards"

MAX_ANSWERS = 50
MAX_OPTIONS = 50
MAX_NAME_CHARACTERS = 200
MAX_QUESTION_CHARACTERS = 500
MAX_COMMENT_CHARACTERS = 10_000
MAX_INTEGER = 2**31 - 1
MAX_NPS = 10

_YES_OR_NO = re.compile(r"\s*(?:(yes)|no|not)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the customer answered to one question; without value, options and comment: seen and not answered."""

    type: str
    """The vendor's fixed name of the question, such as "nps"; the account's own questions have other names."""
    question: str | None
    """The question's English text."""
    value: int | None
    """The number of the chosen option: stars, 0 to 10, and so on."""
    options: tuple[str, ...]
    """The English labels of the chosen options, such as areas of improvement."""
    comment: str | None = field(repr=False)
    """The customer's own words."""


def read_answers(given: object) -> tuple[Answer, ...]:
    """Return the answers in the member `answers` of a record, in its order."""
    return tuple(_read_answer(str(name), object_of(value)) for name, value in object_of(given).items())[
        :MAX_ANSWERS
    ]


def answers_text(answers: Iterable[Answer]) -> str:
    """Return the answers as JSON."""
    return json.dumps([asdict(answer) for answer in answers])


def answers_from(text: str) -> tuple[Answer, ...]:
    """Read what `answers_text` wrote."""
    return tuple(Answer(**{**answer, "options": tuple(answer["options"])}) for answer in json.loads(text))


def answer_to(answers: Iterable[Answer], name: str) -> Answer | None:
    """Return the answer to the question of this type."""
    return next((answer for answer in answers if answer.type == name), None)


def read_nps(answers: Iterable[Answer]) -> int | None:
    """Return how likely the customer is to recommend, from 0 to 10."""
    answer = answer_to(answers, NPS)
    if answer is None:
        return None
    labels = [int(label) for label in answer.options if label.isascii() and label.isdecimal()]
    value = answer.value if answer.value is not None else next(iter(labels), None)
    return value if value is not None and 0 <= value <= MAX_NPS else None


def read_resolved(answers: Iterable[Answer]) -> bool | None:
    """Return whether the first contact resolved the matter: by the option's label, else by 1 or 0."""
    answer = answer_to(answers, RESOLVED)
    if answer is None:
        return None
    label = _YES_OR_NO.match(next(iter(answer.options), ""))
    if label is not None:
        return label[1] is not None
    return {1: True, 0: False}.get(answer.value) if answer.value is not None else None


def _read_answer(name: str, given: Mapping[str, Any]) -> Answer:
    options = _options(given)
    labels = (cut_text(option.get("option_text"), MAX_NAME_CHARACTERS) for option in options)
    return Answer(
        type=name[:MAX_NAME_CHARACTERS],
        question=cut_text(given.get("question_text"), MAX_QUESTION_CHARACTERS),
        value=next(
            (value for option in options if (value := _integer(option.get("integer_value"))) is not None), None
        ),
        options=tuple(label for label in labels if label),
        comment=cut_text(given.get("comment"), MAX_COMMENT_CHARACTERS),
    )


def _options(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    options = answer.get("selected_options")
    listed = options.values() if isinstance(options, Mapping) else options if isinstance(options, list) else []
    return [option for option in listed if isinstance(option, Mapping)][:MAX_OPTIONS]


def _integer(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:12])
    return value if type(value) is int and abs(value) <= MAX_INTEGER else None


def object_of(value: object) -> Mapping[str, Any]:
    """Return the object, or the first one in a list where the spec draws an object; else an empty one."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, Mapping)), None)
    return value if isinstance(value, Mapping) else {}


def cut_text(value: object, max_characters: int) -> str | None:
    """Return the text, cut; None if it is no text or blank."""
    return value[:max_characters] if isinstance(value, str) and value.strip() else None
