"""The calls of Kustomer's API that the pipeline makes, and the roles each needs (fact sheet, section 1)."""

from __future__ import annotations

from collections.abc import Iterable

from plugins.vendor_api.hook import Call

# Any of a call's roles is enough; the last ones are those of older keys.
SEARCH = Call(
    "POST",
    "/v1/customers/search",
    (
        "org.permission.search.create",
        "org.permission.search.update",
        "org.permission.search_global.create",
        "org.permission.search_preview.create",
        "org.user.search.read",
        "org.admin.search.read",
    ),
)
CONVERSATIONS = Call(
    "GET", "/v1/conversations/{ids}", ("org.permission.conversation.read", "org.user.conversation.read")
)
CUSTOMER = Call("GET", "/v1/customers/{id}", ("org.permission.customer.read", "org.user.customer.read"))
USERS = Call("GET", "/v1/users", ("org.permission.user.read", "org.user.read"))
USERS_BY_ID = Call("GET", "/v1/users/{ids}", USERS.roles)
TAGS = Call("GET", "/v1/tags", ("org.permission.tag.read", "org.admin.tag.read"))
BRANDS = Call("GET", "/v1/brands", ("org.permission.brand.read",))
# The roles of the next two are not documented; they follow the pattern of the others.
QUEUES = Call("GET", "/v1/queues", ("org.permission.queue.read",))
TEAMS = Call("GET", "/v1/teams", ("org.permission.team.read", "org.user.team.read"))
SUB_STATUSES = Call(
    "GET", "/v1/sub-statuses", ("org.permission.sub_status.read", "org.permission.conversation.read")
)
SCHEDULES = Call("GET", "/v1/schedules", ("org.permission.schedule.read",))
SCHEDULE = Call("GET", "/v1/schedules/{id}", SCHEDULES.roles)
BULK = Call("GET", "/v1/bulk/{id}", ("org.permission.bulk.read", "org.user.bulk.read"))
UPDATE_CONVERSATION = Call(
    "PATCH",
    "/v1/conversations/{id}",
    ("org.permission.conversation.update", "org.user.conversation.write"),
)
UPDATE_CONVERSATIONS = Call("PUT", "/v1/conversations/bulk", UPDATE_CONVERSATION.roles)
ADD_TAGS = Call("POST", "/v1/conversations/{id}/tags", UPDATE_CONVERSATION.roles)
NOTES = Call("GET", "/v1/conversations/{id}/notes", ("org.permission.note.read", "org.user.note.read"))
CREATE_NOTE = Call("POST", NOTES.path, ("org.permission.note.create", "org.user.note.write"))
FIND_KOBJECT = Call(
    "GET",
    "/v1/klasses/{name}/externalId={external_id}",
    ("org.permission.kobject.read", "org.user.kobject.read"),
)
CREATE_KOBJECT = Call("POST", "/v1/klasses/{name}", ("org.permission.kobject.create", "org.user.kobject.write"))
UPDATE_KOBJECT = Call("PUT", "/v1/klasses/{name}/{id}", ("org.permission.kobject.update", "org.user.kobject.write"))
TOKEN = Call("GET", "/v1/auth/tokens/current")

LISTS = {"brand": BRANDS, "queue": QUEUES, "team": TEAMS, "sub_status": SUB_STATUSES, "tag": TAGS}
"""The lists of names, by what they name."""
FOR_NAMES = (BRANDS, QUEUES, TEAMS, SUB_STATUSES, SCHEDULES)
"""Calls that only settings with names or a schedule make."""
FOR_TARGET = {
    "conversation_attributes": (UPDATE_CONVERSATION,),
    "kobject": (FIND_KOBJECT, CREATE_KOBJECT, UPDATE_KOBJECT),
    "note": (NOTES, CREATE_NOTE),
}
"""Calls that each target of the setting `write_back` makes; `BULK` saves calls."""
FOR_WRITING = (BULK, *(call for calls in FOR_TARGET.values() for call in calls))
"""Calls that only the setting `write_back` makes."""
FOR_RECOVERY = (NOTES, CREATE_NOTE, UPDATE_CONVERSATION, TEAMS, QUEUES)
"""Calls that only the setting `recovery` makes; adding a tag needs the role of an update."""
FURTHER = {
    "Settings with names or a schedule": FOR_NAMES,
    "write_back": FOR_WRITING,
    "recovery": FOR_RECOVERY,
}
"""Calls that only some settings make, by what makes them."""
NEEDED = (SEARCH, CONVERSATIONS, CUSTOMER, USERS, TAGS)
"""The calls that need a role of the key."""


def calls_without_role(roles: Iterable[object], needed: Iterable[Call] = NEEDED) -> list[Call]:
    """Return the needed calls that a key with these roles may not make."""
    held = {role for role in roles if isinstance(role, str)}
    return [call for call in needed if not _is_covered(call, held)]


def _is_covered(call: Call, held: set[str]) -> bool:
    """Tell whether the key holds a role that `call` accepts, or a prefix of one."""
    return any(
        ".".join(parts[:length]) in held
        for parts in (role.split(".") for role in call.roles)
        for length in range(1, len(parts) + 1)
    )
