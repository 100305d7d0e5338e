"""Kustomer's records as JSON:API (fact sheet, section 4), with its three ways of saying "no value".

Which of absent, null and empty a record uses hangs on the last digit of its id, so that the same record always
looks the same. A conversation merged into another is `done` and names the survivor in `mergedInto`: what the
vendor does with it is unknown, this is our choice.
"""

from include.sandbox.clock import iso, iso_or_none
from include.sandbox.model import BRAND, Conversation, Customer, Json, Organisation, Tag, User

_LOREM = "Dear team, I have been waiting for an answer about my order and would like to know more. "


def _related(kind: str, id_: str, path: str) -> Json:
    return {"data": {"type": kind, "id": id_}, "links": {"self": f"{path}/{id_}"}}


_ORG = _related("org", "5f0000000000000000000001", "/v1/orgs")
_BRAND = _related("brand", BRAND, "/v1/brands")
MASK = "**********"
"""How a value looks to a key without "Read Sensitive"; the vendor's real mask is unknown."""


def conversation_record(one: Conversation, organisation: Organisation) -> Json:
    """Write a conversation."""
    return {
        "type": "conversation",
        "id": one.id,
        "attributes": {
            **_FIXED,
            **_plain_attributes(one, organisation),
            **_special_attributes(one),
            **(one.attributes or {}),
        },
        "relationships": _relationships(one),
        "links": {"self": f"/v1/conversations/{one.id}"},
    }


_FIXED: Json = {
    "externalId": None,
    "messageCount": 4,
    "noteCount": 0,
    "inboundMessageCount": 2,
    "outboundMessageCount": 2,
    "satisfaction": None,
    "satisfactionLevel": {},
    "suggestedTags": [],
    "assignedTeams": [],
    "firstMessageOut": {},
    "lastMessageIn": {},
    "priority": 3,
    "direction": "in",
    "lastMessageDirection": "out",
    "snoozeCount": None,
    "rev": 12,
    "roleGroupVersions": [],
    "accessOverride": [],
    "assistant": {"fac": {}, "assistantId": []},
    "phase": "final",
}
"""What is the same in every conversation here."""


def _plain_attributes(one: Conversation, organisation: Organisation) -> Json:
    created, updated, done = iso(one.created_at), iso(one.updated_at), _done(one)
    closed = one.closed_at is not None
    return {
        "name": one.name,
        "preview": _preview(one.text_length),
        "channels": [one.channel],
        "status": one.status,
        "createdAt": created,
        "updatedAt": updated,
        "modifiedAt": updated,
        "lastActivityAt": updated,
        "lastMessageAt": created,
        "spam": one.spam,
        "ended": one.ended,
        "tags": list(one.tags),
        "assignedUsers": list(one.assigned_users),
        "firstMessageIn": _first_message(one, created, organisation),
        "firstDone": {name: done[name] for name in ("createdAt", "createdBy")} if closed else {},
        "lastDone": done,
        "doneCount": 1 if closed else None,
        "reopenCount": 1 if closed and one.status != "done" else None,
        "modificationHistory": {"statusAt": updated, "assignedUsersAt": created},
    }


def _special_attributes(one: Conversation) -> Json:
    """Write what only some conversations have; which way of saying "no value" hangs on the id."""
    variant, updated = int(one.id[-1], 16) % 3, iso(one.updated_at)
    attributes: Json = {}
    if one.status != "done":
        attributes["open"] = {"statusAt": updated}
    if one.ended:
        attributes |= {"endedAt": iso(one.created_at + 90_000), "endedReason": "left", "endedByType": "customer"}
    if one.custom is not None:
        attributes["custom"] = one.custom
    elif variant:
        attributes["custom"] = None if variant == 1 else {}
    if one.deleted:
        attributes |= {"deleted": True, "deletedAt": updated}
    elif variant == 1:
        attributes |= {"deleted": False, "deletedAt": None, "lockedAt": None}
    if variant == 2:
        attributes |= {"snooze": None, "importedAt": None, "locale": None, "mergedTarget": False}
    if one.merged_target:
        attributes["mergedTarget"] = True
    if one.merged_into is not None:
        attributes["mergedInto"] = one.merged_into
    return attributes


