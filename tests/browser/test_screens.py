"""What people see in Airflow's UI, in a real browser; the README's pictures come from here.

Screenshots go to pytest's temporary directory, and to the directory named by SCREENSHOTS if it is set:
`SCREENSHOTS=docs/images .venv/bin/pytest tests/browser` writes them all again.
"""

import os
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, Page, expect

from include.interactions.settings import Settings
from plugins.runtime.params import setting_params
from tests.browser.conftest import Shoot
from tests.support.installation import DAG_ID, Installation, Runs

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


def test_the_grid_shows_the_runs_and_each_window_by_its_label(
    installation: Installation, runs: Runs, page: Page, shoot: Shoot
) -> None:
    if "SCREENSHOTS" in os.environ:  # a running backfill's banner would be in the picture
        installation.api.wait_for_backfill(runs.second_backfill)
    page.goto(f"{installation.stack.url}/dags/{DAG_ID}/runs/{runs.moment_ago}")
    page.get_by_role("button", name="Expand all task groups").click()
    page.mouse.move(315, 700)  # the divider: wide enough for all runs
    page.mouse.down()
    page.mouse.move(400, 700, steps=5)
    page.mouse.up()
    for task_id in ("extract_closed_conversations", "wait_until_due [ ]", "release_interactions [ ]", "report"):
        expect(page.get_by_role("link", name=task_id, exact=True).first).to_be_visible()
    page.goto(
        f"{installation.stack.url}/dags/{DAG_ID}/runs/{runs.moment_ago}"
        "/tasks/release_window.release_interactions/mapped"
    )
    labels = [window["label"] for window in installation.result(runs.moment_ago, "plan_release_windows")]
    for label in labels:
        expect(page.get_by_role("link", name=label)).to_be_visible()
    page.wait_for_load_state("networkidle")
    shoot("grid")


def test_the_graph_reads_like_the_pipeline(
    installation: Installation, runs: Runs, page: Page, shoot: Shoot
) -> None:
    page.set_viewport_size({"width": 1280, "height": 600})
    page.goto(f"{installation.stack.url}/dags/{DAG_ID}/runs/{runs.moment_ago}")
    page.get_by_role("button", name="Show Graph").click()
    page.get_by_role("button", name="Collapse Details Panel").click()
    # The graph draws only the tasks that are in view, but the edges between them all.
    for one, other in pairwise(("extract_closed_conversations", "check_agent_profiles", "plan_release_windows")):
        expect(page.get_by_role("img", name=f"Edge from {one} to {other}")).to_be_attached()
    page.wait_for_load_state("networkidle")
    shoot("graph")


@pytest.mark.parametrize(
    ("name", "extra", "picture"),
    [
        ("Kustomer", {"Kustomer URL": ""}, "connection-form-kustomer"),
        ("Stella Connect", {"API secret": "password", "Token prefix": ""}, "connection-form"),
    ],
)
def test_the_connection_form_asks_for_what_the_type_needs_and_nothing_else(
    name: str, extra: dict[str, str], picture: str, installation: Installation, page: Page, shoot: Shoot
) -> None:
    page.goto(f"{installation.stack.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").fill(name)
    page.get_by_role("option", name=name, exact=True).click()
    for label in ("API URL", "API key"):
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    for hidden in ("Host", "Login", "Password", "Port", "Schema"):
        expect(form.get_by_text(hidden, exact=True)).to_have_count(0)
    expect(form.locator("input[name=password]")).to_have_attribute("type", "password")

    form.get_by_text("Extra Fields", exact=True).click()
    for label, kind in extra.items():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
        assert (field(form, label).get_attribute("type") or "") == kind
    shoot(picture)


def test_the_trigger_form_offers_an_interval_and_every_setting_and_asks_for_nothing_by_itself(
    installation: Installation, runs: Runs, page: Page, shoot: Shoot
) -> None:
    page.set_viewport_size({"width": 1280, "height": 960})
    page.goto(f"{installation.stack.url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Settings for this run only").click()
    for setting in (Settings.model_fields[name] for name in setting_params()):
        expect(form.get_by_text(setting.title or "", exact=True)).to_be_attached()
    expect(form.get_by_text("null", exact=True)).to_have_count(0)
    shoot("trigger-form-settings")
    form.get_by_role("button", name="Closings to read").click()
    for title in ("Closed from", "Closed before"):
        expect(form.get_by_text(title, exact=True)).to_be_visible()
    shoot("trigger-form")

    with page.expect_request(lambda request: request.method == "POST" and "dagRuns" in request.url) as sent:
        page.route("**/dagRuns", lambda route: route.abort())
        form.get_by_role("button", name="Trigger", exact=True).click()
    page.unroute("**/dagRuns")
    assert sent.value.post_data_json["conf"] == {
        **dict.fromkeys([*setting_params(), "start", "end"]),
        "judge_again": None,
    }


def field(form: Locator, label: str) -> Locator:
    """The input beside a label."""
    return form.get_by_role("group").filter(has=form.page.get_by_text(label, exact=True)).locator("input").last
