"""Reading Data Return, and recognising our interactions in it."""

from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.answers import MAX_NAME_CHARACTERS
from include.interactions.survey_response import KnownClosing, interaction_of, read_survey_response

CLOSED_AT = datetime(2026, 1, 5, 10, 15, 0, 250_000, tzinfo=UTC)
SENT_AT = CLOSED_AT + timedelta(days=1)

RECORD = {
    "uuid": "u-1",
    "sequence_id": 7,
    "parent_uuid": None,
    "is_recovery": False,
    "branding": "larkspur",
    "channel": "email",
    "ext_interaction_id": "c1",
    "request_created_at": "2026-01-06T05:15:02.000-05:00",
    "request_delivery_status": "Sent",
    "request_sent_at": "2026-01-06T10:16:00+00:00",
    "requested_via": "API",
    "response_received_at": "2026-01-06T12:00:00+00:00",
    "reward_eligible": True,
    "reward_name": "Coffee voucher",
    "employee": {"email": "agent@example.com"},
    "customer": {"email": "customer@example.com", "full_name": "Customer"},
    "custom_properties": {"closed_at": CLOSED_AT.isoformat()},
    "answers": {
        "agent_star_rating": {
            "question_id": "q-1",
            "comment": "Quick!",
            "selected_options": {"star-5": {"option_id": "star-5", "option_text": "5", "integer_value": 5}},
        },
        "fcr": {"comment": None, "selected_options": {}},
    },
}


def response(**changes):
    return read_survey_response({**RECORD, **changes})


def closing(number=1, *, closed_at=CLOSED_AT, first_attempt=SENT_AT, conversation="c1"):
    return KnownClosing(number, conversation, closed_at, first_attempt, erased=False)


def test_a_whole_record_is_read():
    read = response()

    assert (read.uuid, read.sequence_id, read.conversation_id, read.closed_at) == ("u-1", 7, "c1", CLOSED_AT)
    assert read.request_created_at == datetime(2026, 1, 6, 10, 15, 2, tzinfo=UTC)
    assert read.request_sent_at == datetime(2026, 1, 6, 10, 16, tzinfo=UTC)
    assert read.response_received_at == datetime(2026, 1, 6, 12, tzinfo=UTC)
    assert (read.rating, read.comment, read.reward) == (5, "Quick!", "Coffee voucher")
    assert (read.delivery_status, read.channel, read.brand) == ("Sent", "email", "larkspur")


def test_neither_customer_nor_agent_nor_comment_shows_when_a_record_is_printed():
    printed = repr(response())

    assert not any(word in printed for word in ("customer@", "agent@", "Quick!"))


def test_a_record_of_nothing_but_nulls_and_its_identity_is_read():
    read = read_survey_response(dict.fromkeys(RECORD) | {"uuid": "u-1", "sequence_id": 7})

    assert read is not None
    assert read.model_dump(exclude={"uuid", "sequence_id"}, exclude_none=True) == {"answers": ()}


def test_unknown_fields_are_passed_over():
    assert response(surprise={"a": [1]}) == response()


def test_dispute_recovery_survey_and_team_leader_are_read():
    read = response(
        disputed=True,
        is_recovery=True,
        parent_uuid="u-0",
        language="en",
        survey_name="After contact",
        team_leader={"custom_id": None, "full_name": "Ines Halloran"},
    )

    assert (read.disputed, read.is_recovery, read.parent_uuid) == (True, True, "u-0")
    assert (read.language, read.survey_name, read.team_leader) == ("en", "After contact", "Ines Halloran")
    assert "Halloran" not in repr(read)


@pytest.mark.parametrize("name", ["disputed", "language", "survey_name", "team_leader", "answers"])
@pytest.mark.parametrize(
    "strange", [[], {}, "?", -1, [None], {"full_name": 7}, {"nps": [[]]}, {"fcr": 1}], ids=repr
)
def test_no_strange_value_of_the_further_fields_makes_a_record_unreadable(name, strange):
    assert response(**{name: strange}) is not None


