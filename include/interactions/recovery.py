"""The setting `recovery`: which answers lead to which actions.

Pure decisions; `plugins/pipeline/recovering.py` takes the actions, once per answer and action.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from include.interactions.closing_facts import comparable
from include.interactions.mapping import Text
from include.interactions.rules import AnyOf
from include.interactions.setting_types import SettingPart
from include.interactions.write_back import Template

MAX_ENTRIES = 50


class RecoveryAction(StrEnum):
    """What can be done about an answer, in this order. Reopening comes last: people then find the rest in place."""

    NOTE = "note"
    TAG = "tag"
    WEBHOOK = "webhook"
    REOPEN = "reopen"


class StepState(StrEnum):
    """How far one action for one answer is."""

    PENDING = "pending"
    ACTING = "acting"
    """A process is at it, or died in it: the next one looks what it did."""
    DONE = "done"
    FAILED = "failed"
    """A person must look: a vendor refuses it, or it is unknown whether it was done."""
    GONE = "gone"
    """Nothing to act on: the conversation or the customer's data are gone, or the setting has no such action."""


class When(SettingPart):
    """Conditions that must all hold."""

    stars_at_most: Annotated[int, Field(strict=True, ge=1, le=5)] | None = None
    nps_at_most: Annotated[int, Field(strict=True, ge=0, le=10)] | None = None
    resolved: Literal[False] | None = None
    with_comment: bool | None = None
    channel: AnyOf | None = None
    brand: AnyOf | None = None
    rule: AnyOf | None = None
    younger_than_days: Annotated[int, Field(strict=True, ge=1, le=30)] = 3

    @model_validator(mode="after")
    def _asks_for_a_score(self) -> "When":
        if self.stars_at_most is None and self.nps_at_most is None and self.resolved is None:
            raise ValueError(
                "one of stars_at_most, nps_at_most, resolved is needed: the others say nothing about the score"
            )
        return self


class RecoveryNote(SettingPart):
    """A note beside the conversation."""

    text: Template
    mention_team: Text | None = None


class Reopening(SettingPart):
    """Reopen the conversation and hand it to people."""

    team: Text | None = None
    queue: Text | None = None
    priority: Annotated[int, Field(strict=True, ge=1, le=5)] | None = None

    @model_validator(mode="after")
    def _has_one_place(self) -> "Reopening":
        if (self.team is None) == (self.queue is None):
            raise ValueError("either a team or a queue is needed, so that people find the conversation")
        return self


class Then(SettingPart):
    """What is done; an action that is not named is off."""

    note: RecoveryNote | None = None
    tag: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    webhook: Text | None = None
    """Id of an Airflow connection, as for alarms."""
    reopen: Reopening | None = None

    @property
    def actions(self) -> tuple[RecoveryAction, ...]:
        """The actions that are on, in their order."""
        return tuple(action for action in RecoveryAction if getattr(self, action) is not None)

    @model_validator(mode="after")
    def _does_something(self) -> "Then":
        if not self.actions:
            raise ValueError(f"at least one of {', '.join(RecoveryAction)} is needed")
        return self


class Recovery(SettingPart):
    """One entry: the first whose conditions hold decides about an answer."""

    name: Text
    when: When
    then: Then


def _differ_in_name(entries: tuple[Recovery, ...]) -> tuple[Recovery, ...]:
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two entries have the name {name!r}")
    return entries


Recoveries = Annotated[tuple[Recovery, ...], Field(max_length=MAX_ENTRIES), AfterValidator(_differ_in_name)]


@dataclass(frozen=True, slots=True)
class AnswerToJudge:
    """One answer, as far as the conditions ask."""

    uuid: str
    conversation_id: str
    answered_at: datetime
    stars: int | None
    nps: int | None
    resolved: bool | None
    has_comment: bool
    channel: str | None
    brand: str | None
    rule: str | None
    is_recovery: bool
    """It answers the survey of a recovery: people hear of it, but the conversation is not reopened again."""


@dataclass(frozen=True, slots=True)
class PlannedSteps:
    """What is to be done about one answer."""

    answer: AnswerToJudge
    entry: str
    actions: tuple[RecoveryAction, ...]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The scores beyond which no entry asks: what need not be read."""

    stars: int
    nps: int
    unresolved: bool


def thresholds_of(entries: Iterable[Recovery]) -> Thresholds:
    """Return the widest conditions of all entries."""
    conditions = [entry.when for entry in entries]
    return Thresholds(
        stars=max((when.stars_at_most for when in conditions if when.stars_at_most is not None), default=-1),
        nps=max((when.nps_at_most for when in conditions if when.nps_at_most is not None), default=-1),
        unresolved=any(when.resolved is False for when in conditions),
    )


def plan_steps(answer: AnswerToJudge, entries: Iterable[Recovery], now: datetime) -> PlannedSteps | None:
    """Return what is to be done about an answer; None: nothing."""
    entry = next((entry for entry in entries if _holds(entry.when, answer, now)), None)
    if entry is None:
        return None
    actions = tuple(
        action for action in entry.then.actions if action is not RecoveryAction.REOPEN or not answer.is_recovery
    )
    return PlannedSteps(answer, entry.name, actions) if actions else None


def oldest_of_interest(entries: Iterable[Recovery], now: datetime) -> datetime:
    """Return since when an answer can matter."""
    return now - timedelta(days=max(entry.when.younger_than_days for entry in entries))


def _holds(when: When, answer: AnswerToJudge, now: datetime) -> bool:
    return (
        answer.answered_at > now - timedelta(days=when.younger_than_days)
        and (when.stars_at_most is None or (answer.stars is not None and answer.stars <= when.stars_at_most))
        and (when.nps_at_most is None or (answer.nps is not None and answer.nps <= when.nps_at_most))
        and when.resolved in (None, answer.resolved)
        and when.with_comment in (None, answer.has_comment)
        and _is_any(when.channel, answer.channel)
        and _is_any(when.brand, answer.brand)
        and _is_any(when.rule, answer.rule)
    )


def _is_any(allowed: tuple[str, ...] | None, value: str | None) -> bool:
    return allowed is None or (value is not None and comparable(value) in map(comparable, allowed))
