"""The table of interactions, its export, and one interaction from beginning to end."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from include.interactions.feedback_request import at_expiry, channel_for, feedback_request
from include.interactions.interaction import Interaction
from include.interactions.links import link_to
from include.interactions.states import State
from include.interactions.utc import utc_text
from include.ledger.queries import Event
from include.ledger.reports import listing
from include.ledger.reports import story as stories
from include.ledger.reports.listing import Filter, Line
from include.ledger.reports.people import list_agents
from include.ledger.reports.writes import recoveries_of, writes_of
from plugins.interactions_view.access import Visitor, VisitorDep
from plugins.interactions_view.people import seen_by
from plugins.interactions_view.queries import ListQuery
from plugins.interactions_view.rendering import Links, page
from plugins.interactions_view.source import Source, source
from plugins.interactions_view.words import answer, step_title

router = APIRouter()

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
COLUMNS = (
    "conversation_id",
    "closed_at",
    "due_at",
    "state",
    "reason",
    "detail",
    "customer_id",
    "customer_name",
    "customer_email",
    "agent_id",
    "agent_name",
    "agent_email",
    "agent_profile",
    "tags",
    "do_not_send",
    "sent_channel",
    "attempts",
    "sent_at",
    "http_status",
    "delivery_status",
    "answered_at",
    "rating",
    "channel",
    "rule",
)


@router.get("/list")
def show(request: Request, visitor: VisitorDep, asked: ListQuery) -> HTMLResponse:
    """Show the table."""
    now = datetime.now(UTC)
    chosen = _allowed(asked.filter(now), visitor)
    with source(visitor.organisation).read() as connection:
        found = listing.page(
            connection,
            chosen,
            asked.sort,
            descending=asked.order == "desc",
            number=asked.page,
            size=int(asked.size),
        )
        channels, rules = listing.channels(connection), listing.rules(connection)
        known = list_agents(connection)
    return page(
        request,
        "list.html",
        view="list",
        visitor=visitor,
        asked=asked,
        found=found,
        channels=channels,
        rules=rules,
        agents=known,
        filtered=asked.filter(now) != Filter(),
    )


@router.get("/list.csv")
def export(visitor: VisitorDep, asked: ListQuery) -> StreamingResponse:
    """Everything filtered, as CSV."""
    chosen = _allowed(asked.filter(datetime.now(UTC)), visitor)
    found = source(visitor.organisation)
    with found.read() as connection:  # what is wrong shows now, not in the middle of a download
        listing.page(connection, chosen, asked.sort, descending=True, size=1)
    lines = (seen_by(visitor, line) for line in listing.export(found.read, chosen))
    name = f"interactions-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    return StreamingResponse(
        _csv(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/one/{interaction_id}")
def show_interaction(request: Request, visitor: VisitorDep, interaction_id: int) -> HTMLResponse:
    """Show one interaction: the answer, its timeline, its request, what Stella Connect says."""
    found = source(visitor.organisation)
    with found.read() as connection:
        story = stories.story(connection, interaction_id) if 0 < interaction_id < 2**63 else None
        answers = [card.uuid for card in story.chosen.responses] if story else []
        writes, recoveries = writes_of(connection, answers), recoveries_of(connection, answers)
    if story is None:
        raise HTTPException(404, "The ledger does not know this interaction.")
    line, now = seen_by(visitor, story.chosen.line), datetime.now(UTC)
    steps = [timeline_step(step, visitor) for step in story.chosen.steps]
    title, body = describe_request(line, found, now)
    return page(
        request,
        "interaction.html",
        view="list",
        visitor=visitor,
        line=line,
        closed_at=utc_text(line.closed_at),
        late=line.sent_at - line.due_at if line.sent_at else None,
        story=story,
        answer=answer(line, now, found.settings),
        steps=steps,
        handled_by=next(((step.dag_id, step.run_id) for step in reversed(steps) if step.run_id), None),
        responses=story.chosen.responses,
        writes=writes,
        recoveries=recoveries,
        request_title=title,
        request_body=body,
        kustomer=kustomer_link(found, line),
    )


@router.get("/conversation/{conversation_id}")
def conversation(request: Request, visitor: VisitorDep, conversation_id: str) -> Response:
    """Redirect links that know only the conversation to its latest closing."""
    with source(visitor.organisation).read() as connection:
        interaction_id = stories.latest_closing(connection, conversation_id)
    if interaction_id is None:
        raise HTTPException(404, "The ledger does not know this conversation.")
    return RedirectResponse(Links(request).to(f"one/{interaction_id}"))


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """A step of the timeline in words, and the run or person that took it."""

    step: Event
    title: str
    dag_id: str | None
    run_id: str | None
    run_words: str
    person: str | None


def timeline_step(step: Event, visitor: Visitor) -> TimelineStep:
    """Describe a step for the timeline."""
    title, by, dags = step_title(step), step.by, visitor.organisation
    if by is None:
        return TimelineStep(step, title, None, None, "", None)
    kinds = {
        dags.feedback_dag_id: "feedback run",
        dags.decision_dag_id: "required action",
        dags.admin_dag_id: "action",
    }
    origins = {"scheduled": "hourly run", "manual": "manual run", "backfill": "backfill run"}
    words = kinds.get(by.dag_id or "") or origins.get((by.run_id or "").partition("__")[0], "run")
    person = by.person if by.person is None or visitor.sees_personal_data else "a person"
    return TimelineStep(step, title, by.dag_id, by.run_id, words, person)


def _allowed(chosen: Filter, visitor: Visitor) -> Filter:
    """Return the filter without the search for addresses if the visitor sees them masked."""
    return replace(chosen, whole_addresses=not visitor.sees_personal_data)


def kustomer_link(found: Source, line: Line) -> str | None:
    """Return the conversation in Kustomer; None while Kustomer's address, or the customer, is not known."""
    if found.web_url is None or line.customer.id is None:
        return None
    return link_to(found.web_url, line.customer.id, line.conversation_id)


