"""The interactions page as people use it: inside Airflow's UI, at two widths, in two themes."""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FrameLocator, Page, Route, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from sqlalchemy import Connection, delete, insert

from include.interactions.answers import Answer
from include.interactions.reasons import Reason
from include.interactions.recovery import RecoveryAction, StepState
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.interactions.write_back import Target, WriteState
from include.ledger import Ledger, connect
from include.ledger.recovery_schema import recovery_step
from include.ledger.reports.listing import Filter, Line, Sort
from include.ledger.reports.listing import page as listed
from include.ledger.schema import survey_response
from include.ledger.writing_schema import answer_write
from scripts.stack.waiting import wait_until
from tests.browser.conftest import Shoot
from tests.support.installation import DAG_ID, WEB_URL, Installation, Runs

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

ADMIN_DAG = "interaction_ledger_admin"


@pytest.fixture
def view(page: Page) -> FrameLocator:
    """The page inside Airflow's UI."""
    return page.frame_locator("iframe[title=Interactions]")


@pytest.fixture
def skipped(installation: Installation, runs: Runs) -> tuple[int, str]:
    """Row id and conversation of an interaction that was skipped for want of an approved profile."""
    chosen = Filter(reasons=frozenset({Reason.AGENT_PROFILE_NOT_APPROVED}), states=frozenset({State.SKIPPED}))
    with Ledger(connect(f"sqlite:///{installation.stack.home}/ledger.db")).read() as connection:
        line = listed(connection, chosen, Sort.CLOSED_AT, descending=True).rows[0]
    return line.id, line.conversation_id


@pytest.fixture
def answered(installation: Installation, runs: Runs) -> Iterator[Line]:
    """Eight interactions as Stella Connect would report on them, most of them answered; the unhappy one.

    They are forgotten again: beside what the sandbox itself reports each would be an interaction shown twice.
    """
    engine = connect(f"sqlite:///{installation.stack.home}/ledger.db")
    ledger = Ledger(engine)
    with ledger.read() as connection:
        lines = listed(connection, Filter(states=frozenset({State.SENT})), Sort.SENT_AT, descending=True).rows[:8]
    comments = ("Quick and friendly, thank you!", None, "It took a while, but I was not left alone with it. " * 4)
    ledger.feedback.record_responses(
        [
            SurveyResponse(
                uuid=f"browser-{number}",
                sequence_id=number,
                conversation_id=line.conversation_id,
                closed_at=line.closed_at,
                requested_via="API",
                delivery_status="Sent",
                request_created_at=line.sent_at,
                request_sent_at=line.sent_at,
                response_received_at=None if number == 7 else datetime.now(UTC) - timedelta(days=number % 3),
                rating=(5, 4, 5, 1, None, 5, 3, None)[number],
                nps=(10, 8, 9, 2, 7, 10, 5, None)[number],
                resolved=(True, True, True, False, None, True, False, None)[number],
                comment=comments[number % 3],
                answers=() if number == 7 else whole_answer(number, comments[number % 3]),
                disputed=number == 3,
                language="en",
                survey_name="After contact",
                team_leader=("Ines Halloran", "Tomás Oduya")[number % 2],
                reward="Coffee voucher" if number == 2 else None,
                channel="email",
                brand="Larkspur",
            )
            for number, line in enumerate(lines)
        ]
    )
    with engine.begin() as connection:
        follow_up(connection, "browser-3", lines[3].conversation_id)
    yield lines[3]
    with engine.begin() as connection:
        for table in (answer_write, recovery_step):
            connection.execute(delete(table).where(table.c.uuid == "browser-3"))
        connection.execute(delete(survey_response).where(survey_response.c.uuid.startswith("browser-")))


