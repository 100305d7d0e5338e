"""A manual run over a month of a small organisation."""

from datetime import timedelta

import pytest

from include.sandbox import generate, start
from tests.support.pipeline import run_of

DAYS = timedelta(days=30)
CLOSINGS = 720
"""One an hour."""
MAX_SEARCHES = 6
"""Two pages of conversations, and at most as many of customers as cost less than single reads."""


@pytest.fixture
def sandbox(hour):
    organisation = generate(seed=7, conversations=CLOSINGS, agents=12, closed_from=hour - DAYS, closed_to=hour)
    with start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as running:
        yield running


def test_is_read_in_few_searches(pipeline, sandbox, hour):
    facts = pipeline.extract(run_of(hour - DAYS, hour, origin="manual"))

    assert facts["found"] > CLOSINGS / 2
    assert sandbox.state.calls["POST /v1/customers/search"] <= MAX_SEARCHES
