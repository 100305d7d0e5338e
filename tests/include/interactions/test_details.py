import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.interactions.details import (
    ConversationDetails,
    CustomerDetails,
    read_conversation_details,
    read_customer_details,
)


def details(relationships=None, **attributes):
    return read_conversation_details({"id": "c1", "attributes": attributes, "relationships": relationships or {}})


def related(**ids):
    return {name: {"data": {"type": name, "id": identity}} for name, identity in ids.items()}


def test_related_records_are_known_by_id():
    read = details(related(brand="b1", queue="q1", subStatus="s1"), priority=3, assignedTeams=["t1", "t2"])

    assert read.values == {
        "brand": ("b1",),
        "queue": ("q1",),
        "sub_status": ("s1",),
        "priority": ("3",),
        "team": ("t1", "t2"),
    }


def test_the_teams_at_the_closing_count_before_the_present_ones():
    assert details(assignedTeams=["now"], lastDone={"assignedTeams": ["then"]}).values == {"team": ("then",)}
    assert details(assignedTeams=["now"], lastDone={"assignedTeams": []}).values == {"team": ("now",)}


def test_first_and_last_message_are_told_by_time_whatever_their_direction():
    read = details(
        channels=["chat", "email"],
        firstMessageIn={
            "channel": "email",
            "sentAt": "2026-01-01T10:00:00.000Z",
            "meta": {"from": "jane@example.com"},
        },
        firstMessageOut={"channel": "sms", "createdAt": "2026-01-01T09:00:00.000Z"},
        lastMessageIn={"channel": "whatsapp", "sentAt": "2026-01-02T10:00:00.000Z"},
        lastMessageOut={},
    )

    assert (read.first_channel, read.last_channel, read.channels) == ("sms", "whatsapp", ("chat", "email"))
    assert read.written_from == "jane@example.com"


def test_a_language_stands_in_either_attribute():
    assert details(defaultLang="fr_ca", locale="CA").languages == ("fr_ca", "CA")
    assert read_customer_details({"attributes": {"locale": "en_GB"}}).languages == ("en_GB",)


def test_a_customer_has_tags_attributes_and_a_time_zone():
    attributes = {"tags": ["t1", 3], "custom": {"planStr": "free"}, "timeZone": "Asia/Tokyo"}

    assert read_customer_details({"attributes": attributes}) == CustomerDetails(
        tags=("t1",), custom={"planStr": "free"}, time_zone="Asia/Tokyo"
    )


@pytest.mark.parametrize("record", [{}, {"attributes": None, "relationships": []}, {"attributes": {}}])
def test_nothing_is_no_details(record):
    assert read_conversation_details(record) == ConversationDetails()
    assert read_customer_details(record) == CustomerDetails()


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["data", "id", "from", "sentAt", "channel", "meta", "assignedTeams"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
names = ["brand", "queue", "subStatus", "priority", "assignedTeams", "lastDone", "channels", "firstMessageIn"]
names += [
    "firstMessageOut",
    "lastMessageIn",
    "lastMessageOut",
    "direction",
    "messageCount",
    "defaultLang",
    "locale",
]
names += ["tags", "custom", "timeZone"]
parts = st.dictionaries(st.sampled_from(names), nonsense)


@given(parts, parts)
def test_no_record_however_broken_stops_the_reading(attributes, relationships):
    record = {"attributes": attributes, "relationships": relationships}

    read = read_conversation_details(record)
    assert all(isinstance(text, str) for texts in read.values.values() for text in texts)
    assert all(isinstance(text, str) for text in read_customer_details(record).tags)
