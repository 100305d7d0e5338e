"""Stella Connect's Data Return: what became of each accepted request, by a number that only grows.

The fact sheet (section 4) leaves open when a record gets its number. Here it gets one when it becomes visible, and
a new one when the customer answers or the answer changes; the old number is gone then.
"""

import hashlib
import heapq
import itertools
import random
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from include.sandbox.model import Employee, Json, Organisation
from include.sandbox.options import Options

_COMMENTS = (
    "Quick and friendly, thank you!",
    "Took a while, but the answer was right.",
    "I had to explain everything twice.",
    "<script>alert('not escaped')</script>",
    "Sehr freundlich, danke! 🙂",
    None,
)
_EXCELLENCE = ("Friendliness", "Knowledge", "Speed", "Went the extra mile")
_IMPROVEMENT = ("Waiting time", "Clarity", "Knowledge", "Follow-up")
_LEADERS = ("Ines Halloran", "Tomás Oduya", "Priya Lindqvist")
_MAX_DISPUTED_STARS = 3
_REWARDS = ("Coffee voucher", "Book token", None)


@dataclass(slots=True)
class Interaction:
    """One record of Data Return. Times in epoch seconds."""

    uuid: str
    request: Json
    created_at: float
    delivery_status: str
    via: str = "API"
    sequence_id: int | None = None
    """None while it is not visible yet."""
    answered_at: float | None = None
    changed: bool = False
    """Whether the answer was disputed, or got a second comment."""
    parent_uuid: str | None = None
    """Of a service recovery: the record of the first survey."""