def _relationships(one: Conversation) -> Json:
    relationships: Json = {
        "messages": {"links": {"self": f"/v1/conversations/{one.id}/messages"}},
        "org": _ORG,
        "customer": _related("customer", one.customer_id, "/v1/customers"),
        "brand": _BRAND,
    }
    if one.closed_by is not None:
        relationships["modifiedBy"] = _related("user", one.closed_by, "/v1/users")
    return relationships | (one.relationships or {})


def _done(one: Conversation) -> Json:
    """Write `lastDone`: there even for a conversation that was never done, but then without `createdAt`."""
    done: Json = {
        "createdByTeams": [],
        "assignedUsers": list(one.closing_users) if one.closed_at is not None else [],
        "assignedTeams": [],
        "messageCountByChannel": {},
    }
    if one.closed_at is not None:
        done |= {
            "createdAt": iso(one.closed_at),
            "createdBy": one.closed_by,
            "time": one.closed_at - one.created_at,
            "businessTime": 0,
            "messageCount": 4,
            "noteCount": 0,
            "outboundMessageCount": 2,
            "lastMessageDirection": "out",
            "lastMessageDirectionType": "reply-out",
        }
    return done


def _first_message(one: Conversation, created: str, organisation: Organisation) -> Json:
    message: Json = {
        "id": f"{one.id[1:]}a",
        "sentAt": created,
        "createdAt": created,
        "channel": one.channel,
        "directionType": "initial-in",
    }
    customer = organisation.customers.get(one.customer_id)
    if one.channel == "email" and customer is not None and customer.emails:
        message["meta"] = {"from": customer.emails[0][0]}
    return message


def _preview(length: int) -> str:
    return _LOREM[:length] if length <= len(_LOREM) else (_LOREM * (length // len(_LOREM) + 1))[:length]


def customer_record(one: Customer) -> Json:
    """Write a customer."""
    return {
        "type": "customer",
        "id": one.id,
        "attributes": {
            "name": one.name,
            "displayName": one.display_name,
            "firstName": (one.name or "").split(" ")[0] or None,
            "emails": [{"type": "home", "email": email, "verified": ok} for email, ok in one.emails],
            "sharedEmails": [],
            "phones": [],
            "externalId": None,
            "externalIds": [],
            "locale": None,
            "tags": [],
            "custom": {},
            "verified": any(ok for _, ok in one.emails),
            "conversationCounts": {"open": 0, "snoozed": 0, "done": 1, "all": 1},
            "createdAt": iso(one.updated_at),
            "updatedAt": iso(one.updated_at),
            "lastActivityAt": iso(one.updated_at),
            "rev": 3,
        }
        | ({"deleted": True, "deletedAt": iso(one.updated_at)} if one.deleted else {})
        | (one.attributes or {}),
        "relationships": {
            "org": _ORG,
            "messages": {"links": {"self": f"/v1/customers/{one.id}/messages"}},
        },
        "links": {"self": f"/v1/customers/{one.id}"},
    }


def user_record(one: User) -> Json:
    """Write a user; what is not known is absent for machines and null for people."""
    attributes: Json = {
        "name": one.name,
        "displayName": None,
        "email": one.email,
        "userType": one.user_type,
        "roles": ["org.user"],
        "roleGroups": [],
        "createdAt": iso(one.created_at),
        "updatedAt": iso(one.deleted_at or one.created_at),
    }
    if one.user_type == "user":
        attributes |= {"avatarUrl": None, "mobile": None, "deletedAt": iso_or_none(one.deleted_at)}
    return {
        "type": "user",
        "id": one.id,
        "attributes": attributes,
        "relationships": {"org": _ORG},
        "links": {"self": f"/v1/users/{one.id}"},
    }


def tag_record(one: Tag) -> Json:
    """Write a tag."""
    return {
        "type": "tag",
        "id": one.id,
        "attributes": {"name": one.name, "color": "#2f7d6b", "deleted": one.deleted},
        "relationships": {"org": _ORG},
        "links": {"self": f"/v1/tags/{one.id}"},
    }


def mask(record: Json, *, emails: bool, custom: bool) -> Json:
    """Hide what a key without "Read Sensitive" does not see in a conversation or customer."""
    attributes = record["attributes"]
    if emails:
        for address in attributes.get("emails", ()):
            address["email"] = MASK
        if "meta" in attributes.get("firstMessageIn", {}):
            attributes["firstMessageIn"]["meta"] = {"from": MASK}
    if custom and attributes.get("custom"):
        attributes["custom"] = dict.fromkeys(attributes["custom"], MASK)
    return record
