from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.interactions.addresses import survey_addresses, usable
from include.interactions.eligibility import agent_of, doubt_of, is_closing, judge, names_of
from include.interactions.reasons import Reason
from include.interactions.records import Customer
from include.interactions.settings import Settings
from tests.include.interactions.conftest import CLOSED_AT

SETTINGS = Settings()
ADDRESSES = st.sampled_from(["jane@example.com", " jane@example.org", "j***@example.com", "jane@"])
SECOND = timedelta(seconds=1)


class TestClosing:
    def test_a_done_conversation_closed_in_the_window_is_a_closing(self, conversation):
        assert is_closing(conversation(), CLOSED_AT, CLOSED_AT + SECOND)

    def test_the_end_of_the_window_belongs_to_the_next(self, conversation):
        assert not is_closing(conversation(), CLOSED_AT - SECOND, CLOSED_AT)

    @pytest.mark.parametrize(
        "attributes",
        [
            {"status": "open"},  # reopened: keeps its old lastDone
            {"status": "snoozed"},
            {"status": None},
            {"deleted": True},
            {"deletedAt": "2026-01-05T11:00:00Z"},
            {"spam": True},
            {"last_done": {"createdAt": None}},
        ],
    )
    def test_what_is_not_done_or_gone_is_no_closing(self, conversation, attributes):
        assert not is_closing(conversation(**attributes), CLOSED_AT - SECOND, CLOSED_AT + SECOND)

    def test_ended_says_nothing_about_being_closed(self, conversation):
        assert not is_closing(conversation(status="open", ended=True), CLOSED_AT, CLOSED_AT + SECOND)

    @pytest.mark.parametrize("hour", [0, 10, 23])
    def test_a_bare_date_lies_in_every_window_of_its_day(self, conversation, hour):
        closing = conversation(last_done={"createdAt": "2026-01-05"})
        start = datetime(2026, 1, 5, hour, tzinfo=UTC)

        assert is_closing(closing, start, start + 3600 * SECOND)
        assert not is_closing(closing, start + timedelta(days=1), start + timedelta(days=2))
        assert not is_closing(closing, start - timedelta(days=2), start - timedelta(days=1))


class TestDoubt:
    def doubt(self, record):
        return doubt_of(record, CLOSED_AT, CLOSED_AT + SECOND)

    @pytest.mark.parametrize("time", ["yesterday", "********", {"at": 1}, ["2026"], None])
    def test_a_closing_whose_time_is_unreadable_is_in_doubt(self, conversation, time):
        assert self.doubt(conversation(last_done={"createdAt": time})) == "closing time unreadable"
        malformed = conversation(last_done={"createdAt": time, "assignedUsers": 7})
        assert self.doubt(malformed) == "closing time unreadable"

    def test_a_closing_whose_status_is_unreadable_is_in_doubt(self, conversation):
        assert self.doubt(conversation(status=7)) == "status unreadable"
        assert self.doubt(conversation(status=None, last_done={"assignedUsers": 7})) == "status unreadable"

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"status": "open", "last_done": {"createdAt": "yesterday"}},
            {"deleted": True, "last_done": {"createdAt": "yesterday"}},
            {"spam": True, "status": None},
            {"status": None, "last_done": {"createdAt": "2026-01-04T10:00:00Z"}},
        ],
    )
    def test_what_can_be_told_is_not(self, conversation, attributes):
        assert self.doubt(conversation(**attributes)) is None