def follow_up(connection: Connection, uuid: str, conversation_id: str) -> None:
    """An answer that is in Kustomer in part; of the actions after it one has failed."""
    now = datetime.now(UTC)
    both = {"uuid": uuid, "tries": 1, "detail": None}
    write = both | {"answer_read_at": now, "last_tried": now}
    step = both | {"conversation_id": conversation_id, "entry": "unhappy", "planned_at": now, "acted_at": now}
    failed = {"state": StepState.FAILED, "detail": "it may have been written, and is not in Kustomer"}
    connection.execute(
        insert(answer_write),
        [
            write | {"target": Target.ATTRIBUTES, "state": WriteState.WRITTEN},
            write | {"target": Target.NOTE, "state": WriteState.PENDING},
        ],
    )
    connection.execute(
        insert(recovery_step),
        [
            step | {"action": RecoveryAction.TAG, "state": StepState.DONE},
            step | {"action": RecoveryAction.NOTE} | failed,
        ],
    )


def whole_answer(number: int, comment: str | None) -> tuple[Answer, ...]:
    """Every kind of question: answered, with several options, with a second comment, and not answered."""
    good = number not in {3, 6}
    stars = (5, 4, 5, 1, None, 5, 3, None)[number]
    again = "Still waiting for the refund." if number == 3 else None
    labels = ("Friendliness", "Knowledge of the product") if good else ("Waiting time",)
    return (
        Answer("agent_star_rating", "How did we do?", stars, () if stars is None else (f"{stars} stars",), comment),
        Answer("nps", "How likely are you to recommend us?", 10 if good else 2, ("10" if good else "2",), None),
        Answer("fcr", "Was your matter resolved?", int(good), ("Yes" if good else "No",), None),
        Answer("areas_of_excellence", "What went well?", None, labels if good else (), None),
        Answer("areas_of_improvement", "What could be better?", None, () if good else labels, again),
    )


def test_what_customers_answered_in_numbers_and_question_by_question(
    installation: Installation, answered: Line, page: Page, view: FrameLocator, shoot: Shoot
) -> None:
    page.set_viewport_size({"width": 1280, "height": 1190})
    page.goto(f"{installation.stack.url}/plugin/interactions")
    view.get_by_role("link", name="Responses").click()
    numbers = view.get_by_role("region", name="In the last 30 days")
    expect(numbers.get_by_text("1 disputed, included in the figures")).to_be_visible()
    expect(view.get_by_role("table", name="Areas that customers chose")).to_contain_text("Knowledge of the product")
    groups = view.get_by_role("navigation", name="Group by")
    for label, member in (("Team leader", "Ines Halloran"), ("Brand", "Larkspur"), ("Channel", "email")):
        groups.get_by_role("link", name=label).click()
        expect(view.get_by_role("cell", name=member, exact=True)).to_be_visible()
    page.wait_for_load_state("networkidle")
    shoot("interactions-responses")

    groups.get_by_role("link", name="Agent").click()
    view.locator("article").first.locator("a.id").click()
    questions = view.get_by_role("region", name="What the customer answered")
    expect(questions).to_contain_text("How likely are you to recommend us?")
    expect(questions.get_by_text("not answered").first).to_be_visible()


def test_what_failed_after_an_answer_is_shown_and_can_be_repeated(
    installation: Installation, answered: Line, page: Page, keep: Shoot
) -> None:
    root = f"{installation.stack.url}/interactions"
    page.goto(f"{root}/static/page.css")
    for width, theme in product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        page.goto(f"{root}/one/{answered.id}", wait_until="networkidle")
        expect(page.get_by_text("In Kustomer: conversation attributes written")).to_be_visible()
        failed = page.get_by_text("After this answer: note failed (it may have been written")
        failed.scroll_into_view_if_needed()
        keep(f"interactions-after-answer-{width}-{theme}")
        page.get_by_role("link", name="Try again").click()
        expect(page.get_by_role("heading", name="Repeat failed actions after bad answers")).to_be_visible()
    page.evaluate("localStorage.setItem('theme', 'light')")