def test_long_texts_are_cut():
    read = response(survey_name="n" * 999, request_delivery_status="s" * 999)

    assert (len(read.survey_name), len(read.delivery_status)) == (MAX_NAME_CHARACTERS, MAX_NAME_CHARACTERS)


@pytest.mark.parametrize(
    "broken", [{"uuid": None}, {"uuid": ""}, {"sequence_id": None}, {"sequence_id": "x"}, {"sequence_id": 2**63}]
)
def test_a_record_without_its_identity_cannot_be_used(broken):
    assert response(**broken) is None


@pytest.mark.parametrize("name", [name for name in RECORD if name not in ("uuid", "sequence_id")])
@pytest.mark.parametrize("strange", [[], {}, "?", -1, [None], True], ids=repr)
def test_no_strange_value_makes_a_record_unreadable(name, strange):
    assert response(**{name: strange}) is not None


def test_arrays_are_read_where_the_spec_draws_objects():
    stars = {"comment": "Fine", "selected_options": [{"integer_value": None}, {"integer_value": 3}]}
    read = response(answers=[{"agent_star_rating": [stars]}], custom_properties=[RECORD["custom_properties"]])

    assert (read.rating, read.comment, read.closed_at) == (3, "Fine", CLOSED_AT)


def test_a_question_without_an_answer_gives_no_rating():
    read = response(answers={"agent_star_rating": {"comment": None, "selected_options": {}}})

    assert (read.rating, read.comment) == (None, None)


def test_the_comment_may_stand_at_another_question():
    assert response(answers={"areas_of_improvement": {"comment": "Faster"}}).comment == "Faster"


def test_the_reward_may_stand_among_the_answers():
    answers = {"rewards": {"selected_options": {"r": {"option_text": "Book token"}}}}

    assert response(answers=answers, reward_name=None).reward == "Book token"


def test_closings_of_one_conversation_are_told_apart_by_what_we_sent_along():
    closings = [closing(1, closed_at=CLOSED_AT - timedelta(days=3)), closing(2)]

    assert interaction_of(response(), closings) == closings[1]


def test_a_closing_that_we_do_not_know_is_not_ours():
    assert interaction_of(response(), [closing(closed_at=CLOSED_AT + timedelta(seconds=1))]) is None


def test_another_conversation_is_not_ours():
    assert interaction_of(response(), [closing(conversation="c2")]) is None


@pytest.mark.parametrize(
    "change", [{"requested_via": "manual"}, {"requested_via": " Manual"}, {"is_recovery": True}]
)
def test_what_an_agent_sent_by_hand_is_not_ours(change):
    assert interaction_of(response(**change), [closing()]) is None


def test_our_own_property_tells_enough_when_the_origin_is_missing():
    assert interaction_of(response(requested_via=None), [closing()]) is not None


class TestWithoutOurProperty:
    @pytest.mark.parametrize("early", [timedelta(), timedelta(minutes=4)])
    def test_what_was_created_after_our_attempt_is_ours(self, early):
        created = (SENT_AT - early).isoformat()

        assert interaction_of(response(custom_properties=None, request_created_at=created), [closing()])

    @pytest.mark.parametrize("created", [(SENT_AT - timedelta(minutes=6)).isoformat(), None])
    def test_what_was_created_before_or_nobody_knows_when_is_not(self, created):
        read = response(custom_properties=None, request_created_at=created)

        assert interaction_of(read, [closing()]) is None

    def test_of_two_closings_it_is_the_one_tried_last_before(self):
        closings = [
            closing(1, first_attempt=SENT_AT - timedelta(days=3)),
            closing(2),
            closing(3, first_attempt=SENT_AT + timedelta(days=1)),
            closing(4, first_attempt=None),
        ]

        assert interaction_of(response(custom_properties={}), closings) == closings[1]

    def test_the_origin_must_be_the_api(self):
        assert interaction_of(response(custom_properties={}, requested_via=None), [closing()]) is None
