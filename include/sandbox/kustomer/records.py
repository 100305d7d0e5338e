"""Kustomer's records as JSON:API (fact sheet, section 4), with its three ways of saying "no value".

The last digit of a record's id decides whether it uses absent, null or empty, so that the same record always
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


def conversation_record(conversation: Conversation, organisation: Organisation) -> Json:
    """Write a conversation."""
    return {
        "type": "conversation",
        "id": conversation.id,
        "attributes": {
            **_FIXED,
            **_plain_attributes(conversation, organisation),
            **_special_attributes(conversation),
            **(conversation.attributes or {}),
        },
        "relationships": _relationships(conversation),
        "links": {"self": f"/v1/conversations/{conversation.id}"},
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


def _plain_attributes(conversation: Conversation, organisation: Organisation) -> Json:
    created, updated, done = iso(conversation.created_at), iso(conversation.updated_at), _done(conversation)
    closed = conversation.closed_at is not None
    return {
        "name": conversation.name,
        "preview": _preview(conversation.text_length),
        "channels": [conversation.channel],
        "status": conversation.status,
        "createdAt": created,
        "updatedAt": updated,
        "modifiedAt": updated,
        "lastActivityAt": updated,
        "lastMessageAt": created,
        "spam": conversation.spam,
        "ended": conversation.ended,
        "tags": list(conversation.tags),
        "assignedUsers": list(conversation.assigned_users),
        "firstMessageIn": _first_message(conversation, created, organisation),
        "firstDone": {name: done[name] for name in ("createdAt", "createdBy")} if closed else {},
        "lastDone": done,
        "doneCount": 1 if closed else None,
        "reopenCount": 1 if closed and conversation.status != "done" else None,
        "modificationHistory": {"statusAt": updated, "assignedUsersAt": created},
    }


def _special_attributes(conversation: Conversation) -> Json:
    """Write what only some conversations have; which way of saying "no value" hangs on the id."""
    variant, updated = int(conversation.id[-1], 16) % 3, iso(conversation.updated_at)
    attributes: Json = {}
    if conversation.status != "done":
        attributes["open"] = {"statusAt": updated}
    if conversation.ended:
        attributes |= {
            "endedAt": iso(conversation.created_at + 90_000),
            "endedReason": "left",
            "endedByType": "customer",
        }
    if conversation.custom is not None:
        attributes["custom"] = conversation.custom
    elif variant:
        attributes["custom"] = None if variant == 1 else {}
    if conversation.deleted:
        attributes |= {"deleted": True, "deletedAt": updated}
    elif variant == 1:
        attributes |= {"deleted": False, "deletedAt": None, "lockedAt": None}
    if variant == 2:
        attributes |= {"snooze": None, "importedAt": None, "locale": None, "mergedTarget": False}
    if conversation.merged_target:
        attributes["mergedTarget"] = True
    if conversation.merged_into is not None:
        attributes["mergedInto"] = conversation.merged_into
    return attributes


def _relationships(conversation: Conversation) -> Json:
    relationships: Json = {
        "messages": {"links": {"self": f"/v1/conversations/{conversation.id}/messages"}},
        "org": _ORG,
        "customer": _related("customer", conversation.customer_id, "/v1/customers"),
        "brand": _BRAND,
    }
    if conversation.closed_by is not None:
        relationships["modifiedBy"] = _related("user", conversation.closed_by, "/v1/users")
    return relationships | (conversation.relationships or {})


def _done(conversation: Conversation) -> Json:
    """Write `lastDone`: there even for a conversation that was never done, but then without `createdAt`."""
    done: Json = {
        "createdByTeams": [],
        "assignedUsers": list(conversation.closing_users) if conversation.closed_at is not None else [],
        "assignedTeams": [],
        "messageCountByChannel": {},
    }
    if conversation.closed_at is not None:
        done |= {
            "createdAt": iso(conversation.closed_at),
            "createdBy": conversation.closed_by,
            "time": conversation.closed_at - conversation.created_at,
            "businessTime": 0,
            "messageCount": 4,
            "noteCount": 0,
            "outboundMessageCount": 2,
            "lastMessageDirection": "out",
            "lastMessageDirectionType": "reply-out",
        }
    return done


def _first_message(conversation: Conversation, created: str, organisation: Organisation) -> Json:
    message: Json = {
        "id": f"{conversation.id[1:]}a",
        "sentAt": created,
        "createdAt": created,
        "channel": conversation.channel,
        "directionType": "initial-in",
    }
    customer = organisation.customers.get(conversation.customer_id)
    if conversation.channel == "email" and customer is not None and customer.emails:
        message["meta"] = {"from": customer.emails[0][0]}
    return message


def _preview(length: int) -> str:
    return _LOREM[:length] if length <= len(_LOREM) else (_LOREM * (length // len(_LOREM) + 1))[:length]


def customer_record(customer: Customer) -> Json:
    """Write a customer."""
    return {
        "type": "customer",
        "id": customer.id,
        "attributes": {
            "name": customer.name,
            "displayName": customer.display_name,
            "firstName": (customer.name or "").split(" ")[0] or None,
            "emails": [{"type": "home", "email": email, "verified": ok} for email, ok in customer.emails],
            "sharedEmails": [],
            "phones": [],
            "externalId": None,
            "externalIds": [],
            "locale": None,
            "tags": [],
            "custom": {},
            "verified": any(ok for _, ok in customer.emails),
            "conversationCounts": {"open": 0, "snoozed": 0, "done": 1, "all": 1},
            "createdAt": iso(customer.updated_at),
            "updatedAt": iso(customer.updated_at),
            "lastActivityAt": iso(customer.updated_at),
            "rev": 3,
        }
        | ({"deleted": True, "deletedAt": iso(customer.updated_at)} if customer.deleted else {})
        | (customer.attributes or {}),
        "relationships": {
            "org": _ORG,
            "messages": {"links": {"self": f"/v1/customers/{customer.id}/messages"}},
        },
        "links": {"self": f"/v1/customers/{customer.id}"},
    }


def user_record(user: User) -> Json:
    """Write a user; what is not known is absent for machines and null for people."""
    attributes: Json = {
        "name": user.name,
        "displayName": None,
        "email": user.email,
        "userType": user.user_type,
        "roles": ["org.user"],
        "roleGroups": [],
        "createdAt": iso(user.created_at),
        "updatedAt": iso(user.deleted_at or user.created_at),
    }
    if user.user_type == "user":
        attributes |= {"avatarUrl": None, "mobile": None, "deletedAt": iso_or_none(user.deleted_at)}
    return {
        "type": "user",
        "id": user.id,
        "attributes": attributes,
        "relationships": {"org": _ORG},
        "links": {"self": f"/v1/users/{user.id}"},
    }


def tag_record(tag: Tag) -> Json:
    """Write a tag."""
    return {
        "type": "tag",
        "id": tag.id,
        "attributes": {"name": tag.name, "color": "#2f7d6b", "deleted": tag.deleted},
        "relationships": {"org": _ORG},
        "links": {"self": f"/v1/tags/{tag.id}"},
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
