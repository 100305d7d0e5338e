"""What happens to conversations beside the plain case: each function turns a plain one into a special one.

The function's name says what it is; it sets `expected` by the rules of eligibility, not by looking at records.
"""

from collections.abc import Callable

from include.sandbox import names
from include.sandbox.generator import Generator
from include.sandbox.model import DO_NOT_SEND, Conversation, Customer

Situation = Callable[[Generator, Conversation], None]

MASKED = ("**********", "j****@example.com")
"""An address read by a key without the right to sensitive attributes; the real look of a mask is unknown."""


def _give(conversation: Conversation, customer: Customer, expected_address: str | None) -> None:
    conversation.customer_id = customer.id
    conversation.expected_customer = expected_address


def _skip(conversation: Conversation, reason: str) -> None:
    conversation.expected = reason
    conversation.expected_employee = conversation.expected_customer = None


# Still to be sent.


def _address(make: Generator, word: str) -> str:
    return f"{word}{len(make.organisation.customers) + 1}@example.com"


def several_addresses_second_verified(make: Generator, conversation: Conversation) -> None:
    """The first verified address wins over an earlier unverified one."""
    good = _address(make, "verified")
    customer = make.customer(((_address(make, "unverified"), False), (good, True), (_address(make, "later"), True)))
    _give(conversation, customer, good)


def verified_address_is_masked(make: Generator, conversation: Conversation) -> None:
    """The usable unverified address counts, not the masked or malformed one."""
    good = _address(make, "readable")
    _give(conversation, make.customer(((MASKED[1], True), ("not-an-address", False), (good, False))), good)


def only_unverified_addresses(make: Generator, conversation: Conversation) -> None:
    """Without a verified address the first usable one serves."""
    first = _address(make, "first")
    _give(conversation, make.customer(((first, False), (_address(make, "second"), False))), first)


def customer_with_display_name_only(make: Generator, conversation: Conversation) -> None:
    """No `name`, but a `displayName`."""
    customer = make.customer(name=None, display_name="Parcel friend")
    _give(conversation, customer, customer.emails[0][0])


def customer_without_any_name(make: Generator, conversation: Conversation) -> None:
    """Neither `name` nor `displayName`."""
    customer = make.customer(name=None, display_name=None)
    _give(conversation, customer, customer.emails[0][0])


def html_in_the_names(make: Generator, conversation: Conversation) -> None:
    """Markup in the customer's name and in the subject."""
    customer = make.customer(name=names.HTML_NAME)
    _give(conversation, customer, customer.emails[0][0])
    conversation.name = "<img src=x onerror=alert(1)>"


def very_long_text(_make: Generator, conversation: Conversation) -> None:
    """Twenty thousand characters of preview."""
    conversation.text_length = 20_000


def an_unknown_tag(make: Generator, conversation: Conversation) -> None:
    """A tag id that the list of tags does not hold."""
    conversation.tags = (make.new_id(), *conversation.tags)


def more_than_twenty_tags(make: Generator, conversation: Conversation) -> None:
    """More tags than Stella Connect takes."""
    conversation.tags = make.tag_ids[:26]


def do_not_send(_make: Generator, conversation: Conversation) -> None:
    """The opt-out attribute is true: sent, but marked so that no survey goes out."""
    conversation.custom = {**(conversation.custom or {}), DO_NOT_SEND: True}
    conversation.expected_do_not_send = True


def opt_out_attribute_is_false(_make: Generator, conversation: Conversation) -> None:
    """The opt-out attribute is there, but false."""
    conversation.custom = {DO_NOT_SEND: False}


def closed_by_automation(_make: Generator, conversation: Conversation) -> None:
    """A close by a business rule has no `createdBy`."""
    conversation.closed_by = None


def closed_by_a_bot(make: Generator, conversation: Conversation) -> None:
    """A machine user closed it; a person was assigned."""
    conversation.closed_by = make.bots[0].id