def test_why_did_this_customer_get_no_survey(
    installation: Installation, runs: Runs, page: Page, view: FrameLocator, shoot: Shoot
) -> None:
    page.set_viewport_size({"width": 1280, "height": 1190})
    page.goto(installation.stack.url)
    page.get_by_test_id("nav-sidebar").get_by_role("link", name="Interactions", exact=True).click()
    view.get_by_role("link", name="7 days").click()
    expect(view.get_by_role("heading", name="Conversations closed in the last 7 days")).to_be_visible()
    page.wait_for_load_state("networkidle")
    shoot("interactions-overview")

    view.get_by_role("link", name="Profile not approved").click()
    view.locator("tbody a.id").first.click()
    expect(view.get_by_role("heading", level=1)).to_have_text(
        "Not sent: Stella Connect did not list the agent as active when the survey was due."
    )
    expect(view.get_by_text("Approve the profile, then plan again.")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 800})
    shoot("interactions-one")

    def kustomer(route: Route) -> None:
        route.fulfill(body="Kustomer")

    page.context.route(f"{WEB_URL}/**", kustomer)
    with page.expect_popup() as opened:
        view.get_by_role("link", name="Open in Kustomer").click()
    expect(opened.value).to_have_url(re.compile(rf"{WEB_URL}/app/customers/[^/]+/event/[^/]+$"))
    opened.value.close()

    view.get_by_role("link", name="Show the run").click()
    expect(page).to_have_url(re.compile(rf"/dags/{DAG_ID}/runs/"))
    expect(page.get_by_role("link", name="report", exact=True).first).to_be_visible()
    page.go_back()
    expect(view.get_by_role("heading", level=1)).to_contain_text("Not sent:")


def test_the_pipelines_tab_shows_its_interactions(
    installation: Installation, runs: Runs, page: Page, view: FrameLocator
) -> None:
    page.goto(f"{installation.stack.url}/dags/{DAG_ID}")
    page.locator(f'a[href*="/dags/{DAG_ID}/plugin/"]').click()
    expect(page).to_have_url(re.compile(rf"/dags/{DAG_ID}/plugin/"))
    expect(view.get_by_role("heading", name="Conversations closed today")).to_be_visible()


def test_the_table_is_searched_filtered_sorted_paged_and_exported(
    installation: Installation, runs: Runs, page: Page, view: FrameLocator
) -> None:
    page.goto(f"{installation.stack.url}/plugin/interactions")
    view.get_by_role("link", name="Interactions").click()
    view.get_by_label("State", exact=True).select_option("sent")  # applies at once
    expect(page).to_have_url(re.compile("state=sent"))
    expect(view.locator("tbody .badge").first).to_have_text("Sent")
    expect(view.locator("tbody .badge").filter(has_not_text="Sent")).to_have_count(0)

    first = view.locator("tbody a.id").first.inner_text()
    view.get_by_role("link", name="Closed").click()
    expect(view.locator("th[aria-sort=ascending]")).to_have_text("Closed")
    expect(view.locator("tbody a.id").first).not_to_have_text(first)

    view.get_by_role("link", name="Next").click()
    expect(view.get_by_text("Page 2 of")).to_be_visible()
    found = view.get_by_text(re.compile(r"^\s*51–")).inner_text()

    with page.expect_download() as exported:
        view.get_by_role("link", name="Export CSV").click()
    with Path(exported.value.path()).open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert {row["state"] for row in rows} == {"sent"}
    assert f"of {len(rows)} interactions" in found.replace(",", "")

    view.get_by_role("searchbox", name="Search").fill(first)
    view.get_by_role("searchbox", name="Search").press("Enter")
    expect(view.locator("tbody a.id")).to_have_text([first])
    expect(page).to_have_url(
        re.compile(f"search_secret={first}")
    )  # what the frame shows can be sent to a colleague
    page.reload()
    expect(view.locator("tbody a.id")).to_have_text([first])


def choose_theme(page: Page, name: str) -> bool:
    """Tell whether Airflow's menu stayed open until the click: on a busy machine it closes by itself."""
    patience = 10_000
    try:
        page.get_by_role("button", name="User").click(timeout=patience)
        page.get_by_role("menuitem", name="Appearance").click(timeout=patience)
        page.get_by_role("menuitemradio", name=name).click(timeout=patience)
    except PlaywrightTimeout:
        page.keyboard.press("Escape")
        return False
    return True


def test_the_page_follows_the_theme_of_airflow(
    installation: Installation, runs: Runs, page: Page, view: FrameLocator, keep: Shoot
) -> None:
    page.goto(f"{installation.stack.url}/plugin/interactions")
    for name, theme in (("Dark Mode", "dark"), ("Light Mode", "light")):
        wait_until(lambda name=name: choose_theme(page, name), f"{name} to be chosen", 240)
        expect(view.locator("html")).to_have_attribute("data-theme", theme)
        page.keyboard.press("Escape")
        keep(f"interactions-{theme}")


