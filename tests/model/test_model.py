"""Any order of closings, reopenings, runs, crashes and faults, against a plain model of the promise:

at most one POST per interaction by itself, none early, none for a closing that no longer qualifies, none
forgotten; an unknown outcome is looked up, never repeated on a timer.

Hypothesis chooses what happens, and shortens a history that breaks the promise. `make soak` runs the long profile
and prints its figures.
"""

import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import time_machine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from tests.support.model_choices import LIES, RULES
from tests.support.model_pipeline import ModelPipeline, empty_ledgers, standing_clock
from tests.support.model_world import FAULTS

MAX_STEPS = 30
"""Of one process: where it may be interrupted."""
LONG = [pytest.mark.soak, pytest.mark.timeout(3600)]

numbers = st.integers(1, 3)
agents = st.sampled_from([(0,), (0,), (1,), (0, 1), ()])
answers = st.lists(st.sampled_from([*FAULTS, "201"]), max_size=8)
interruptions = st.one_of(
    st.none(), st.tuples(st.sampled_from(["kill", "kill", "pause", "overtake"]), st.integers(1, MAX_STEPS))
)


class Histories(RuleBasedStateMachine, ModelPipeline):
    """Hypothesis chooses among the methods of the model."""

    def __init__(self, engine: Engine, clock: time_machine.Traveller, figures: Counter[str]) -> None:
        RuleBasedStateMachine.__init__(self)
        ModelPipeline.__init__(self, engine, clock, figures)

    install = initialize(
        on_reopen=st.sampled_from(["cancel", "keep"]),
        on_recheck_failure=st.sampled_from(["hold", "send"]),
        on_expired=st.sampled_from(["count", "send", "skip"]),
        rule=st.sampled_from([None, *RULES]),
        capped=st.sampled_from([None, "skip", "count"]),
        in_window=st.booleans(),
    )(ModelPipeline.install)
    close = rule(number=numbers, assigned=agents)(ModelPipeline.close)
    reopen_or_delete = rule(number=numbers, to=st.sampled_from(["open", "open", "gone", "deleted", "mergedInto"]))(
        ModelPipeline.reopen_or_delete
    )
    reassign = rule(number=numbers, assigned=agents)(ModelPipeline.reassign)
    approve_or_unapprove = rule(agent=st.integers(0, 1), approved=st.sampled_from([True, True, False]))(
        ModelPipeline.approve_or_unapprove
    )
    plan_again = rule(interruption=interruptions)(ModelPipeline.plan_again)
    time_passes = rule(minutes=st.sampled_from([1, 5, 15, 31, 31, 60, 300]))(ModelPipeline.time_passes)
    run_extract = rule(interruption=interruptions)(ModelPipeline.run_extract)
    backfill = rule(hours=st.integers(1, 8), back=st.integers(0, 3))(ModelPipeline.backfill)
    release_windows = rule(
        interruption=interruptions,
        faults=answers,
        kustomer=st.sampled_from([0, 0, 0, 1]),
        stella=st.sampled_from([0, 0, 0, 1]),
        early=st.booleans(),
        limit=st.sampled_from([None, None, 1, 2]),
        again=st.booleans(),
    )(ModelPipeline.release_windows)
    closings_go_their_way = rule(numbers=st.tuples(numbers), interruption=interruptions, faults=answers)(
        ModelPipeline.closings_go_their_way
    )
    all_goes_its_way_while_a_vendor_lies = rule(
        lie=st.sampled_from(LIES), interruption=interruptions, planned=st.booleans()
    )(ModelPipeline.all_goes_its_way_while_a_vendor_lies)
    settle_unknown_outcomes = rule()(ModelPipeline.settle_unknown_outcomes)
    the_ledger_tells_what_happened = invariant()(ModelPipeline.the_ledger_tells_what_happened)

    def teardown(self) -> None:
        """Service comes back."""
        if sys.exc_info()[0] is None and hasattr(self, "world"):
            self.service_comes_back()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with standing_clock() as clock:
        yield clock


total: Counter[str] = Counter()
"""Of all parts of the long profile that this process has run."""


@pytest.mark.parametrize(
    "histories",
    [
        pytest.param(150, id="150", marks=pytest.mark.timeout(900)),
        *(pytest.param(2_500, id=f"part {n} of 4", marks=LONG) for n in range(1, 5)),
    ],
)
def test_any_order_of_events_keeps_the_promise(
    histories: int, clock: time_machine.Traveller, capsys: pytest.CaptureFixture[str]
) -> None:
    figures: Counter[str] = Counter(duplicates=0, early=0, forgotten=0)
    with empty_ledgers() as empty_ledger:
        run_state_machine_as_test(
            lambda: Histories(empty_ledger(), clock, figures),
            settings=settings(
                max_examples=histories,
                stateful_step_count=25,
                deadline=None,
                derandomize=False,  # where a CI is guessed from the environment, all parts would be the same
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
    total.update(figures)
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(f"{name:>40} {total[name]:>9,}" for name in sorted(total)) + "\n")
    assert figures["histories"] >= histories
    assert figures["duplicates"] == figures["early"] == figures["forgotten"] == 0
