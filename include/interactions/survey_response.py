"""Read a record of Data Return, and find the interaction that it reports on.

Any field may be null, missing, or of another shape (fact sheet stella-connect.md, section 4.2). An unreadable
field is None; only a record without its identity cannot be used.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from include.interactions.answers import (
    MAX_NAME_CHARACTERS,
    REWARDS,
    STARS,
    Answer,
    answer_to,
    cut_text,
    object_of,
    read_answers,
    read_nps,
    read_resolved,
)
from include.interactions.records import Harmless, Id

CLOCK_SLACK = timedelta(minutes=5)
"""How far Stella Connect's clock may be behind ours. A record created earlier than this before our attempt is not
ours."""


class SurveyResponse(BaseModel):
    """One record of Data Return. Of people it names only the team leader, and whom the comments name."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    uuid: Id
    sequence_id: Annotated[int, Field(ge=0, lt=2**63)]
    conversation_id: Harmless[str] = None
    """The `ext_interaction_id`; not unique at Stella Connect."""
    closed_at: Harmless[AwareDatetime] = None
    """The closing, from the custom property that we send along."""
    requested_via: Harmless[str] = None
    is_recovery: Harmless[bool] = None
    """Whether it belongs to a service recovery; `parent_uuid` is then the record of the first survey."""
    parent_uuid: Harmless[Id] = None
    delivery_status: Harmless[str] = None
    """Open text such as "Sent" or "Not sent: suppression period"."""
    request_created_at: Harmless[AwareDatetime] = None
    request_sent_at: Harmless[AwareDatetime] = None
    response_received_at: Harmless[AwareDatetime] = None
    """When the customer answered; None without an answer."""
    rating: Harmless[Annotated[int, Field(ge=0, le=100)]] = None
    """The agent's stars."""
    nps: Harmless[int] = None
    """How likely the customer is to recommend, from 0 to 10."""
    resolved: Harmless[bool] = None
    """Whether the first contact resolved the matter."""
    comment: Harmless[str] = Field(None, repr=False)
    """The first of the comments, that on the stars before others."""
    answers: SkipValidation[tuple[Answer, ...]] = Field((), repr=False)
    """Every question that the customer saw."""
    disputed: Harmless[bool] = None
    """Whether the answer is disputed at Stella Connect; may change long after the answer."""
    reward: Harmless[str] = None
    channel: Harmless[str] = None
    brand: Harmless[str] = None
    language: Harmless[str] = None
    survey_name: Harmless[str] = None
    team_leader: Harmless[str] = Field(None, repr=False)


@dataclass(frozen=True, slots=True)
class KnownClosing:
    """The fields that identify one of our interactions in Data Return."""

    interaction_id: int
    conversation_id: str
    closed_at: datetime
    first_attempt: datetime | None
    """When its first request was sent; None if none was."""
    erased: bool
    """Whether the customer's data were erased: then no words of an answer may be stored again."""
    recovers_uuid: str | None = None
    """Its survey is a service recovery after this answer."""


def read_survey_response(record: Mapping[str, Any]) -> SurveyResponse | None:
    """Return the record; None if it has no usable `uuid` or `sequence_id`."""
    answers = read_answers(record.get("answers"))
    fields = {
        **record,
        "conversation_id": record.get("ext_interaction_id"),
        "closed_at": object_of(record.get("custom_properties")).get("closed_at"),
        "delivery_status": record.get("request_delivery_status"),
        "rating": _value(answer_to(answers, STARS)),
        "nps": read_nps(answers),
        "resolved": read_resolved(answers),
        "comment": _first_comment(answers),
        "answers": answers,
        "reward": record.get("reward_name") or _label(answer_to(answers, REWARDS)),
        "brand": record.get("branding"),
        "team_leader": object_of(record.get("team_leader")).get("full_name"),
    }
    for name in ("delivery_status", "reward", "channel", "brand", "language", "survey_name", "team_leader"):
        fields[name] = cut_text(fields.get(name), MAX_NAME_CHARACTERS)
    try:
        return SurveyResponse.model_validate(fields)
    except ValidationError:
        return None


def interaction_of(response: SurveyResponse, closings: Iterable[KnownClosing]) -> KnownClosing | None:
    """Return the interaction that the record reports on; None if it is not ours.

    Agents also send manual requests, and any order number can be an `ext_interaction_id`. Therefore the request
    must have come through the API, and must name our closing or be created after our attempt.
    """
    ours = [
        closing
        for closing in closings
        if closing.conversation_id == response.conversation_id
        and (closing.recovers_uuid is not None) == bool(response.is_recovery)
    ]
    # The parent may be another survey of the conversation: a recovery names the conversation only.
    ours = [closing for closing in ours if closing.recovers_uuid == response.parent_uuid] or ours
    via = (response.requested_via or "").strip().casefold()
    if via == "manual":
        return None
    if response.closed_at is not None:  # only our requests carry it, so a missing `requested_via` does no harm
        return next((closing for closing in ours if closing.closed_at == response.closed_at), None)
    if via != "api" or response.request_created_at is None:
        return None
    latest = response.request_created_at + CLOCK_SLACK
    tried = [
        (closing.first_attempt, closing)
        for closing in ours
        if closing.first_attempt and closing.first_attempt <= latest
    ]
    return max(tried, key=lambda pair: pair[0])[1] if tried else None


def _value(answer: Answer | None) -> int | None:
    return answer.value if answer else None


def _label(answer: Answer | None) -> str | None:
    return next(iter(answer.options), None) if answer else None


def _first_comment(answers: Iterable[Answer]) -> str | None:
    by_stars = sorted(answers, key=lambda answer: answer.type != STARS)
    return next((answer.comment for answer in by_stars if answer.comment), None)
