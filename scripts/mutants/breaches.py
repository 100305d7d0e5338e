"""The breaches of the promise, and for each the test that must see it."""

from dataclasses import replace

from scripts.mutants.answers import ANSWERS
from scripts.mutants.breach import Breach
from scripts.mutants.judgements import JUDGEMENTS

# The tests that see a breach, all of them part of `make test`; naming them keeps each try to seconds.
LEDGER = "tests/include/ledger/test_release.py::"
BETWEEN = "tests/scenarios/test_between_planning_and_sending.py::"
OUTCOMES = "tests/faults/test_release_outcomes.py::"
FEEDBACK_TESTS = "tests/scenarios/feedback/test_unknown_outcomes.py::"

SENDING = "plugins/pipeline/sending.py"
SECOND_LOOK = "plugins/pipeline/second_look.py"
FEEDBACK = "plugins/pipeline/feedback.py"
RELEASING = "include/ledger/releasing.py"
RELEASE_STEPS = "include/ledger/release_steps.py"
POSTING = "plugins/pipeline/posting.py"
TRANSITION = "include/ledger/transition.py"
ELIGIBILITY = "include/interactions/eligibility.py"
RECORDS = "include/interactions/records.py"
SCHEMA = "include/ledger/schema.py"
FIRST_MIGRATION = "include/ledger/migrations/versions/ledger_0001_interactions.py"
EXTRACTION_STORE = "include/ledger/extraction.py"
RESTORING = "include/ledger/maintenance/restoring.py"
OPERATORS = "plugins/pipeline/operators.py"
RACES = "tests/faults/test_races.py::"
CLOCK = "tests/faults/test_clock.py::"
HISTORIES = "tests/model/test_every_interleaving.py::test_no_order_of_steps_breaks_the_promise"
RESTORED = "tests/include/ledger/maintenance/test_restoring.py::"


NO_SENDING = (
    (
        SENDING,
        "self.ledger.releasing.start_all(steps, SENDING_LEASE)",
        "[(step, datetime.now(UTC) + SENDING_LEASE) for step in steps]",
    ),
)
SENDING_IS_PLANNED = ((RELEASE_STEPS, "(State.SENDING, State.UNKNOWN))", "(State.SENDING, State.PLANNED))"),)
EARLY_CLAIM = ((RELEASING, "min(due_until, now)", "due_until"),)

