"""Breaches about customers' answers: written twice, acted on twice, or written after an erasure."""

from scripts.mutants.breach import Breach

WRITER = "plugins/pipeline/answer_writer.py"
WRITING_STORE = "include/ledger/writing.py"
ERASURE = "include/ledger/erasure.py"
RECOVERING = "plugins/pipeline/recovering.py"
RECOVERING_STORE = "include/ledger/recovering.py"
RELEASE_STEPS = "include/ledger/release_steps.py"
WRITTEN_BACK = "tests/scenarios/test_writing_back.py::"
WRITES = "tests/include/ledger/test_writing.py::"
RECOVERIES = "tests/include/ledger/test_recovering.py::"
RECOVERED = "tests/scenarios/test_recovery.py::"

NO_LOOK = (WRITER, "(note_id := self._find_note(job))", "(note_id := None)")

ANSWERS = (
    Breach(
        "a note is written without looking first",
        WRITTEN_BACK + "test_a_note_that_shows_late_is_not_written_twice",
        (NO_LOOK,),
    ),
    Breach(
        "a note of unknown outcome is written again",
        WRITTEN_BACK + "test_a_note_that_shows_late_is_not_written_twice",
        (
            NO_LOOK,
            (WRITER, "elif write.doubtful_since is not None:", "elif not write.answer.uuid:"),
            (WRITING_STORE, "(*_is_held(write), answer_write.c.doubtful_since.is_(None))", "_is_held(write)"),
        ),
    ),
    Breach(
        "two writers write the same answer",
        WRITES + "test_of_two_writers_one_begins",
        ((WRITING_STORE, "(*_is_same(write), answer_write.c.tries == write.tries, ", "(*_is_same(write), "),),
    ),
    Breach(
        "an unchanged answer is written again",
        WRITTEN_BACK + "test_a_change_that_is_not_written_makes_no_call",
        ((WRITER, "elif content_hash(content) == write.content_hash:", "elif not content:"),),
    ),
    Breach(
        "the answer of an erased customer is still written",
        WRITES + "test_an_erased_customer_leaves_no_row_and_no_write_may_begin",
        (
            (ERASURE, "    drop_writes(connection, ids)\n", ""),
            (
                WRITING_STORE,
                ", answer_write.c.tries == write.tries, _NOT_ERASED)",
                ", answer_write.c.tries == write.tries)",
            ),
        ),
    ),
    Breach(
        "two processes act on the same answer",
        RECOVERIES + "test_only_one_process_takes_a_step",
        ((RECOVERING_STORE, "_is_same(step), _is_free(now), _IS_ERASED", "_is_same(step), _IS_ERASED"),),
    ),
    Breach(
        "what was read before an erasure is acted on",
        RECOVERIES + "test_nothing_is_done_with_what_was_read_before_the_customer_was_erased",
        ((RECOVERING_STORE, ", _IS_ERASED if step.erased else ~_IS_ERASED)", ")"),),
    ),
    Breach(
        "an action that waits is taken for an erased customer",
        RECOVERED + "test_an_action_that_waits_is_not_taken_for_an_erased_customer",
        ((RECOVERING, "        if step.erased:\n", "        if step.erased is None:\n"),),
    ),
    Breach(
        "a merged conversation gets a note",
        RECOVERED + "test_of_a_conversation_that_is_gone_only_the_message_tells",
        ((RECOVERING, " or conversation.merged_away", ""),),
    ),
    Breach(
        "a dead process's action is taken again without looking",
        "tests/faults/test_recovery_kills.py::test_a_conversation_closed_again_before_the_look_is_not_reopened_twice",
        ((RECOVERING, "(self._look(step) if step.tries else None)", "None"),),
    ),
    Breach(
        "two recoveries are sent for one answer",
        RECOVERIES + "test_of_two_marked_closings_only_one_is_ever_sent",
        ((RELEASE_STEPS, "or_(has_later_closing(), _is_recovered())", "has_later_closing()"),),
    ),
)
