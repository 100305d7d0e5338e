"""Read a record of Data Return, and find the interaction that it reports on.

Any field may be null, missing, or of another shape (fact sheet stella-connect.md, section 4.2). An unreadable
field is None; only a record without its identity cannot be used.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.interactions.records import Harmless, Id

CLOCK_SLACK = timedelta(minutes=5)
"""How far Stella Connect's clock may be behind ours. A record created earlier than this before our attempt is not
ours."""


class SurveyResponse(BaseModel):
    """One record of Data Return, without anything that names a person beyond what the comment itself says."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    uuid: Id
    sequence_id: Annotated[int, Field(ge=0, lt=2**63)]
    conversation_id: Harmless[str] = None
    """The `ext_interaction_id`; not unique at Stella Connect."""
    closed_at: Harmless[AwareDatetime] = None
    """The closing, from the custom property that we send along."""
    requested_via: Harmless[str] = None
    is_recovery: Harmless[bool] = None
    delivery_status: Harmless[str] = None
    """Open text such as "Sent" or "Not sent: suppression period"."""
    request_created_at: Harmless[AwareDatetime] = None
    request_sent_at: Harmless[AwareDatetime] = None
    response_received_at: Harmless[AwareDatetime] = None
    """When the customer answered; None without an answer."""
    rating: Harmless[Annotated[int, Field(ge=0, le=100)]] = None
    """The agent's stars."""
    comment: Harmless[str] = Field(None, repr=False)
    reward: Harmless[str] = None
    channel: Harmless[str] = None
    brand: Harmless[str] = None


@dataclass(frozen=True, slots=True)
class KnownClosing:
    """The fields that identify one of our interactions in Data Return."""

    interaction_id: int
    conversation_id: str
    closed_at: datetime
    first_attempt: datetime | None
    """When its first request was sent; None if none was."""
    erased: bool
    """Whether the customer's data were erased: then no comment may be stored again."""


def read_survey_response(record: Mapping[str, Any]) -> SurveyResponse | None:
    """Return the record; None if it has no usable `uuid` or `sequence_id`."""
    answers = _object(record.get("answers"))
    stars = _object(answers.get("agent_star_rating"))
    fields = {
        **record,
        "conversation_id": record.get("ext_interaction_id"),
        "closed_at": _object(record.get("custom_properties")).get("closed_at"),
        "delivery_status": record.get("request_delivery_status"),
        "rating": _first(option.get("integer_value") for option in _options(stars)),
        "comment": _first(_object(answer).get("comment") for answer in (stars, *answers.values())),
        "reward": record.get("reward_name")
        or _first(option.get("option_text") for option in _options(_object(answers.get("rewards")))),
        "brand": record.get("branding"),
    }
    try:
        return SurveyResponse.model_validate(fields)
    except ValidationError:
        return None


def interaction_of(response: SurveyResponse, closings: Iterable[KnownClosing]) -> KnownClosing | None:
    """Return the interaction that the record reports on; None if it is not ours.

    Agents also send manual requests, and any order number can be an `ext_interaction_id`. Therefore the request
    must have come through the API, and must name our closing or be created after our attempt.
    """
    ours = [closing for closing in closings if closing.conversation_id == response.conversation_id]
    via = (response.requested_via or "").strip().casefold()
    if response.is_recovery or via == "manual":
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


def _object(value: object) -> Mapping[str, Any]:
    if isinstance(value, list):  # where the spec draws an object
        value = next((item for item in value if isinstance(item, Mapping)), None)
    return value if isinstance(value, Mapping) else {}


def _options(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    options = answer.get("selected_options")
    listed = options.values() if isinstance(options, Mapping) else options if isinstance(options, list) else []
    return [option for option in listed if isinstance(option, Mapping)]


def _first(values: Iterable[object]) -> object:
    return next((value for value in values if value not in (None, "")), None)
