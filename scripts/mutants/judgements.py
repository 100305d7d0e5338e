"""Breaches of judgement: wrong answers are believed, caps, windows and samples are ignored."""

from scripts.mutants.breach import Breach

WRONG_ANSWERS = "tests/faults/test_wrong_answers.py::"
SENDING = "plugins/pipeline/sending.py"
RELEASING = "include/ledger/releasing.py"
EVIDENCE = "include/interactions/evidence.py"
DEFERRED_READING = "include/interactions/deferred_reading.py"
PLANNING_AGAIN = "include/ledger/planning_again.py"
BY_ID = "plugins/kustomer/by_id.py"
SAMPLING = "include/interactions/sampling.py"
CAPPING = "tests/include/ledger/test_capping.py::"
SURVEYED = "tests/scenarios/surveying/test_before_the_send.py::"
CAPPING_STORE = "include/ledger/capping.py"
PLANNED_AGAIN = "tests/scenarios/test_planning_again.py::"
RULE_BOOK = "tests/include/interactions/test_rule_book.py::"

CAP_DECIDED_APART = (
    (
        RELEASING,
        "        with self._engine.begin() as connection:\n"
        "            if capped := find_cap(connection, claimed.id, cap, self._now()):\n"
        "                return capped\n",
        "        with self._reader.begin() as connection:\n"
        "            if capped := find_cap(connection, claimed.id, cap, self._now()):\n"
        "                return capped\n"
        "        with self._engine.begin() as connection:\n",
    ),
)

JUDGEMENTS = (
    # Wrong answers: rules 1 to 4 of docs/decisions/0009.
    Breach(
        "Kustomer's answer that everything due is gone is believed",
        WRONG_ANSWERS + "TestKustomerFindsNothing::test_ends_nothing_and_everything_goes_out_afterwards",
        ((EVIDENCE, "not asked or others_found", "asked"),),
    ),
    Breach(
        "an empty list of employees is believed",
        WRONG_ANSWERS + "TestProfiles::test_an_empty_list_ends_nothing",
        ((EVIDENCE, 'return "lists no active employee"', "return None"),),
    ),
    Breach(
        "every refusal counts as one of its interaction",
        WRONG_ANSWERS + "TestEverythingIsRefused::test_stops_after_ten_and_everything_else_goes_out_afterwards",
        ((EVIDENCE, "return self.number <= 1", "return self.number >= 1"),),
    ),
    Breach(
        "an interaction that may have been taken is planned again in bulk",
        "tests/include/ledger/test_planning_again.py::test_what_was_sent_or_may_have_been_is_never_planned_again",
        (
            (
                PLANNING_AGAIN,
                "ENDED = (State.SKIPPED, State.CANCELLED, State.REJECTED)",
                "ENDED = (State.SKIPPED, State.CANCELLED, State.REJECTED, State.UNKNOWN)",
            ),
        ),
    ),
    Breach(
        "one unreadable conversation holds its whole batch",
        WRONG_ANSWERS
        + "TestOneUnreadableConversation::test_costs_only_itself_and_past_its_expiry_on_expired_decides",
        ((BY_ID, "return isinstance(error, Refused | OutcomeUnknown | BrokenAnswer)", "return False"),),
    ),
    Breach(
        "doubt is measured by the age of the closing",
        "tests/scenarios/test_deferred_readings.py::TestACustomerWhoCannotBeRead::"
        "test_is_settled_after_a_day_of_trying_whatever_the_age_of_the_closing",
        (
            (DEFERRED_READING, "or reading.tries < MIN_TRIES", ""),
            (DEFERRED_READING, "return now - reading.first_seen >=", "return now - reading.closed_from >="),
        ),
    ),
    Breach(
        "one blocked request stops the rest",
        WRONG_ANSWERS + "TestOneBlockedRequest::test_is_put_aside_and_the_rest_goes_out",
        (
            (
                SENDING,
                "if former is not None and former.claimed.id != suspect.claimed.id:\n"
                "            if not self._was_sent_since(former.refused_before):",
                "if suspect:\n            if suspect:",
            ),
        ),
    ),
    Breach(
        "two blocked requests stop every later run",
        WRONG_ANSWERS + "TestOneBlockedRequest::test_beside_another_one_stops_no_later_run_for_ever",
        ((SENDING, "if not self._was_sent_since(former.refused_before):", "if former:"),),
    ),
    Breach(
        "the cap is decided before the transaction that commits the send",
        CAPPING + "test_eight_processes_with_fifty_closings_of_one_customer_send_one_survey",
        CAP_DECIDED_APART,
    ),
    Breach(
        "a survey that may have left does not count towards the cap",
        CAPPING + "test_a_survey_that_left_or_may_have_left_counts",
        ((CAPPING_STORE, "state_is(State.SENT, State.SENDING, State.UNKNOWN)", "state_is(State.SENT)"),),
    ),
    Breach(
        "the send window is ignored on planning again",
        PLANNED_AGAIN + "test_it_obeys_the_send_window_although_a_person_had_released_it_outside",
        (
            (PLANNING_AGAIN, '("due_at", "customer_id",', '("customer_id",'),
            (PLANNING_AGAIN, "        any_time=None,\n", ""),
        ),
    ),
    Breach(
        "an interaction due outside the send window is sent",
        SURVEYED + "TestASendWindow::test_what_is_due_when_the_window_has_closed_is_put_off",
        ((SENDING, "self._planner().put_off_until(claimed.interaction, now)", "None"),),
    ),
    Breach(
        "a sample is drawn anew each time",
        RULE_BOOK + "test_a_sample_is_drawn_once_for_each_closing_whatever_rule_asks",
        ((SAMPLING, 'f"{purpose}\\n{conversation_id}', "f\"{__import__('secrets').token_hex()}"),),
    ),
)