def test_a_person_acts_through_the_admin_dag(
    installation: Installation, runs: Runs, skipped: tuple[int, str], page: Page, view: FrameLocator
) -> None:
    installation.api.wait_for_dag(ADMIN_DAG)
    installation.api.set_paused(ADMIN_DAG, paused=False)
    page.goto(f"{installation.stack.url}/plugin/interactions/interactions/one/{skipped[0]}")
    view.get_by_role("link", name="Release the agent’s interactions again").click()
    view.get_by_label("Reason").fill("profile approved, ticket 1")
    expect(view.get_by_role("checkbox", name="Dry run")).to_be_checked()
    view.get_by_role("button", name="Start").click()
    outcome = view.locator("#outcome")
    wait_until(lambda: "Dry run, nothing" in outcome.inner_text(), "the dry run to end", 120)
    assert re.search(r"With it switched off: [1-9]\d* planned again\.", outcome.inner_text())


def test_both_vendors_are_checked_from_the_page(
    installation: Installation, runs: Runs, page: Page, view: FrameLocator
) -> None:
    installation.api.wait_for_dag(ADMIN_DAG)
    installation.api.set_paused(ADMIN_DAG, paused=False)
    page.goto(f"{installation.stack.url}/plugin/interactions/interactions/vendors")
    expect(view.get_by_role("heading", name="No check yet")).to_be_visible()
    view.get_by_role("link", name="Check both vendors").click()
    view.get_by_role("button", name="Start").click()
    outcome = view.locator("#outcome")
    wait_until(lambda: "red (wrong)" in outcome.inner_text(), "the check to end", 180)
    view.get_by_role("link", name="Vendors").click()
    expect(view.get_by_role("row", name="next_page holds")).to_be_visible()


def test_every_view_can_be_used_by_everybody_at_both_widths_and_in_both_themes(
    installation: Installation, answered: Line, skipped: tuple[int, str], page: Page, keep: Shoot, shoot: Shoot
) -> None:
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    root = f"{installation.stack.url}/interactions"
    page.goto(f"{root}/static/page.css")
    views = {
        "overview": "?span=week",
        "list": "list?size=25",
        "nothing": "list?search_secret=nobody",
        "one-answered": f"one/{answered.id}",
        "one-skipped": f"one/{skipped[0]}",
        "agents": "agents",
        "agent": f"agents/{answered.agent.id}",
        "responses": "responses",
        "responses-by-day": "responses?by=day",
        "rules": "rules",
        "vendors": "vendors",
        "action": f"action?action=cancel&conversation_id={skipped[1]}",
        "wrong": "list?page=x",
        "other-dag": "dag/other",
    }
    for width, theme in product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        for name, path in views.items():
            page.goto(f"{root}/{path}", wait_until="networkidle")
            keep(f"interactions-{name}-{width}-{theme}")
            if (width, theme) == (1280, "light") and name in ("list", "agents", "rules", "vendors", "action"):
                shoot(f"interactions-{name}")
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            faults += [f"{name} at {width} is {wider} pixels too wide"] if wider > 0 else []
            faults += [
                f"{name} {width} {theme}: {fault['id']} {fault['nodes'][0]['target']}"
                for fault in Axe().run(page).response["violations"]
                if fault["impact"] in ("serious", "critical")
            ]
    page.evaluate("localStorage.setItem('theme', 'light')")
    assert faults == []


def test_the_keyboard_is_enough(installation: Installation, runs: Runs, page: Page) -> None:
    page.goto(f"{installation.stack.url}/interactions/", wait_until="networkidle")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Interactions")).to_be_focused()
    page.keyboard.press("Enter")
    search = page.get_by_role("searchbox", name="Search")
    expect(search).to_be_visible()
    search.focus()
    page.evaluate("addEventListener('pagehide', () => sessionStorage.left = document.documentElement.className)")
    page.keyboard.type("no such conversation")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No interaction matches")).to_be_visible()
    assert "loading" in page.evaluate("sessionStorage.left")  # something moved while one waited