_ONE_BY_ONE = (
    Breach(
        "posts before `sending` is committed",
        BETWEEN + "test_every_step_is_in_the_history",
        NO_SENDING,
    ),
    Breach(
        "posts before `sending` is committed, and is killed",
        RACES + "TestAKilledWorker::test_leaves_nothing_behind_that_is_sent_twice_or_forgotten",
        NO_SENDING,
    ),
    Breach(
        "starts to send after the lease has ended",
        LEDGER + "test_nothing_is_sent_after_the_lease",
        ((RELEASE_STEPS, '.where(interaction.c.lease_until > bindparam("at"))', ""),),
    ),
    Breach(
        "of two claims of one interaction both are sent",
        LEDGER + "test_of_two_claims_of_one_interaction_only_the_later_one_is_started",
        (
            (RELEASING, "(row.id, row.token): row.lease_until", "row.id: row.lease_until"),
            (
                RELEASING,
                "until.pop(key)) for step, key in keyed if key in until]",
                "until[key[0]]) for step, key in keyed if key[0] in until]",
            ),
        ),
    ),
    Breach(
        "any process may move a claimed interaction on",
        LEDGER + "test_a_stranger_writes_no_outcome",
        (
            (
                RELEASE_STEPS,
                '.in_(bindparam("held", expanding=True))',
                '.in_(bindparam("held", expanding=True)) | True',
            ),
            (RELEASE_STEPS, 'interaction.c.token == given("held")', 'given("held") != ""'),
        ),
    ),
    Breach(
        "a step writes no event",
        BETWEEN + "test_every_step_is_in_the_history",
        ((TRANSITION, "if events:", "if events and not rows:"),),
    ),
    Breach(
        "a step writes no event on PostgreSQL",
        LEDGER + "test_every_outcome_is_written_once_with_its_event",
        ((TRANSITION, "select(moved).add_cte(events)", "select(moved)"),),
        options=("-m", "postgres"),
    ),
    Breach(
        "a read timeout is retried",
        FEEDBACK_TESTS + "test_an_unknown_outcome_becomes_sent_once_stella_connect_shows_it",
        (
            (
                SENDING,
                "self._settle(claimed, State.UNKNOWN, fault.status, str(fault)[:300])",
                "self._settle(claimed, State.PLANNED, fault.status, str(fault)[:300])",
            ),
        ),
    ),
    Breach(
        "an interaction whose process died while sending is planned again",
        LEDGER + "test_a_holder_who_comes_back_after_his_lease_still_writes_the_true_outcome",
        SENDING_IS_PLANNED,
    ),
    Breach(
        "an interaction being sent when the disk was full is planned again",
        RACES + "TestAFullDisk::test_ends_the_release_and_what_it_left_behind_goes_out_once_there_is_space",
        SENDING_IS_PLANNED,
    ),
    Breach(
        "`ended` counts as closed",
        "tests/include/interactions/test_eligibility.py::TestClosing::test_ended_says_nothing_about_being_closed",
        (
            (
                ELIGIBILITY,
                'any_status or record.status == "done"',
                'any_status or record.status == "done" or getattr(record, "ended", False)',
            ),
            (
                RECORDS,
                "    merged_away: bool = False\n",
                "    merged_away: bool = False\n"
                '    ended: Harmless[bool] = Field(None, validation_alias=AliasPath("attributes", "ended"))\n',
            ),
        ),
    ),
    Breach(
        "each run plans known closings again",
        "tests/include/ledger/test_closings.py::test_a_closing_is_planned_once_however_often_it_is_recorded",
        (
            (
                SCHEMA,
                'UniqueConstraint("conversation_id", "closed_at")',
                'UniqueConstraint("conversation_id", "closed_at", "created_at")',
            ),
            (
                FIRST_MIGRATION,
                'UniqueConstraint("conversation_id", "closed_at", name',
                'UniqueConstraint("conversation_id", "closed_at", "created_at", name',
            ),
        ),
    ),
    Breach(
        "sends before the due time",
        LEDGER + "test_nothing_is_claimed_a_millisecond_early",
        EARLY_CLAIM,
    ),
    Breach(
        "sends before the due time when the trigger fires early",
        CLOCK + "test_a_release_whose_wait_ended_early_sends_nothing_and_one_resumed_twice_sends_once",
        # the claim's look at the clock and the one before the request: each alone stops it
        (*EARLY_CLAIM, (POSTING, "if now < due_at:", "if not due_at:")),
    ),
    Breach(
        "does not check the clock again after the claim",
        CLOCK + "test_set_during_a_release_and_set_right_again",
        ((POSTING, "if now < due_at:", "if not due_at:"),),
    ),
    Breach(
        "takes back claims that are still held",
        LEDGER + "test_what_is_claimed_is_not_claimed_again",
        (
            (
                RELEASE_STEPS,
                'interaction.c.lease_until <= bindparam("at")',
                'interaction.c.lease_until > bindparam("at")',
            ),
        ),
    ),
    Breach(
        "a claim ignores a later closing",
        LEDGER + "test_a_superseded_interaction_is_cancelled_by_the_claim_and_takes_no_place",
        (
            (
                RELEASE_STEPS,
                'or_(has_later_closing(), _is_recovered()).label("superseded")',
                '_is_recovered().label("superseded")',
            ),
        ),
    ),
    Breach(
        "429 counts as sent",
        OUTCOMES + "test_a_storm_of_429_keeps_it_planned_within_a_bounded_number_of_tries",
        (
            (
                SENDING,
                "            case RateLimited() | NeverSent() as fault:\n",
                "            case RateLimited():\n"
                "                self._settle(claimed, State.SENT, 429)\n"
                "            case NeverSent() as fault:\n",
            ),
        ),
    ),
    Breach(
        "a stopped process posts after its lease",
        "tests/faults/test_races.py::TestAFrozenWorker::"
        "test_between_the_commit_and_the_post_past_its_lease_does_not_send",
        ((POSTING, "if now >= posting.leave_before:", "if not posting.leave_before:"),),
    ),
    Breach(
        "a reopened conversation is surveyed",
        BETWEEN + "test_a_conversation_reopened_before_its_send_is_cancelled",
        (
            (
                SECOND_LOOK,
                "if isinstance(verdict, Veto):",
                'if isinstance(verdict, Veto) and verdict.reason != "reopened":',
            ),
            (SECOND_LOOK, 'elif verdict == "go" and isinstance', "elif isinstance"),
        ),
    ),
    Breach(
        "an unknown outcome is planned again although `on_absent` is `ask`",
        FEEDBACK_TESTS + "test_what_was_never_taken_stays_unknown_and_is_left_for_a_person",
        ((FEEDBACK, 'self._resend(late) if self.on_absent == "resend" else 0', "self._resend(late)"),),
    ),
    Breach(
        "hours that a wrong clock skipped count as read",
        RACES + "TestAClockThatWasAhead::test_costs_no_closing_of_the_hours_it_leapt_over",
        ((OPERATORS, "kustomer.asked_at or span.closed_to", "span.closed_to"),),
    ),
    Breach(
        "an older copy of the ledger plans closings that it does not hold",
        RESTORED + "test_a_closing_that_the_copy_does_not_hold_is_not_planned_either",
        ((EXTRACTION_STORE, "restoring.doubt_new(connection, self._now(), by)", "pass"),),
    ),
    Breach(
        "an older copy of the ledger looks up only what it sent itself",
        RESTORED + "test_what_was_found_absent_is_sent_and_not_doubted_again",
        ((RESTORING, "case((IS_DOUBTFUL, interaction.c.closed_at), else_=attempt)", "attempt"),),
    ),
    *JUDGEMENTS,
    *ANSWERS,
)
_OF_THE_LEDGER = {
    "starts to send after the lease has ended",
    "any process may move a claimed interaction on",
    "a step writes no event",
    "an interaction whose process died while sending is planned again",
    "sends before the due time",
    "takes back claims that are still held",
    "a claim ignores a later closing",
    "a survey that may have left does not count towards the cap",
    "an interaction that may have been taken is planned again in bulk",
}
"""These also break the promise in some history of the small world, which tries them all."""

BREACHES = (
    *_ONE_BY_ONE,
    *(
        replace(breach, name=f"{breach.name}, in every history", test=HISTORIES)
        for breach in _ONE_BY_ONE
        if breach.name in _OF_THE_LEDGER
    ),
)
