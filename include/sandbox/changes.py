"""Changing the organisation while the sandbox runs: what people and customers do in the meantime.

Each function takes plain JSON and raises ValueError naming what is wrong, with nothing changed then.
"""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from include.sandbox.clock import now_ms, to_ms
from include.sandbox.model import PROFILE_STATUSES, Conversation, Customer, Employee, Json, User
from include.sandbox.state import State

_TIMES = {"created_at", "updated_at", "closed_at"}
_TUPLES = {"closing_users", "assigned_users", "tags"}
_OBJECTS = {"attributes", "relationships", "custom"}
_KEPT = {"indexed_before", "changed_at"}
_FIELDS = {field.name for field in dataclasses.fields(Conversation)} - _KEPT


def change_conversation(state: State, change: Json) -> Conversation:
    """Add a conversation, or change the one with this `id`; the keys are the fields of `Conversation`.

    Times are ISO texts with an offset. A change moves `updated_at` to now unless it says otherwise, and the
    search keeps showing the old conversation until the index lag is over. A `closed_at` makes a closing by the
    assigned users unless told otherwise. Unless `expected` is given, an opened conversation is expected to be
    cancelled as `reopened` (and sent after all once it is done again), a deleted or merged one as `deleted`.
    """
    unknown = set(change) - _FIELDS
    if unknown:
        raise ValueError(f"unknown field: {', '.join(sorted(unknown))}; known: {', '.join(sorted(_FIELDS))}")
    old = state.organisation.conversations.get(change.get("id", ""))
    values = {name: _read(name, value) for name, value in change.items()}
    if values.get("status", "done") not in ("open", "snoozed", "done"):
        raise ValueError("status must be open, snoozed or done")
    now = now_ms()
    values.setdefault("updated_at", now)
    base = old or _new_conversation(state, values, now)
    if values.get("closed_at") is not None:
        values.setdefault("closing_users", values.get("assigned_users", base.assigned_users))
        values.setdefault("closed_by", next(iter(values["closing_users"]), None))
    if old is not None and "expected" not in values and old.expected in ("sent", "reopened"):
        if values.get("deleted") or values.get("merged_into"):
            values["expected"] = "deleted"
        elif "status" in values:
            values["expected"] = "sent" if values["status"] == "done" else "reopened"
    conversation = dataclasses.replace(base, **values, indexed_before=old, changed_at=now)
    state.organisation.conversations[conversation.id] = conversation
    state.version += 1
    return conversation


def _read(name: str, value: Any) -> Any:
    if name in _TIMES and value is not None:
        return _instant(value, name)
    if name in _TUPLES:
        if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
            raise ValueError(f"{name} must be a list of ids")
        return tuple(value)
    if name in _OBJECTS and not isinstance(value, dict | None):
        raise ValueError(f"{name} must be an object or null")
    return value


def _instant(value: Any, name: str) -> int:
    try:
        return to_ms(value if isinstance(value, datetime) else datetime.fromisoformat(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an ISO time with an offset: {value!r}") from error


def _new_conversation(state: State, values: Json, now: int) -> Conversation:
    """Return a plain closed conversation of the first approved agent and a new customer."""
    organisation = state.organisation
    active = {employee.email: employee for employee in organisation.employees if employee.status == "active"}
    agent = next((user for user in organisation.users.values() if user.email in active), None)
    if agent is None:
        raise ValueError("no agent has an approved profile")
    number = len(organisation.conversations) + 1
    id_ = values.get("id") or f"{now:012x}{number:012x}"
    customer_id = values.get("customer_id")
    if customer_id is None:
        customer_id = f"c{now:011x}{number:012x}"
        address = f"late.customer{number}@example.com"
        organisation.customers[customer_id] = Customer(
            customer_id, f"Late Customer {number}", None, ((address, True),), now
        )
        values["customer_id"] = customer_id
    customer = organisation.customers.get(customer_id)
    if customer is None:
        raise ValueError(f"unknown customer {customer_id}")
    values["id"] = id_
    return Conversation(
        id=id_,
        customer_id=customer_id,
        status="done",
        channel="email",
        name="Added while running",
        created_at=now - 600_000,
        updated_at=now,
        closed_at=now,
        closed_by=agent.id,
        closing_users=(agent.id,),
        assigned_users=(agent.id,),
        situation="added while running",
        expected_employee=agent.email,
        expected_customer=customer.emails[0][0] if customer.emails else None,
    )


def change_customer(state: State, change: Json) -> Customer:
    """Change the customer with this `id`; `emails` is a list of [address, verified]."""
    customer = state.organisation.customers.get(change.get("id", ""))
    if customer is None:
        raise ValueError("unknown customer id")
    known = {field.name for field in dataclasses.fields(Customer)}
    if set(change) - known:
        raise ValueError(f"known fields: {', '.join(sorted(known))}")
    values = dict(change)
    if "emails" in values:
        values["emails"] = tuple((str(email), bool(ok)) for email, ok in values["emails"])
    customer = dataclasses.replace(
        customer, updated_at=now_ms(), **{k: v for k, v in values.items() if k != "updated_at"}
    )
    state.organisation.customers[customer.id] = customer
    state.version += 1
    return customer


def change_employee(state: State, change: Json) -> Employee:
    """Set the profile's `status` of the employee with this `email`; add the employee if there is none."""
    email, status = change.get("email"), change.get("status", "active")
    if not isinstance(email, str) or set(change) - {"email", "status"} or status not in PROFILE_STATUSES:
        raise ValueError(f"email and status are needed; status is one of {', '.join(PROFILE_STATUSES)}")
    employees = state.organisation.employees
    for employee in employees:
        if employee.email == email:
            employee.status = status
            return employee
    number = max((employee.id for employee in employees), default=5000) + 1
    employees.append(Employee(number, email, f"E{number}", "New", "Employee", status))
    return employees[-1]


def change_user(state: State, change: Json) -> User:
    """Change the Kustomer user with this `id`: name, email, user_type, or `deleted` to deactivate."""
    user = state.organisation.users.get(change.get("id", ""))
    if user is None:
        raise ValueError("unknown user id")
    if set(change) - {"id", "name", "email", "user_type", "deleted"}:
        raise ValueError("known fields: id, name, email, user_type, deleted")
    values = {name: value for name, value in change.items() if name != "deleted"}
    if "deleted" in change:
        values["deleted_at"] = now_ms() if change["deleted"] else None
    user = dataclasses.replace(user, **values)
    state.organisation.users[user.id] = user
    return user


def parse_instant(text: str | None) -> int | None:
    """Read an ISO time with an offset (a `+` may have come as a space) as ms; None stays None."""
    if text is None:
        return None
    instant = datetime.fromisoformat(text.replace(" ", "+"))
    return to_ms(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
