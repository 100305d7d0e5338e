"""What the page and its export say of a request that was sent, however the settings have changed since."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.settings import Settings
from include.ledger.reports import listing
from include.ledger.reports import story as stories
from include.ledger.reports.listing import Filter
from plugins.interactions_view import interactions as view
from plugins.interactions_view.source import Source
from plugins.interactions_view.words import answer
from tests.scenarios.conftest import HOUR
from tests.support.ledger import by_run
from tests.support.pipeline import WEB_URL, run_of


@pytest.fixture
def line(pipeline):
    """A function that reads the interaction of a conversation as the page does."""

    def read(conversation):
        with pipeline.ledger.read() as connection:
            return stories.story(connection, stories.latest_closing(connection, conversation)).chosen.line

    return read


@pytest.fixture
def shown(pipeline, line):
    """A function that gives the request as the page shows it to whoever has these settings today."""

    def show(conversation, **settings):
        found = Source("interaction_ledger", pipeline.ledger, Settings(**settings), WEB_URL)
        title, body = view.describe_request(line(conversation), found, datetime.now(UTC))
        return title, json.loads(body)

    return show


@pytest.fixture
def opted_out_late(pipeline, close, hour, settings):
    """A conversation whose customer opted out after it was planned; it has been released."""
    settings(seconds_until_send=60, do_not_send_attribute="quietBool")
    conversation = close()
    pipeline.extract(run_of(hour))
    close(id=conversation, custom={"quietBool": True})
    pipeline.release_due(run_of(hour + HOUR))
    return conversation


def test_the_page_shows_what_left(pipeline, sandbox, opted_out_late, shown):
    (received,) = sandbox.state.received
    assert received.request["do_not_send"] is True

    assert shown(opted_out_late, channel="phone") == ("The request that was sent", received.request)


def test_the_story_and_the_export_tell_that_no_survey_was_asked_for(pipeline, opted_out_late, line):
    assert "to be counted" in answer(line(opted_out_late), datetime.now(UTC), Settings()).sentence
    (exported,) = listing.export(pipeline.ledger.read, Filter())
    row = dict(zip(view.COLUMNS, view._values(exported), strict=True))
    assert (row["do_not_send"], row["sent_channel"]) == (True, "email")


def test_after_a_backfill_one_can_tell_who_got_a_survey(pipeline, sandbox, close, hour, settings, line):
    settings(seconds_until_send=60, expire_after_seconds=120)
    late = close()
    pipeline.run(run_of(hour, origin="backfill"))

    assert sandbox.state.received[0].request["do_not_send"] is True
    assert "to be counted" in answer(line(late), datetime.now(UTC), Settings()).sentence


def test_an_erasure_leaves_the_verdict_and_nothing_of_the_person(pipeline, sandbox, opted_out_late, line):
    customer = line(opted_out_late).customer
    agent = sandbox.state.received[0].request["employee"]["email"]

    pipeline.ledger.admin.erase_customer(customer.email, by_run("ada"), "ticket 12", dry_run=False)

    left = line(opted_out_late)
    assert (left.sent_do_not_send, left.sent_channel, left.sent_request) == (True, "email", None)
    (row,) = pipeline.query("SELECT * FROM interaction")
    assert customer.email not in str(row)
    assert agent in str(row), "the agent is not the one who asked"


def test_the_retention_blanks_it_too(pipeline, opted_out_late, line):
    pipeline.ledger.admin.retain(timedelta(seconds=-1), by_run("clock"), "retention")
    assert line(opted_out_late).sent_request is None
