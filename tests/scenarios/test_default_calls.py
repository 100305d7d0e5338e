"""Without write_back, recovery, rules and the like both DAGs make exactly the calls of a plain installation."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include.sandbox import KUSTOMER_KEY
from include.sandbox.options import LIST_ROLES, ROLES, WRITE_ROLES
from plugins.pipeline.admin import retain
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.feedback import record_feedback
from plugins.pipeline.recovering import recover_unhappy_customers
from plugins.pipeline.writing_back import write_answers
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

CALLS = {
    "GET /v1/auth/tokens/current": 1,
    "POST /v1/customers/search": 2,
    "GET /v1/users": 2,
    "GET /v2/employees": 2,
    "GET /v1/conversations/{id}": 1,
    "POST /v1/requests": 2,
    "GET /v2/data": 2,
}
"""Of a run with two closings and of a feedback run with their answers, whatever roles the key has."""


@pytest.mark.parametrize("further", [(), (*LIST_ROLES, *WRITE_ROLES)])
def test_without_the_new_settings_each_call_is_a_call_of_today(pipeline, sandbox, close, hour, further):
    sandbox.state.kustomer_tokens[KUSTOMER_KEY] = (*ROLES, *further)
    sandbox.state.options.answered_share, sandbox.state.options.answer_after_seconds = 1.0, 0.0
    for minute in (10, 20):
        close(minute)

    pipeline.run(run_of(hour))
    feedback = run_of(hour) | {"outlet_events": defaultdict(SimpleNamespace)}
    record_feedback(feedback, DEFAULT)
    with pytest.raises(AirflowSkipException):
        write_answers(feedback, DEFAULT)
    recover_unhappy_customers(feedback, DEFAULT)
    raise_alarms(feedback, DEFAULT)
    retain(feedback, DEFAULT)

    (answers,) = pipeline.query("SELECT count(*) AS number FROM survey_response WHERE rating IS NOT NULL")
    assert answers.number == 2
    assert dict(sandbox.state.calls) == CALLS
