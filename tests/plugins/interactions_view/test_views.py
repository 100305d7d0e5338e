"""What each view says."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from include.interactions.actor import Actor
from include.interactions.recovery import AnswerToJudge, PlannedSteps, RecoveryAction, StepState
from include.interactions.write_back import Target, WriteState
from include.ledger import Ledger, connect, engine
from include.ledger.schema import interaction
from include.ledger.writing import PLANNED_UNTIL, SINCE
from tests.plugins.interactions_view.conftest import WEB_URL, Filled, Get, fill, use_ledger
from tests.support.ledger import by_run, closing


def test_the_answer_of_a_skipped_interaction_says_why_and_what_to_do(filled: Filled, get: Get) -> None:
    text = get(f"one/{filled.ids['skipped']}").text
    assert "Not sent: Stella Connect did not list the agent as active when the survey was due." in text
    assert "Approve the profile, then plan again." in text
    assert "action=send_agent_again" in text


def test_an_interaction_leads_to_kustomer_and_to_the_run_that_handled_it(filled: Filled, get: Get) -> None:
    text = get(f"one/{filled.ids['sent']}").text
    assert f'{WEB_URL}/app/customers/customer-1/event/{1:024x}"' in text
    assert "/dags/kustomer_stella_connect/runs/scheduled__2026-03-02T12%3A00%3A00%2B00%3A00" in text


def test_the_request_is_shown_as_it_goes_out(filled: Filled, get: Get) -> None:
    text = get(f"one/{filled.ids['planned']}").text
    assert "The request that will be sent" in text
    body = text.partition('aria-label="Feedback request">')[2].partition("</pre>")[0]
    request = json.loads(body.replace("&#34;", '"'))
    assert request["customer"] == {"name": "Customer 5", "email": "customer5@example.com"}
    assert request["ext_interaction_id"] == f"{5:024x}"
    assert "The request that was sent" in get(f"one/{filled.ids['sent']}").text
    assert "No request was sent" in get(f"one/{filled.ids['skipped']}").text


def test_a_service_recovery_is_shown_as_it_goes_out(filled: Filled, get: Get) -> None:
    with connect(filled.url).begin() as connection:
        connection.execute(update(interaction).values(recovers_uuid="u"))
    text = get(f"one/{filled.ids['planned']}").text
    body = text.partition('aria-label="Feedback request">')[2].partition("</pre>")[0]
    request = json.loads(body.replace("&#34;", '"'))
    assert request.keys() == {"employee", "ext_interaction_id", "external_url", "tags"}


def test_the_request_that_left_is_masked_like_everything_else(filled: Filled, get: Get) -> None:
    path = f"one/{filled.ids['sent']}"
    assert "Agent@Example.com" in get(path).text
    masked = get(path, "viewer").text
    assert "A•••@Example.com" in masked
    assert "Agent@Example.com" not in masked


def test_an_unknown_outcome_is_an_alarm_that_can_be_settled(filled: Filled, get: Get) -> None:
    assert "1 with an unknown outcome" in get("").text
    assert "action=settle_unknown" in get(f"one/{filled.ids['unknown']}").text


def test_agents_without_an_approved_profile_come_first_with_what_waits(filled: Filled, get: Get) -> None:
    text = get("agents").text
    first = text.partition("Other agents")[0]
    assert "agents/agent-7" in first
    assert "state=planned&amp;agent=agent-7" in first
    assert "agents/agent-1" not in first


def test_a_response_shows_all_that_is_known_of_it(filled: Filled, get: Get) -> None:
    text = get("responses").text
    for part in ("4 of 5 stars", "larkspur", "email", f"one/{filled.ids['sent']}", f"/event/{1:024x}"):
        assert part in text


@pytest.mark.parametrize("by", ["agent", "team_leader", "brand", "channel", "day"])
def test_the_responses_are_summed_up_by_each_group(filled: Filled, get: Get, by: str) -> None:
    text = " ".join(re.sub(r"<[^>]*>", " ", get("responses", by=by).text).split())
    for part in ("1 disputed", "Average stars 4.00", "NPS +100", "Resolved 100 %", "Response rate 100 %", "Speed"):
        assert part in text
    member = {"agent": "Agent", "team_leader": "Ines Halloran", "brand": "larkspur", "channel": "email"}
    assert member.get(by, f"{datetime.now(UTC):%-d %b %Y}") in text


def test_an_interaction_shows_every_question_with_its_answer(filled: Filled, get: Get) -> None:
    text = get(f"one/{filled.ids['sent']}").text
    for part in (
        "How did we do?",
        "Areas of excellence",
        "Speed",
        "What else?",
        "Call jane@example.com",
        "Disputed",
    ):
        assert part in text
    assert text.count("not answered") == 1
    for part in ("After contact", "team of Ines Halloran", "NPS 9", "Resolved"):
        assert part in text
    assert "jane@example.com" not in get(f"one/{filled.ids['sent']}", "viewer").text


def test_after_erasing_no_word_of_an_answer_is_shown(filled: Filled, get: Get) -> None:
    filled.ledger.admin.erase_customer("customer-1", Actor("admin", "manual__x", "jane"), "ticket", dry_run=False)
    for path in (f"one/{filled.ids['sent']}", "responses", "responses?by=team_leader"):
        text = get(path).text
        for word in ("jane@", "Speed", "own_question", "What else", "Halloran"):
            assert word not in text
        assert "4 of 5 stars" in text


def test_a_conversation_leads_to_its_latest_closing(filled: Filled, get: Get) -> None:
    answer = get(f"conversation/{5:024x}")
    assert (answer.status, answer.headers["location"]) == (307, f"/interactions/one/{filled.ids['planned']}")
    assert get("conversation/unheard-of").status == 404


def test_each_organisation_has_its_own_interactions(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    monkeypatch.setenv("KUSTOMER_STELLA_ORGANISATIONS", '{"default": {}, "acme": {}}')
    other = f"sqlite:///{tmp_path}/acme.db"
    Ledger(connect(other)).migrate()
    use_ledger(monkeypatch, other, "interaction_ledger_acme")
    assert f"{5:024x}" in get("list").text
    assert f"{5:024x}" in get("of/default/list").text
    text = get("of/acme/list").text
    assert "No interactions yet" in text
    assert 'href="/interactions/of/default/"' in text
    assert 'href="/interactions/of/acme/agents"' in text
    assert get("dag/kustomer_stella_connect__acme").headers["location"] == "/interactions/of/acme/"
    filled.ledger.enter("interaction_ledger")
    use_ledger(monkeypatch, filled.url, "interaction_ledger_acme")  # by mistake
    answer = get("of/acme/list")
    assert (answer.status, "Each organisation needs its own ledger" in answer.text) == (503, True)
    assert get("of/nobody/list").status == 404
    assert get("of/acme/list", "stranger").status == 403


def test_another_dags_tab_says_whose_the_interactions_are(get: Get) -> None:
    assert "This DAG has no interactions" in get("dag/<b>other").text
    assert get("dag/kustomer_stella_connect").headers["location"] == "/interactions/"


@pytest.mark.postgres
def test_every_view_reads_a_ledger_in_postgresql(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    filled = fill(postgres_url)
    use_ledger(monkeypatch, postgres_url)
    for path in (
        "",
        "list?search_secret=%25",
        "list.csv",
        "agents",
        "agents/agent-1",
        "responses",
        f"one/{filled.ids['sent']}",
    ):
        assert get(path).status == 200


def test_a_ledger_that_is_not_there_yet_is_explained(ledger_url: str, get: Get) -> None:
    Path(ledger_url.removeprefix("sqlite:///")).unlink()
    answer = get("list")  # no file
    assert (answer.status, "does not answer" in answer.text) == (503, True)
    assert not Path(ledger_url.removeprefix("sqlite:///")).exists()
    with connect(ledger_url).begin() as connection:  # an empty one
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
    answer = get("list")
    assert (answer.status, "No run yet" in answer.text) == (503, True)
    assert json.loads(get("list", accept="application/json").text)["kind"] == "empty"


def test_an_older_ledger_is_explained(filled: Filled, ledger_url: str, get: Get) -> None:
    with connect(ledger_url).begin() as connection:
        connection.exec_driver_sql("UPDATE interaction_ledger_version SET version_num = '0000'")
        connection.exec_driver_sql("DROP TABLE survey_response")
    answer = get("responses")
    assert (answer.status, "has an older version" in answer.text) == (503, True)


def test_a_newer_ledger_is_explained(filled: Filled, ledger_url: str, get: Get) -> None:
    with connect(ledger_url).begin() as connection:
        connection.exec_driver_sql("UPDATE interaction_ledger_version SET version_num = 'of next year'")
    assert get("responses").status == 200  # what it still can read, it shows
    with connect(ledger_url).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE survey_response RENAME TO response")
    answer = get("responses")
    assert (answer.status, "has a newer version" in answer.text) == (503, True)


@pytest.mark.postgres
def test_a_question_that_takes_too_long_is_given_up_and_explained(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    fill(postgres_url)
    use_ledger(monkeypatch, postgres_url)
    monkeypatch.setattr(engine, "READ_SECONDS", 1)
    with connect(postgres_url).begin() as connection:
        connection.exec_driver_sql("LOCK TABLE interaction")
        answer = get("list")
    assert (answer.status, "The ledger took too long" in answer.text) == (503, True)
    assert get("list").status == 200


def test_a_ledger_without_a_connection_is_explained(monkeypatch: pytest.MonkeyPatch, get: Get) -> None:
    from plugins.interactions_view import source

    monkeypatch.delenv("AIRFLOW_CONN_INTERACTION_LEDGER")
    source._source.cache_clear()
    answer = get("list")
    assert (answer.status, "interaction_ledger" in answer.text) == (503, True)


def test_a_new_ledger_without_interactions_looks_designed(ledger_url: str, get: Get) -> None:
    Ledger(connect(ledger_url)).migrate()
    for path, words in (
        ("", "No closings today"),
        ("list", "No interactions yet"),
        ("agents", "Every agent can receive feedback"),
        ("responses", "No responses"),
    ):
        answer = get(path)
        assert (answer.status, words in answer.text) == (200, True)


def test_deliveries_of_which_nothing_was_heard_yet_are_not_none(ledger_url: str, get: Get) -> None:
    ledger = Ledger(connect(ledger_url))
    ledger.migrate()
    ledger.extraction.record_closings([closing(1, closed_at=datetime.now(UTC))], by_run("run"))
    assert get("").text.count("not reported yet") == 2


def test_the_page_cannot_change_the_ledger(filled: Filled) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from plugins.interactions_view.source import source
    from plugins.runtime.organisations import DEFAULT

    with pytest.raises(SQLAlchemyError), source(DEFAULT).read() as connection:
        connection.exec_driver_sql("DELETE FROM survey_response")


def test_an_interaction_says_what_of_its_answer_is_in_kustomer(filled: Filled, get: Get) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    for target in (Target.NOTE, Target.ATTRIBUTES):
        filled.ledger.set_fact(f"{SINCE}.{target}", long_ago)
        filled.ledger.set_fact(f"{PLANNED_UNTIL}.{target}", long_ago)
        filled.ledger.writing.plan(target)
    (note,) = filled.ledger.writing.list_due(Target.NOTE, 1, datetime.now(UTC))
    filled.ledger.writing.settle(note, WriteState.FAILED, detail="Kustomer refused it: 422")
    text = " ".join(get(f"one/{filled.ids['sent']}").text.split())
    assert "In Kustomer: conversation attributes waits, note failed (Kustomer refused it: 422)." in text


def test_an_interaction_says_which_action_after_its_answer_failed_and_offers_to_repeat_it(
    filled: Filled, get: Get
) -> None:
    conversation = f"{1:024x}"
    judged = AnswerToJudge("u-1", conversation, datetime.now(UTC), 1, None, None, False, None, None, None, False)
    filled.ledger.recovery.plan([PlannedSteps(judged, "unhappy", (RecoveryAction.NOTE, RecoveryAction.TAG))])
    (step,) = (step for step in filled.ledger.recovery.list_open(9) if step.action is RecoveryAction.TAG)
    token = filled.ledger.recovery.claim(step, timedelta(minutes=1))
    filled.ledger.recovery.settle(replace(step, token=token or ""), StepState.FAILED, "refused: no such tag")
    seen = {user: " ".join(get(f"one/{filled.ids['sent']}", user).text.split()) for user in ("editor", "viewer")}
    assert "After this answer: note waits, tag failed (refused: no such tag)." in seen["viewer"]
    assert "action=recover_again" in seen["editor"]
    assert "action=recover_again" not in seen["viewer"]
