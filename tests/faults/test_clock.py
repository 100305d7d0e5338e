"""The clock is set forward or back: nothing is sent early or twice by the clock, and nothing is lost."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import select

from include.interactions.settings import Settings
from include.ledger import Ledger, utc_now
from include.ledger.releasing import ReleasingStore
from include.ledger.schema import interaction
from plugins.kustomer.hook import KustomerHook
from plugins.pipeline import release
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.sending import SENDING_LEASE
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

HOUR = timedelta(hours=1)
BACK, PAST_EVERY_LEASE, FAR_AHEAD = -3 * HOUR, LEASE + SENDING_LEASE, 3 * HOUR
STEPS = pytest.mark.parametrize("step", [BACK, PAST_EVERY_LEASE, FAR_AHEAD], ids=["back", "ahead", "far ahead"])


@pytest.fixture
def clock():
    """This machine's one clock, running on until it is set."""
    with time_machine.travel(datetime.now(UTC)) as clock:
        yield clock


@pytest.fixture
def stepped(clock):
    """A class of hook or store during, or right after, one of whose calls the clock is set, once."""

    def stepped(base, call, step):
        first = iter([True])

        class Stepped(base):
            def __getattribute__(self, name):
                found = super().__getattribute__(name)
                if name != call:
                    return found

                def called(*given, **named):
                    result = found(*given, **named)
                    if next(first, False):
                        clock.shift(step)
                    return result

                return called

        return Stepped

    return stepped


@pytest.fixture
def planned(pipeline, close, hour):
    """Three interactions, due an hour ago."""
    conversations = [close(minute=one) for one in (57, 58, 59)]
    pipeline.extract(run_of(hour))
    return conversations


@STEPS
@pytest.mark.parametrize(
    ("owner", "call"),
    [
        pytest.param(ReleasingStore, "claim", id="after the claim"),
        pytest.param(KustomerHook, "conversations", id="after the second look"),
        pytest.param(ReleasingStore, "start_all", id="before the POST"),
        pytest.param(StellaConnectHook, "send", id="after the POST"),
        pytest.param(ReleasingStore, "settle_all", id="between two interactions"),
    ],
)
def test_set_during_a_release_and_set_right_again(
    pipeline, sandbox, clock, stepped, planned, hour, monkeypatch, owner, call, step
):
    one_sender = Settings(max_senders=1)  # or one is between its last look at the clock and its POST
    releasing, kustomer, stella_connect = (
        stepped(one, call, step) if one is owner else one
        for one in (ReleasingStore, KustomerHook, StellaConnectHook)
    )
    ledger = Ledger(pipeline.engine)
    ledger.releasing = releasing(pipeline.engine, utc_now)
    with kustomer(requests_per_minute=0) as kustomer_hook, stella_connect() as stella_hook:
        task = release.Release(ledger, kustomer_hook, stella_hook, one_sender, by=by_run("run"))
        task.window(hour, hour + 2 * HOUR)
    clock.shift(-step)
    pipeline.release_due(run_of(hour))
    clock.shift(PAST_EVERY_LEASE)
    pipeline.run(run_of(hour))

    assert sorted(pipeline.sent()) == sorted(planned)
    assert pipeline.states() == dict.fromkeys(planned, "sent")
    with pipeline.engine.connect() as connection:
        due = dict(connection.execute(select(interaction.c.conversation_id, interaction.c.due_at)).all())
    for one in sandbox.state.received:  # with the same clock
        assert one.received_at >= due[one.request["ext_interaction_id"]].timestamp()


def test_a_release_whose_wait_ended_early_sends_nothing_and_one_resumed_twice_sends_once(
    pipeline, sandbox, clock, settings, close, hour
):
    """As after a trigger that fired with a stale or an empty event: the sensor's own tests are beside it."""
    settings(seconds_until_send=4 * 3600)
    conversation = close()
    pipeline.extract(run_of(hour))
    (window,) = plan_windows(run_of(hour + 3 * HOUR), DEFAULT)

    early = pipeline.release(run_of(hour), window)
    assert (early["sent"], pipeline.states()) == (0, {conversation: "planned"})
    assert sandbox.state.calls["POST /v1/requests"] == 0

    clock.move_to(datetime.fromisoformat(window["due_until"]))
    assert [pipeline.release(run_of(hour), window)["sent"] for _ in range(2)] == [1, 0]
    assert pipeline.sent() == [conversation]
