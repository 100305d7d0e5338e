"""Column types of the ledger, the same for SQLite and PostgreSQL."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

from include.interactions.answers import Answer, answers_from, answers_text
from include.interactions.utc import EPOCH, MILLISECOND


class Instant(TypeDecorator[datetime]):
    """An instant as whole milliseconds since 1970, UTC, rounded down.

    A number, because SQLite returns naive datetimes. Milliseconds, because Kustomer's times have them and a
    closing is recognised by its time.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Refuse a naive time (ValueError), because its instant is unclear."""
        return None if value is None else milliseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Give an aware datetime in UTC."""
        return None if value is None else EPOCH + value * MILLISECOND


def milliseconds(moment: datetime) -> int:
    """Return the instant as the ledger will hold it."""
    if moment.tzinfo is None:
        raise ValueError(f"the ledger keeps instants, not naive times: {moment!r}")
    return (moment - EPOCH) // MILLISECOND


class StorableText(TypeDecorator[str]):
    """Text without what a database cannot hold: NUL characters and halves of surrogate pairs.

    JSON may carry both; one such name must not stop the other interactions of its hour.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Replace the characters that cannot be stored."""
        return None if value is None else storable(value)


def storable(value: str) -> str:
    """Return the text as the ledger will hold it."""
    if "\0" in value:
        value = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


class TagNames(TypeDecorator[tuple[str, ...]]):
    """Tag names as JSON text (ASCII, so that nothing in it is unstorable); none at all takes no room."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Write the names as a JSON list."""
        return names_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002 - SQLAlchemy's signature
        """Read the names back, in their order."""
        return tuple(json.loads(value)) if value else ()


class TextMapping(TypeDecorator[Mapping[str, str]]):
    """Texts by name as JSON text; none at all takes no room."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Write the mapping as a JSON object."""
        return mapping_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, str]:  # noqa: ARG002 - SQLAlchemy's signature
        """Read the mapping back, in its order."""
        return dict(json.loads(value)) if value else {}


class SurveyAnswers(TypeDecorator[tuple[Answer, ...]]):
    """The answers of a survey as JSON text; none at all takes no room."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Answer, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Write the answers as a JSON list that PostgreSQL reads as jsonb too."""
        return answers_text(map(_storable_answer, value)) if value else None

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Answer, ...]:  # noqa: ARG002 - SQLAlchemy's signature
        """Read the answers back, in their order."""
        return answers_from(value) if value else ()


def _storable_answer(answer: Answer) -> Answer:
    return replace(
        answer,
        type=storable(answer.type),
        question=answer.question and storable(answer.question),
        options=tuple(map(storable, answer.options)),
        comment=answer.comment and storable(answer.comment),
    )


def mapping_text(value: Mapping[str, str] | None) -> str | None:
    """Return the mapping as the ledger will hold it."""
    return json.dumps(dict(value)) if value else None


def names_text(names: tuple[str, ...] | None) -> str | None:
    """Return the tag names as the ledger will hold them."""
    return json.dumps(names) if names else None