class DataReturn:
    """All interactions, in the order of their sequence numbers."""

    def __init__(self, organisation: Organisation, options: Options) -> None:
        self.organisation = organisation
        self.options = options
        self._numbers: list[int] = []
        self._rows: list[Interaction] = []
        self._next = itertools.count(1001)
        self._due: list[tuple[float, int, Interaction]] = []
        self._tie = itertools.count()
        self._ids = itertools.count()
        self._latest: dict[str, Interaction] = {}
        """By `ext_interaction_id`, without service recoveries."""
        for manual in organisation.manual_requests:
            request: Json = {
                "channel": "email",
                "employee": {"email": manual.employee},
                "customer": {"name": manual.customer_name, "email": manual.customer_email},
                "ext_interaction_id": manual.ext_interaction_id,
            }
            self.add(request, manual.created_at / 1000, "Sent", via="manual")

    def add(self, request: Json, created_at: float, delivery_status: str, via: str = "API") -> None:
        """Take in an accepted request; it shows after the visibility lag."""
        row = self._add(Interaction(self._new_uuid(), request, created_at, delivery_status, via))
        self._latest[request.get("ext_interaction_id") or ""] = row

    def add_recovery(self, request: Json, parent: Interaction, created_at: float, delivery_status: str) -> str:
        """Take in a service recovery for the customer of an earlier request; returns its uuid."""
        whole = {**{name: parent.request[name] for name in ("channel", "customer")}, **request}
        row = Interaction(self._new_uuid(), whole, created_at, delivery_status, parent_uuid=parent.uuid)
        return self._add(row).uuid

    def find_first_request(self, request: Json) -> Interaction | None:
        """Return the request that a service recovery names: the latest with its `ext_interaction_id`."""
        row = self._latest.get(request.get("ext_interaction_id", ""))
        named = request.get("initial_feedback_request_id")
        return row if row is not None and named in (None, row.uuid) else None

    def _new_uuid(self) -> str:
        digest = hashlib.sha256(f"{self.organisation.seed}:{next(self._ids)}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def _add(self, row: Interaction) -> Interaction:
        number, created_at = next(self._tie), row.created_at
        heapq.heappush(self._due, (created_at + self.options.visibility_lag_seconds, number, row))
        return row

    def rows(self, after: int | None) -> Iterator[Interaction]:
        """Yield the visible records with a number above `after`, lowest first."""
        self._catch_up(time.time())
        start = 0 if after is None else bisect_right(self._numbers, after)
        for place in range(start, len(self._rows)):
            if self._rows[place].sequence_id == self._numbers[place]:
                yield self._rows[place]

    def _catch_up(self, now: float) -> None:
        """Let happen what has fallen due: records become visible, customers answer."""
        while self._due and self._due[0][0] <= now:
            due, number, row = heapq.heappop(self._due)
            if row.sequence_id is None:
                if row.delivery_status == "Sent" and self._chance(row) < self.options.answered_share:
                    heapq.heappush(self._due, (due + self.options.answer_after_seconds, number, row))
            elif row.answered_at is None:
                row.answered_at = due
                if self._chance(row, "change") < self.options.changed_share:
                    heapq.heappush(self._due, (due + self.options.change_after_seconds, number, row))
            else:
                row.changed = True
            row.sequence_id = next(self._next)
            self._numbers.append(row.sequence_id)
            self._rows.append(row)

    def _chance(self, row: Interaction, of: str = "") -> float:
        return random.Random(f"{self.organisation.seed}{row.uuid}{of}").random()  # noqa: S311 - decides a pretended answer


def record(row: Interaction, employees: dict[str, Employee], branding: str) -> Json:
    """Write one record as the vendor does (fact sheet, section 4.2)."""
    request = row.request
    address = (request.get("employee") or {}).get("email")
    answered = row.answered_at is not None
    chance = random.Random(row.uuid)  # noqa: S311 - fills in a pretended answer
    stars = chance.choice((5, 5, 5, 4, 4, 3, 2, 1))
    comment = chance.choice(_COMMENTS)
    reward = chance.choice(_REWARDS) if answered and stars >= 4 else None
    leader = random.Random(address).choice(_LEADERS)  # noqa: S311 - always the same one for an agent
    return {
        "uuid": row.uuid,
        "sequence_id": row.sequence_id,
        "parent_uuid": row.parent_uuid,
        "is_recovery": row.parent_uuid is not None,
        "branding": request.get("brand") or branding,
        "channel": request["channel"],
        "ext_interaction_id": request.get("ext_interaction_id"),
        "external_url": request.get("external_url"),
        "language": request.get("language") or "en",
        "survey_id": 17,
        "survey_name": "After contact",
        "tags": request.get("tags") or [],
        "request_created_at": stella_time(row.created_at),
        "request_delivery_status": row.delivery_status,
        "request_sent_at": stella_time(row.created_at) if row.delivery_status == "Sent" else None,
        "requested_via": row.via,
        "response_received_at": stella_time(row.answered_at),
        "reward_eligible": reward is not None,
        "reward_name": reward,
        "marketing": {},
        "employee": _agent(address, employees.get(address or "")),
        "team_leader": {"custom_id": None, "full_name": leader},
        "disputed": row.changed and stars <= _MAX_DISPUTED_STARS,
        "customer": _person(request),
        "custom_properties": request.get("custom_properties") or {},
        "answers": _answers(chance, stars, comment, changed=row.changed) if answered else {},
    }


def _agent(address: str | None, employee: Employee | None) -> Json:
    return {
        "custom_id": employee.custom_id if employee else None,
        "email": address,
        "first_name": employee.first_name if employee else None,
        "last_name": employee.last_name if employee else None,
    }


def _person(request: Json) -> Json:
    customer = request.get("customer") or {}
    return {
        "custom_id": customer.get("custom_id"),
        "email": customer.get("email"),
        "full_name": customer.get("name"),
    }


def _answers(chance: random.Random, stars: int, comment: str | None, *, changed: bool) -> Json:
    """Answer every question; a customer with up to three stars names no excellence, another no improvement."""
    likely = chance.choice(((0, 2, 4), (1, 3, 5), (4, 6, 7), (7, 8, 9), (9, 10, 10))[stars - 1])
    resolved = chance.random() < stars / 5
    areas = {
        name: chance.sample(names, chance.choice((1, 2)))
        for name, names in (("+", _EXCELLENCE), ("-", _IMPROVEMENT))
    }
    again = "Still waiting for the refund." if stars <= _MAX_DISPUTED_STARS else "P.S. It still works today."
    return {
        "agent_star_rating": _answer(
            "q-1", "How did we do?", {f"star-{stars}": (f"{stars} stars", stars)}, comment
        ),
        "nps": _answer("q-3", "How likely are you to recommend us?", {f"nps-{likely}": (str(likely), likely)}),
        "fcr": _answer("q-4", "Was your matter resolved?", {"yes": ("Yes", 1)} if resolved else {"no": ("No", 0)}),
        "areas_of_excellence": _answer(
            "q-5", "What went well?", {name: (name, None) for name in areas["+"] if stars > _MAX_DISPUTED_STARS}
        ),
        "areas_of_improvement": _answer(
            "q-2",
            "What could be better?",
            {name: (name, None) for name in areas["-"] if stars <= _MAX_DISPUTED_STARS},
            again if changed else None,
        ),
    }


def _answer(
    question: str, text: str, options: dict[str, tuple[str, int | None]], comment: str | None = None
) -> Json:
    return {
        "question_id": question,
        "question_text": text,
        "comment": comment,
        "selected_options": {
            option: {"option_id": option, "option_text": label, "integer_value": value}
            for option, (label, value) in options.items()
        },
    }


def stella_time(instant: float | None) -> str | None:
    """Write an instant as Stella Connect does, with a numeric offset; null stays null."""
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")