def several_assigned_closer_among_them(make: Generator, conversation: Conversation) -> None:
    """Of several assigned, the one who closed it counts, here the second."""
    other = make.agent()
    conversation.closing_users = (
        other.user.id,
        *[user_id for user_id in conversation.closing_users if user_id != other.user.id],
    )
    conversation.assigned_users = conversation.closing_users


def several_assigned_closer_elsewhere(make: Generator, conversation: Conversation) -> None:
    """If another user closed it, the first of several assigned users counts."""
    first, second, closer = make.agent(), make.agent("another spelling"), make.agent("pending review")
    make.assign(conversation, first)
    conversation.closing_users = conversation.assigned_users = (first.user.id, second.user.id)
    conversation.closed_by = closer.user.id


def a_bot_and_a_person_assigned(make: Generator, conversation: Conversation) -> None:
    """Machine users do not count, even as the closer."""
    conversation.closing_users = conversation.assigned_users = (make.bots[1].id, *conversation.closing_users)
    conversation.closed_by = make.bots[1].id


def closing_without_assignees(_make: Generator, conversation: Conversation) -> None:
    """`lastDone.assignedUsers` is empty, so `assignedUsers` decides."""
    conversation.closing_users = ()


def unassigned_after_the_closing(_make: Generator, conversation: Conversation) -> None:
    """The agent assigned at the closing counts, although no agent is assigned now."""
    conversation.assigned_users = ()


def reassigned_after_the_closing(make: Generator, conversation: Conversation) -> None:
    """The same, though somebody without an approved profile is assigned now."""
    conversation.assigned_users = (make.agent("unapproved").user.id,)


def addresses_spelled_differently(make: Generator, conversation: Conversation) -> None:
    """The agent's address differs in case and blanks between both vendors."""
    make.assign(conversation, make.agent("another spelling"))


def agent_deactivated_since(make: Generator, conversation: Conversation) -> None:
    """The agent's Kustomer account was switched off after the closing."""
    make.assign(conversation, make.agent("deactivated in Kustomer"))


def ended_and_done(_make: Generator, conversation: Conversation) -> None:
    """`ended` beside `done` changes nothing."""
    conversation.ended = True


def survivor_of_a_merge(_make: Generator, conversation: Conversation) -> None:
    """Another conversation was merged into this one."""
    conversation.merged_target = True


# To be skipped with a reason.


def merged_away(make: Generator, conversation: Conversation) -> None:
    """Merged into another conversation."""
    survivors = [survivor for survivor in make.organisation.conversations.values() if survivor.merged_target]
    conversation.merged_into = survivors[-1].id if survivors else make.new_id()
    _skip(conversation, "merged")


def no_agent_assigned(_make: Generator, conversation: Conversation) -> None:
    """No user at the closing, none now."""
    conversation.closing_users = conversation.assigned_users = ()
    conversation.closed_by = None
    _skip(conversation, "no_agent_assigned")


def only_a_bot_assigned(make: Generator, conversation: Conversation) -> None:
    """Just a machine user, which does not count."""
    conversation.closing_users = conversation.assigned_users = (make.bots[0].id,)
    conversation.closed_by = make.bots[0].id
    _skip(conversation, "no_agent_assigned")


def agent_without_email(make: Generator, conversation: Conversation) -> None:
    """The agent's Kustomer account has no address."""
    make.assign(conversation, make.agent("without e-mail"))
    _skip(conversation, "agent_without_email")


def customer_without_address(make: Generator, conversation: Conversation) -> None:
    """A customer of chat or social channels."""
    conversation.customer_id = make.customer(()).id
    _skip(conversation, "no_customer_email")


def malformed_address(make: Generator, conversation: Conversation) -> None:
    """The only address cannot be one."""
    bad = ("not-an-address", "two@@example.com", "spaces in@example.com", "nobody@", "@example.com")
    conversation.customer_id = make.customer(((make.random.choice(bad), True),)).id
    _skip(conversation, "invalid_customer_email")


def masked_address(make: Generator, conversation: Conversation) -> None:
    """The only address is a mask."""
    conversation.customer_id = make.customer(((make.random.choice(MASKED), True),)).id
    _skip(conversation, "invalid_customer_email")