class TestAgent:
    def test_the_closer_counts_if_assigned(self, conversation, user):
        closing = conversation(last_done={"assignedUsers": ["first", "second"], "createdBy": "second"})

        assert agent_of(closing, {"first": user("first"), "second": user("second")}).id == "second"

    def test_else_the_first_assigned(self, conversation, user):
        closing = conversation(last_done={"assignedUsers": ["first", "second"], "createdBy": "somebody else"})

        assert agent_of(closing, {"first": user("first"), "second": user("second")}).id == "first"

    def test_a_closing_by_automation_counts_for_the_assigned_agent(self, conversation, user):
        assert agent_of(conversation(last_done={"createdBy": None}), {"agent": user()}).id == "agent"

    def test_reassignment_after_the_closing_changes_nothing(self, conversation, user):
        closing = conversation(assignedUsers=["late"])

        assert agent_of(closing, {"agent": user(), "late": user("late")}).id == "agent"

    @pytest.mark.parametrize("nobody", [None, []])
    def test_where_the_closing_names_nobody_the_present_assignees_count(self, conversation, user, nobody):
        closing = conversation(last_done={"assignedUsers": nobody}, assignedUsers=["agent"])

        assert agent_of(closing, {"agent": user()}).id == "agent"

    def test_machine_users_do_not_count(self, conversation, user):
        closing = conversation(last_done={"assignedUsers": ["bot", "agent"], "createdBy": "bot"})

        assert agent_of(closing, {"bot": user("bot", userType="machine"), "agent": user()}).id == "agent"

    def test_a_user_deactivated_since_counts(self, conversation, user):
        assert agent_of(conversation(), {"agent": user(deletedAt="2026-01-05T11:00:00Z")}).id == "agent"