def describe_request(line: Line, found: Source, now: datetime) -> tuple[str, str]:
    """Return the request to Stella Connect: a title, and its JSON, empty if there is none.

    What was sent is read from the ledger; what will be sent follows from today's settings.
    """
    waits = line.state in (State.PLANNED, State.CLAIMED)
    title = (
        "The request that was sent" if line.tried else "The request that will be sent" if waits else "The request"
    )
    request: dict[str, Any] | None = None
    if line.tried and line.sent_request and line.customer.email:
        request = _sent_request(line, line.sent_request)
    elif waits and line.customer.email and line.agent.email:
        request = _coming_request(line, found, now)
    return title, json.dumps(request, indent=2, ensure_ascii=False) if request else ""


def _sent_request(line: Line, stored: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(stored)
    if line.recovers_uuid is None:  # a service recovery names no customer
        request["customer"] = {"name": line.customer.name, "email": line.customer.email}
    return request


def _coming_request(line: Line, found: Source, now: datetime) -> dict[str, Any]:
    interaction = Interaction(
        conversation_id=line.conversation_id,
        closed_at=line.closed_at,
        due_at=line.due_at,
        customer_id=line.customer.id,
        customer_name=line.customer.name,
        customer_email=line.customer.email,
        tags=line.tags,
        first_due_at=line.first_due_at,
        custom_properties=line.custom_properties,
        channel=line.filed["channel"],
        brand=line.filed["brand"],
        language=line.filed["language"],
        country=line.filed["country"],
        recovers_uuid=line.recovers_uuid,
    )
    return feedback_request(
        interaction,
        employee_email=line.agent.email or "",
        web_url=found.web_url or "",
        channel=channel_for(interaction, found.settings),
        do_not_send=bool(line.do_not_send or line.survey) or at_expiry(interaction, now, found.settings) == "count",
    )


def _csv(lines: Iterator[Line]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\N{BYTE ORDER MARK}")  # or a spreadsheet takes the text for another encoding
    writer.writerow(COLUMNS)
    for line in lines:
        writer.writerow([_cell(value) for value in _values(line)])
        if buffer.tell() > 64_000:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _values(line: Line) -> list[Any]:
    erased = "(erased)"
    people = {
        "customer_id": line.customer.id,
        "customer_name": line.customer.name,
        "customer_email": erased if line.customer.erased else line.customer.email,
        "agent_id": line.agent.id,
        "agent_name": line.agent.name,
        "agent_email": erased if line.agent.erased else line.agent.email,
        "tags": ", ".join(line.tags),
        "do_not_send": line.counts_only,
    }
    return [people[name] if name in people else getattr(line, name) for name in COLUMNS]


def _cell(value: object) -> object:
    """Return the value as text that no spreadsheet runs as a formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return value
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