def profile_pending_review(make: Generator, conversation: Conversation) -> None:
    """Signed in, waiting for approval."""
    _not_approved(make, conversation, "pending review")


def profile_confirmed(make: Generator, conversation: Conversation) -> None:
    """Signed in, profile not completed."""
    _not_approved(make, conversation, "confirmed")


def profile_unapproved(make: Generator, conversation: Conversation) -> None:
    """Never signed in, data missing."""
    _not_approved(make, conversation, "unapproved")


def profile_created(make: Generator, conversation: Conversation) -> None:
    """Never signed in."""
    _not_approved(make, conversation, "created")


def profile_deactivated(make: Generator, conversation: Conversation) -> None:
    """Switched off in Stella Connect."""
    _not_approved(make, conversation, "deactivated")


def agent_unknown_to_stella_connect(make: Generator, conversation: Conversation) -> None:
    """No such employee."""
    _not_approved(make, conversation, "unknown to Stella Connect")


def _not_approved(make: Generator, conversation: Conversation, kind: str) -> None:
    make.assign(conversation, make.agent(kind))
    _skip(conversation, "agent_profile_not_approved")


# Not a closing at all.


def spam(_make: Generator, conversation: Conversation) -> None:
    """Done, but spam."""
    conversation.spam = True
    _skip(conversation, "not_a_closing")


def deleted(_make: Generator, conversation: Conversation) -> None:
    """Done, then deleted: gone from search and look-up."""
    conversation.deleted = True
    _skip(conversation, "not_a_closing")


def deleted_but_still_in_the_index(_make: Generator, conversation: Conversation) -> None:
    """Deleted, but the search still shows it with `deleted: true`."""
    conversation.deleted = conversation.lingers = True
    _skip(conversation, "not_a_closing")


def open_again(_make: Generator, conversation: Conversation) -> None:
    """The customer wrote again; `lastDone` keeps the old closing."""
    conversation.status = "open"
    conversation.updated_at += 120_000
    _skip(conversation, "not_a_closing")


def snoozed_after_a_closing(_make: Generator, conversation: Conversation) -> None:
    """Snoozed; `lastDone` keeps the old closing."""
    conversation.status = "snoozed"
    _skip(conversation, "not_a_closing")


def ended_but_open(_make: Generator, conversation: Conversation) -> None:
    """The chat was ended but not set to done: `ended` is not `done`."""
    conversation.status, conversation.ended = "open", True
    conversation.closed_at = conversation.closed_by = None
    _skip(conversation, "not_a_closing")


def never_closed(_make: Generator, conversation: Conversation) -> None:
    """Open; `lastDone` is an object without `createdAt`."""
    conversation.status = "open"
    conversation.closed_at = conversation.closed_by = None
    _skip(conversation, "not_a_closing")


SITUATIONS: tuple[Situation, ...] = (
    several_addresses_second_verified,
    merged_away,
    do_not_send,
    no_agent_assigned,
    open_again,
    customer_without_address,
    addresses_spelled_differently,
    profile_pending_review,
    malformed_address,
    closed_by_automation,
    deleted,
    agent_without_email,
    html_in_the_names,
    profile_unapproved,
    ended_but_open,
    several_assigned_closer_among_them,
    several_assigned_closer_elsewhere,
    spam,
    only_a_bot_assigned,
    an_unknown_tag,
    masked_address,
    agent_deactivated_since,
    agent_unknown_to_stella_connect,
    reassigned_after_the_closing,
    never_closed,
    customer_without_any_name,
    profile_deactivated,
    unassigned_after_the_closing,
    more_than_twenty_tags,
    closing_without_assignees,
    deleted_but_still_in_the_index,
    only_unverified_addresses,
    profile_confirmed,
    a_bot_and_a_person_assigned,
    survivor_of_a_merge,
    verified_address_is_masked,
    snoozed_after_a_closing,
    customer_with_display_name_only,
    profile_created,
    closed_by_a_bot,
    very_long_text,
    opt_out_attribute_is_false,
    ended_and_done,
)
"""Taken in this order, so that 220 conversations hold each of them once."""