class TestJudgement:
    def judged(self, closing, customer, *users, **settings):
        return judge(closing, customer, {user.id: user for user in users}, {"t1": "billing"}, Settings(**settings))

    def test_an_eligible_closing_is_planned_for_its_delay(self, conversation, customer, user):
        interaction = self.judged(conversation(), customer("jane@example.com"), user(), seconds_until_send=300)

        assert interaction.skip is None
        assert interaction.due_at == CLOSED_AT + timedelta(seconds=300)
        assert interaction.customer_email == "jane@example.com"
        assert interaction.agent_email == "agent@example.com"

    def test_a_merged_conversation_is_skipped(self, conversation, customer, user):
        assert self.judged(conversation(mergedInto="x"), customer("j@example.com"), user()).skip is Reason.MERGED

    def test_nobody_assigned_is_skipped(self, conversation, customer):
        closing = conversation(last_done={"assignedUsers": []}, assignedUsers=[])

        assert self.judged(closing, customer("j@example.com")).skip is Reason.NO_AGENT_ASSIGNED

    def test_an_agent_without_an_address_is_skipped(self, conversation, customer, user):
        for address in (None, "", "not an address"):
            interaction = self.judged(conversation(), customer("j@example.com"), user(email=address))
            assert interaction.skip is Reason.AGENT_WITHOUT_EMAIL

    def test_an_agent_kustomer_no_longer_knows_is_skipped_as_one_without_address(self, conversation, customer):
        assert self.judged(conversation(), customer("j@example.com")).skip is Reason.AGENT_WITHOUT_EMAIL

    def test_a_customer_without_an_address_is_skipped(self, conversation, customer, user):
        assert self.judged(conversation(), customer(), user()).skip is Reason.NO_CUSTOMER_EMAIL
        assert self.judged(conversation(), customer({"email": None}), user()).skip is Reason.NO_CUSTOMER_EMAIL

    def test_a_customer_who_cannot_be_found_is_skipped(self, conversation, user):
        assert self.judged(conversation(), None, user()).skip is Reason.NO_CUSTOMER_EMAIL

    def test_only_unusable_addresses_are_a_reason_of_their_own(self, conversation, customer, user):
        interaction = self.judged(conversation(), customer("jane@", "j***@example.com"), user())

        assert interaction.skip is Reason.INVALID_CUSTOMER_EMAIL
        assert interaction.customer_email is None

    def test_an_unreadable_record_is_skipped_with_the_name_of_the_field(self, conversation, customer, user):
        interaction = self.judged(conversation(last_done={"assignedUsers": 3}), customer("j@example.com"), user())

        assert interaction.skip is Reason.MALFORMED_RECORD
        assert "assignedUsers" in interaction.detail

    def test_the_do_not_send_attribute_is_the_configured_one(self, conversation, customer, user):
        closing = conversation(custom={"quietBool": True})

        assert not self.judged(closing, customer("j@example.com"), user()).do_not_send
        assert self.judged(
            closing, customer("j@example.com"), user(), do_not_send_attribute="quietBool"
        ).do_not_send

    @pytest.mark.parametrize(
        ("value", "do_not_send"),
        [(True, True), ("Yes", True), (False, False), (None, False), ("********", None), ("never again", True)],
    )
    def test_a_masked_opt_out_is_neither_yes_nor_no(self, conversation, customer, user, value, do_not_send):
        closing = conversation(custom={"quietBool": value})
        interaction = self.judged(closing, customer("j@example.com"), user(), do_not_send_attribute="quietBool")

        assert interaction.do_not_send is do_not_send

    @pytest.mark.parametrize("mark", [{"deleted": True}, {"deletedAt": "2026-01-05T11:00:00Z"}])
    def test_a_deleted_customer_is_skipped(self, conversation, customer, user, mark):
        interaction = self.judged(conversation(), customer("j@example.com", **mark), user())

        assert (interaction.skip, interaction.detail) == (Reason.NO_CUSTOMER_EMAIL, "customer deleted")

    def test_an_address_of_a_machine_is_skipped_unless_so_configured(self, conversation, customer, user):
        robot = customer("no-reply@example.com")

        assert self.judged(conversation(), robot, user()).skip is Reason.AUTOMATIC_ADDRESS
        assert self.judged(conversation(), robot, user(), on_automatic_address="send").skip is None

    def test_the_agents_own_address_is_skipped_unless_so_configured(self, conversation, customer, user):
        agent = user(email="ada@bücher.example")
        same = customer("Ada@xn--bcher-kva.example")

        assert self.judged(conversation(), same, agent).skip is Reason.OWN_ADDRESS
        assert self.judged(conversation(), same, agent, on_own_address="send").skip is None

    def test_another_address_of_the_customer_is_taken_instead(self, conversation, customer, user):
        found = customer("no-reply@example.com", "agent@example.com", "jane@example.com")

        assert self.judged(conversation(), found, user()).customer_email == "jane@example.com"

    def test_a_time_without_an_offset_is_utc_and_noted(self, conversation, customer, user):
        closing = conversation(last_done={"createdAt": "2026-01-05T10:15:00.250"})
        interaction = self.judged(closing, customer("j@example.com"), user(), seconds_until_send=60)

        assert interaction.due_at == CLOSED_AT + timedelta(seconds=60)
        assert "UTC assumed" in interaction.detail

    def test_a_bare_date_counts_from_the_end_of_its_day(self, conversation, customer, user):
        closing = conversation(last_done={"createdAt": "2026-01-05"})
        interaction = self.judged(closing, customer("j@example.com"), user(), seconds_until_send=60)

        assert interaction.due_at == datetime(2026, 1, 6, 0, 1, tzinfo=UTC)
        assert "bare date" in interaction.detail


def test_tags_are_named_and_unknown_ones_dropped():
    assert names_of(["t2", "t1", "gone"], {"t1": "billing", "t2": "x" * 3000}) == ("x" * 2000, "billing")


def test_at_most_twenty_tags_go_out():
    names = {f"t{n}": f"tag {n}" for n in range(30)}

    assert names_of(["gone", *names], names) == tuple(f"tag {n}" for n in range(20))


@given(
    emails=st.lists(
        st.fixed_dictionaries({"email": st.one_of(st.none(), st.text(), ADDRESSES), "verified": st.booleans()})
    )
)
def test_whatever_the_addresses_a_planned_interaction_has_a_usable_one(emails):
    customer = Customer.model_validate({"id": "c", "attributes": {"emails": emails}})
    addresses = survey_addresses(customer.emails)

    assert [usable(address) for address in addresses] == addresses
    assert len(addresses) == sum(usable(entry["email"]) is not None for entry in emails)
