from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from include.sandbox import generate
from include.sandbox.clock import iso, to_ms
from include.sandbox.model import PROFILE_STATUSES, Organisation
from include.sandbox.situations import SITUATIONS

FROM = datetime(2026, 1, 5, 10, tzinfo=UTC)
TO = FROM + timedelta(hours=1)


def test_the_same_seed_gives_the_same_organisation() -> None:
    assert generate(7, 150, 12, FROM, TO) == generate(7, 150, 12, FROM, TO)
    assert generate(7, 150, 12, FROM, TO) != generate(8, 150, 12, FROM, TO)


def test_four_in_five_conversations_are_plain_and_every_situation_occurs() -> None:
    organisation = generate(7, 5 * len(SITUATIONS), 12, FROM, TO)
    situations = Counter(one.situation for one in organisation.conversations.values())
    assert situations.pop("plain") == 4 * len(SITUATIONS)
    assert situations == Counter({one.__name__.replace("_", " "): 1 for one in SITUATIONS})


def test_every_reason_for_not_sending_occurs(organisation: Organisation) -> None:
    assert {one.expected for one in organisation.conversations.values()} == {
        "sent",
        "not_a_closing",
        "merged",
        "no_agent_assigned",
        "agent_without_email",
        "no_customer_email",
        "invalid_customer_email",
        "agent_profile_not_approved",
    }


def test_what_is_to_be_sent_goes_to_an_active_employee_in_stella_connects_spelling(
    organisation: Organisation,
) -> None:
    active = {one.email for one in organisation.employees if one.status == "active"}
    sent = [one for one in organisation.conversations.values() if one.expected == "sent"]
    assert {one.expected_employee for one in sent} <= active
    assert all(one.expected_customer and "*" not in one.expected_customer for one in sent)
    assert any(one.expected_do_not_send for one in sent)
    assert {one.expected_employee for one in sent} - {one.email for one in organisation.users.values()}


def test_what_is_not_to_be_sent_has_no_recipient(organisation: Organisation) -> None:
    others = [one for one in organisation.conversations.values() if one.expected != "sent"]
    assert {(one.expected_employee, one.expected_customer, one.expected_do_not_send) for one in others} == {
        (None, None, False)
    }


def test_closings_fill_the_window_with_both_edges_and_some_ties() -> None:
    organisation = generate(7, 1000, 12, FROM, TO)
    closings = [one.closed_at for one in organisation.conversations.values() if one.closed_at is not None]
    assert min(closings) == to_ms(FROM)
    assert max(closings) == to_ms(TO) - 1
    assert max(Counter(closings).values()) == 10


def test_agents_have_every_profile_status_and_most_are_active() -> None:
    organisation = generate(7, 0, 24, FROM, TO)
    statuses = Counter(one.status for one in organisation.employees)
    assert set(statuses) == set(PROFILE_STATUSES)
    assert statuses["active"] > sum(statuses.values()) / 2
    users = list(organisation.users.values())
    employees = {one.email.casefold() for one in organisation.employees}
    people = [one for one in users if one.user_type == "user"]
    assert any(one.email is None for one in people)
    assert any(one.email and one.email.strip().casefold() not in employees for one in people)
    assert any(one.email and one.email != one.email.strip() for one in people)
    assert any(one.deleted_at for one in people)
    assert len(people) < len(users)


def test_one_agent_is_enough() -> None:
    assert len(generate(1, 300, 1, FROM, TO).conversations) == 300


def test_a_large_organisation_has_distinct_ids_and_addresses() -> None:
    organisation = generate(7, 20_000, 40, FROM, TO + timedelta(days=1))
    assert len(organisation.conversations) == 20_000
    good = [one.emails[0][0] for one in organisation.customers.values() if one.emails and one.emails[0][1]]
    usable = [address for address in good if address[0].isalpha() and address.endswith("@example.com")]
    assert Counter(usable).most_common(1)[0][0].startswith(("j****", "spaces"))


def test_every_address_is_reserved_for_examples(organisation: Organisation) -> None:
    addresses = [one.email for one in organisation.users.values() if one.email]
    addresses += [one.email for one in organisation.employees]
    addresses += [email for one in organisation.customers.values() for email, _ in one.emails if "@" in email]
    domains = {address.strip().lower().rpartition("@")[2] for address in addresses}
    assert domains <= {"example.com", "example.org", "bots.example.org", ""}


@pytest.mark.parametrize(
    ("conversations", "agents", "closed_to"),
    [(-1, 1, TO), (1, 0, TO), (1, 1, FROM), (1, 1, TO.replace(tzinfo=None))],
)
def test_nonsense_is_refused(conversations: int, agents: int, closed_to: datetime) -> None:
    with pytest.raises(ValueError, match=r"needed|later"):
        generate(1, conversations, agents, FROM, closed_to)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert iso(to_ms(datetime(2026, 1, 5, 11, 2, 3, 4000, tzinfo=UTC))) == "2026-01-05T11:02:03.004Z"
