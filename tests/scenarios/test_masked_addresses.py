"""A key without "Read Sensitive": Kustomer shows that customers have addresses, and none of them."""

import pytest
from airflow.sdk.exceptions import AirflowException
from structlog.testing import capture_logs

from include.sandbox.changes import change_customer
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.masking import MIN_MASKED
from plugins.runtime.organisations import DEFAULT
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import LAST_TRY, run_of


@pytest.fixture
def size():
    return 100


@pytest.fixture
def mask(sandbox):
    """A function that gives the key the right to see addresses, or takes it away."""

    def set_masking(*, masked: bool) -> None:
        sandbox.state.options.mask_emails = masked

    return set_masking


@pytest.mark.parametrize("origin", ["scheduled", "backfill"])
def test_end_nothing_fail_the_run_and_are_an_alarm_at_once(pipeline, mask, hour, origin):
    mask(masked=True)

    for try_number in (1, LAST_TRY):
        with capture_logs(), pytest.raises(AirflowException, match=r"masks all e-mail addresses.*Read Sensitive"):
            pipeline.extract(run_of(hour, origin=origin, try_number=try_number))
    assert pipeline.states() == {}
    assert raise_alarms(run_of(hour), DEFAULT)["alarms"] == ["masked_addresses"]

    mask(masked=False)
    result = pipeline.extract(run_of(hour + HOUR) if origin == "scheduled" else run_of(hour, origin=origin))
    assert result["planned"] > 50
    assert "masked_addresses" not in raise_alarms(run_of(hour), DEFAULT)["alarms"]


def test_do_not_stop_what_is_planned(pipeline, mask, close, hour):
    conversation = close()
    planned = pipeline.extract(run_of(hour))["planned"]
    mask(masked=True)
    close(minute=70)
    for _ in range(MIN_MASKED):
        close(minute=70)
    with pytest.raises(AirflowException):
        pipeline.extract(run_of(hour + HOUR))

    pipeline.release_due(run_of(hour + HOUR))

    assert conversation in pipeline.sent()
    assert len(pipeline.sent()) >= planned - 10  # agents without a profile are skipped


class TestAFew:
    @pytest.fixture
    def size(self):
        return 0

    def test_among_others_are_a_matter_of_those_customers(self, pipeline, sandbox, close, hour):
        ordinary, *masked = [close(minute=minute) for minute in range(MIN_MASKED + 2)]
        for conversation in masked:
            customer = sandbox.state.organisation.conversations[conversation].customer_id
            change_customer(sandbox.state, {"id": customer, "emails": [["j***@e***.com", True]]})

        pipeline.extract(run_of(hour))

        assert pipeline.states() == {ordinary: "planned"} | dict.fromkeys(masked, "skipped invalid_customer_email")

    def test_alone_are_too_few_to_judge_the_key_by(self, pipeline, mask, close, hour):
        mask(masked=True)
        conversation = close()

        pipeline.extract(run_of(hour))

        assert pipeline.states() == {conversation: "skipped invalid_customer_email"}

        mask(masked=False)
        pipeline.extract(run_of(hour, origin="backfill"))
        assert pipeline.states() == {conversation: "skipped invalid_customer_email"}, "known, and left alone"
        pipeline.extract(run_of(hour, origin="backfill", judge_again=True))
        assert pipeline.states() == {conversation: "planned"}
