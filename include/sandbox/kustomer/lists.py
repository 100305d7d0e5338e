"""Kustomer's small lists: brands, queues, teams, sub-statuses and schedules (fact sheet, section 8.1).

The roles for teams and queues are not documented; the ones here follow the pattern of the others.
"""

from collections.abc import Callable, Mapping

from fastapi import FastAPI, Request, Response

from include.sandbox.kustomer.errors import KustomerError
from include.sandbox.model import Json, Organisation, Schedule

Allow = Callable[..., Organisation]
Answer = Callable[[Request, Json], Response]
Listing = Callable[..., Json]


def add_lists(app: FastAPI, allow: Allow, page: Answer, answer: Answer, listing: Listing) -> None:
    """Add the endpoints to the simulator of Kustomer."""

    def add(path: str, kind: str, field: str, attribute: str, *roles: str) -> None:
        async def read(request: Request) -> Response:
            names: Mapping[str, str] = getattr(allow(request, *roles), field)
            rows = [
                {"type": kind, "id": identity, "attributes": {attribute: name}} for identity, name in names.items()
            ]
            return page(request, listing(request, path, rows, dict, 100, 500))

        app.get(path)(read)

    add("/v1/brands", "brand", "brands", "name", "org.permission.brand.read")
    add("/v1/queues", "queue", "queues", "name", "org.permission.queue.read")
    add("/v1/teams", "team", "teams", "name", "org.permission.team.read", "org.user.team.read")
    statuses = ("org.permission.sub_status.read", "org.permission.conversation.read")
    add("/v1/sub-statuses", "sub_status", "sub_statuses", "label", *statuses)

    @app.get("/v1/schedules")
    async def schedules(request: Request) -> Response:
        every = allow(request, "org.permission.schedule.read").schedules
        return page(request, listing(request, "/v1/schedules", every, schedule_record, 100, 100))

    @app.get("/v1/schedules/{id_}")
    async def schedule(request: Request, id_: str) -> Response:
        for schedule in allow(request, "org.permission.schedule.read").schedules:
            if id_ == schedule.id or (id_ == "default" and schedule.default):
                included = holidays_of(schedule) if request.query_params.get("include") == "holidays" else []
                return answer(request, {"data": schedule_record(schedule), "included": included})
        raise KustomerError(404, "schedule not found", "id")


def schedule_record(schedule: Schedule) -> Json:
    """Write a schedule."""
    attributes = {
        "name": schedule.name,
        "timezone": schedule.time_zone,
        "default": schedule.default,
        "hours": schedule.hours,
    }
    holidays = [{"type": "holiday", "id": holiday["id"]} for holiday in holidays_of(schedule)]
    relationships = {"holidays": {"data": holidays}}
    return {"type": "schedule", "id": schedule.id, "attributes": attributes, "relationships": relationships}


def holidays_of(schedule: Schedule) -> list[Json]:
    """Write the holidays of a schedule as included records."""
    return [
        {
            "type": "holiday",
            "id": f"{schedule.id[:-2]}{number:02x}",
            "attributes": {"name": name, "startDate": f"{start}T00:00:00.000Z", "endDate": end, "enabled": enabled},
        }
        for number, (name, start, end, enabled) in enumerate(schedule.holidays)
    ]
