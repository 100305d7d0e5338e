"""A person answers on Airflow's page Required Actions."""

import pytest
from playwright.sync_api import Page, expect

from include.ledger import Ledger, connect
from tests.browser.conftest import Shoot
from tests.stack.test_required_actions import DAG, TASK, lose, run_of, unpaused, wait_for_question
from tests.support.installation import Installation

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


def test_a_person_reads_the_question_and_answers_it(installation: Installation, page: Page, keep: Shoot) -> None:
    api, lost = installation.api, lose(installation, 2)
    with unpaused(installation):
        run = run_of(wait_for_question(installation))
        page.goto(f"{installation.stack.url}/required_actions")
        expect(page.get_by_text("Requests that Stella Connect does not show: 1.")).to_be_visible()
        keep("required-actions")
        page.goto(f"{installation.stack.url}/dags/{DAG}/runs/{run}/tasks/{TASK}/required_actions")
        expect(page.get_by_role("link", name=lost)).to_be_visible()
        keep("required-action")

        page.get_by_role("textbox").last.fill("ticket 12")
        page.get_by_role("button", name="Cancel", exact=True).click()

        assert api.wait_for_run(DAG, run) == "success"
    (event,) = Ledger(connect(f"sqlite:///{installation.stack.home}/ledger.db")).history(lost)[-1:]
    assert (event.to_state, event.detail, event.by and event.by.person) == ("cancelled", "ticket 12", "admin")
