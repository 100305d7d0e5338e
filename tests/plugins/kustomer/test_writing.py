"""What the hook writes to Kustomer, against the simulator."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.sandbox import Sandbox, generate, start
from include.sandbox.options import ROLES, WRITE_ROLES
from plugins.kustomer.hook import KustomerHook
from plugins.vendor_api.errors import KeyFault, NeverSent, NotFound, OutcomeUnknown, Refused, VendorApiError

START = datetime(2026, 1, 5, 10, tzinfo=UTC)
KEY = "kustomer-key-of-tests"
KLASS = "survey_answer"


@pytest.fixture
def vendors() -> Iterator[Sandbox]:
    organisation = generate(7, 30, 3, START, START + timedelta(hours=1))
    with start(organisation, search_per_minute=0, org_per_minute=0, data_per_minute=0) as sandbox:
        sandbox.state.kustomer_tokens[KEY] = (*ROLES, *WRITE_ROLES)
        yield sandbox


@pytest.fixture
def hook(vendors: Sandbox, connect_kustomer: Any) -> KustomerHook:
    connect_kustomer(vendors.kustomer_url)
    return KustomerHook()


@pytest.fixture
def here(vendors: Sandbox) -> list[str]:
    return [one.id for one in vendors.state.organisation.conversations.values() if not one.deleted]


def strike(vendors: Sandbox, kind: str, method: str, times: int | None = 1) -> None:
    vendors.state.faults.replace([{"kind": kind, "times": times, "match": {"method": method}}])


def calls(vendors: Sandbox, method: str) -> int:
    return sum(number for call, number in vendors.state.calls.items() if call.startswith(f"{method} "))


def test_an_update_sets_its_attributes_and_leaves_all_others(
    vendors: Sandbox, hook: KustomerHook, here: list[str]
) -> None:
    before = vendors.state.organisation.conversations[here[0]]
    hook.update_conversation(here[0], {"custom": {"starsNum": 4}})
    hook.update_conversation(
        here[0], {"custom": {"commentStr": "Thanks"}, "status": "open", "assignedTeams": ["t"]}
    )
    after = vendors.state.organisation.conversations[here[0]]
    assert after.custom == {**(before.custom or {}), "starsNum": 4, "commentStr": "Thanks"}
    assert (after.status, after.tags, after.attributes) == ("open", before.tags, {"assignedTeams": ["t"]})
    assert after.updated_at > before.updated_at


def test_a_bulk_update_is_worked_off_later_and_a_bad_item_costs_only_itself(
    vendors: Sandbox, hook: KustomerHook, here: list[str]
) -> None:
    vendors.state.options.bulk_seconds = 0.2
    bulk = hook.update_conversations(
        {here[0]: {"custom": {"starsNum": 4}}, "gone": {"custom": {"starsNum": 1}}, here[1]: {"custom": {"x": 1}}}
    )
    assert bulk is not None
    assert not hook.is_bulk_complete(bulk)
    while not hook.is_bulk_complete(bulk):
        pass
    assert vendors.state.written.updates == {here[0]: 1}


def test_tags_are_added_by_name(vendors: Sandbox, hook: KustomerHook, here: list[str]) -> None:
    before = vendors.state.organisation.conversations[here[0]].tags
    hook.add_tags(here[0], ["bad score"])
    names = {tag.id: tag.name for tag in vendors.state.organisation.tags.values()}
    after = vendors.state.organisation.conversations[here[0]].tags
    assert after[:-1] == before
    assert names[after[-1]] == "bad score"


def test_notes_are_listed_over_all_pages(vendors: Sandbox, hook: KustomerHook, here: list[str]) -> None:
    for number in range(110):
        hook.create_note(here[0], f"note {number}", external_id=f"n{number}", mentions=[{"team": "t1"}])
    notes = hook.list_notes(here[0])
    assert [note["attributes"]["body"] for note in notes] == [f"note {number}" for number in range(110)]
    assert notes[0]["attributes"]["userMentions"] == [{"team": "t1"}]
    assert hook.list_notes(here[1]) == []


def test_a_custom_object_is_found_by_its_external_id(vendors: Sandbox, hook: KustomerHook) -> None:
    assert hook.find_kobject(KLASS, "a 1") is None
    created = hook.create_kobject(KLASS, {"title": "Answer", "externalId": "a 1", "custom": {"starsNum": 5}})
    found = hook.find_kobject(KLASS, "a 1")
    assert found is not None
    assert found["id"] == created
    hook.update_kobject(KLASS, found["id"], {"custom": {"starsNum": 2}})
    assert vendors.state.written.objects[KLASS][0]["attributes"]["custom"] == {"starsNum": 2}
    with pytest.raises(Refused):
        hook.create_kobject(KLASS, {"title": "Answer", "externalId": "a 1"})
    with pytest.raises(NotFound):
        hook.create_kobject("no_such_class", {"title": "Answer"})


def write_each(hook: KustomerHook, id_: str) -> dict[str, Any]:
    return {
        "PATCH": lambda: hook.update_conversation(id_, {"custom": {"starsNum": 4}}),
        "PUT": lambda: hook.update_conversations({id_: {"custom": {"starsNum": 4}}}),
        "POST": lambda: hook.create_note(id_, "a note"),
    }


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("accept_then_500", OutcomeUnknown),
        ("accept_then_reset", OutcomeUnknown),
        ("500_before", OutcomeUnknown),
        ("408", OutcomeUnknown),
        ("redirect", OutcomeUnknown),
        ("403", KeyFault),
        ("404", NotFound),
        ("422", Refused),
    ],
)
def test_a_write_in_doubt_or_refused_is_not_repeated(
    vendors: Sandbox, hook: KustomerHook, here: list[str], method: str, kind: str, error: type[VendorApiError]
) -> None:
    strike(vendors, kind, method)
    with pytest.raises(error):
        write_each(hook, here[0])[method]()
    assert calls(vendors, method) == 1


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
def test_a_write_that_was_not_taken_is_repeated(
    vendors: Sandbox, hook: KustomerHook, here: list[str], method: str
) -> None:
    strike(vendors, "429", method, times=2)
    write_each(hook, here[0])[method]()
    assert calls(vendors, method) == 3


@pytest.mark.parametrize("kind", ["not_json", "empty_body", "broken_json", "no_data"])
def test_a_taken_note_stays_taken_whatever_the_answer_is(
    vendors: Sandbox, hook: KustomerHook, here: list[str], kind: str
) -> None:
    strike(vendors, kind, "POST")
    assert hook.create_note(here[0], "a note") is None
    assert len(vendors.state.written.notes[here[0]]) == 1


def test_a_write_without_a_connection_was_never_sent(connect_kustomer: Any) -> None:
    connect_kustomer("http://127.0.0.1:9")
    with pytest.raises(NeverSent):
        KustomerHook().create_note("a", "a note")


RECOVERY_ROLES = [
    f"org.permission.{name}"
    for name in ("note.read", "note.create", "conversation.update", "team.read", "queue.read")
]


@pytest.mark.parametrize(("setting", "roles"), [("write_back", WRITE_ROLES), ("recovery", RECOVERY_ROLES)])
def test_the_button_test_names_the_roles_that_a_setting_needs(
    vendors: Sandbox, hook: KustomerHook, setting: str, roles: Sequence[str]
) -> None:
    vendors.state.kustomer_tokens[KEY] = (*ROLES, *roles)
    assert f"{setting} can also need" not in hook.test_connection()[1]
    vendors.state.kustomer_tokens[KEY] = ROLES
    passed, words = hook.test_connection()
    assert passed
    named = words.partition(f"{setting} can also need: ")[2].partition(". ")[0]
    assert set(named.split(", ")) == set(roles)
