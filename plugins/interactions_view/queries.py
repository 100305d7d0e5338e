"""The query parameters of each view, with descriptions that the error page shows."""

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.reports.listing import Filter, Sort
from include.ledger.reports.overview import OVERDUE
from include.ledger.reports.responses import CardFilter
from include.ledger.reports.scores import Group
from plugins.pipeline.actions import ACTIONS

EARLIEST, LATEST = date(2000, 1, 1), date(2199, 12, 31)
MAX_CHARACTERS = 200

# No control characters: PostgreSQL cannot store a NUL, and people do not type the others.
Words = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=MAX_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Day = Annotated[date, Field(ge=EARLIEST, le=LATEST, description="a day such as 2026-01-31")]
PageNumber = Annotated[int, Field(ge=1, le=100_000, description="a whole number from 1 on")]


def _words(what: str, alias: str | None = None) -> Any:
    return Field(None, alias=alias, description=f"{what}, at most {MAX_CHARACTERS} characters")


def _one_of(words: type[StrEnum]) -> str:
    return f"one of {', '.join(words)}"


class Parameters(BaseModel):
    """Parameters of a view. An empty field means no choice; an unknown parameter is refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        kept = {
            key: [entry for entry in value if entry] if isinstance(value, list) else value
            for key, value in given.items()
        }
        return {key: value for key, value in kept.items() if value not in ("", [], None)}


class Period(StrEnum):
    """The closings that the overview counts."""

    TODAY = "today"
    YESTERDAY = "yesterday"
    WEEK = "week"


class Ahead(StrEnum):
    """How far the overview looks ahead."""

    HOURS = "hours"
    DAY = "day"


class OverviewParameters(Parameters):
    """Parameters of the overview."""

    span: Period = Field(Period.TODAY, description=_one_of(Period))
    ahead: Ahead = Field(Ahead.HOURS, description=_one_of(Ahead))


class ListParameters(Parameters):
    """Parameters of the table; `from` and `to` are days of the closing, both included."""

    # People search for addresses. Airflow's access log hides the value of a parameter with "secret" in its name.
    text: Words | None = _words("text", alias="search_secret")
    state: list[State] = Field([], max_length=len(State), description=_one_of(State))
    reason: list[Reason] = Field([], max_length=len(Reason), description=_one_of(Reason))
    agent: Words | None = _words("an agent's id in Kustomer")
    rule: Words | None = _words("a rule's name")
    channel: Words | None = _words("a channel's name")
    first: Day | None = Field(None, alias="from", description="a day such as 2026-01-31")
    last: Day | None = Field(None, alias="to", description="a day such as 2026-01-31")
    overdue: Literal["1"] | None = Field(None, description="1, or nothing")
    sort: Sort = Field(Sort.CLOSED_AT, description=_one_of(Sort))
    order: Literal["asc", "desc"] = Field("desc", description="asc or desc")
    page: PageNumber = 1
    size: Literal["25", "50", "100", "200"] = Field("50", description="25, 50, 100 or 200")

    def filter(self, now: datetime) -> Filter:
        """Return the filter for the ledger."""
        return Filter(
            text=self.text or "",
            states=frozenset(self.state),
            reasons=frozenset(self.reason),
            agent_id=self.agent,
            rule=self.rule,
            channel=self.channel,
            closed_from=midnight(self.first) if self.first else None,
            closed_until=midnight(self.last + timedelta(days=1)) if self.last else None,
            overdue_at=now - OVERDUE if self.overdue else None,
        )


class AgentsParameters(Parameters):
    """Parameters of the list of agents."""

    days: Literal["7", "30", "90"] = Field("30", description="7, 30 or 90")


class StreamParameters(AgentsParameters):
    """Parameters of an agent's page."""

    page: PageNumber = 1


class ResponsesParameters(Parameters):
    """Parameters of the responses."""

    days: Literal["7", "30", "90"] = Field("30", description="7, 30 or 90")
    agent: Words | None = _words("an agent's id in Kustomer")
    by: Group = Field(Group.AGENT, description=_one_of(Group))
    stars: list[Literal["1", "2", "3", "4", "5"]] = Field([], max_length=5, description="1, 2, 3, 4 or 5")
    page: PageNumber = 1

    def filter(self, since: datetime, until: datetime) -> CardFilter:
        """Return the filter for the ledger."""
        return CardFilter(
            agent_id=self.agent,
            answered_from=since,
            answered_until=until,
            ratings=frozenset(map(int, self.stars)),
        )


class RulesParameters(Parameters):
    """Parameters of the rules."""

    days: Literal["7", "30", "90"] = Field("7", description="7, 30 or 90")


class ActionParameters(Parameters):
    """Values that an action's form starts with."""

    action: Literal[tuple(ACTIONS)] = Field("show_history", description=f"one of {', '.join(ACTIONS)}")  # type: ignore[valid-type]  # a Literal of the DAG's own list
    conversation_id: Words | None = _words("a conversation's id")
    closed_at: datetime | None = Field(None, description="a time such as 2026-01-31T10:00:00Z")
    agent: Words | None = _words("an agent's id in Kustomer")
    customer: Words | None = _words("a customer's id in Kustomer")
    settle_as: Literal["sent", "planned", "cancelled"] | None = Field(
        None, description="sent, planned or cancelled"
    )


def midnight(day: date) -> datetime:
    """Return the start of the day, UTC."""
    return datetime.combine(day, time(), UTC)


OverviewQuery = Annotated[OverviewParameters, Query()]
ListQuery = Annotated[ListParameters, Query()]
AgentsQuery = Annotated[AgentsParameters, Query()]
StreamQuery = Annotated[StreamParameters, Query()]
ResponsesQuery = Annotated[ResponsesParameters, Query()]
RulesQuery = Annotated[RulesParameters, Query()]
ActionQuery = Annotated[ActionParameters, Query()]
