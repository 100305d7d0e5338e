import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from include.interactions.addresses import (
    greeting,
    has_any,
    is_automatic,
    same_address,
    survey_addresses,
    usable,
)


@pytest.mark.parametrize(
    "address",
    ["jane@example.com", "j.d+tag@mail.example.co.uk", "jane@customer.test", "ü@example.com", "J@EXAMPLE.com"],
)
def test_well_formed_addresses_are_usable(address):
    assert usable(f" {address}\n") == address


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        " ",
        "jane",
        "jane@",
        "@example.com",
        "jane@localhost",
        "a b@example.com",
        "j***@example.com",
        "j•••@example.com",
        "x" * 2_000_000,
    ],
)
def test_malformed_and_masked_addresses_are_not(address):
    assert usable(address) is None


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("jane@ｅｘａｍｐｌｅ.com", "jane@example.com"),
        ("jane@Bücher.example", "jane@xn--bcher-kva.example"),
        ("jane@example。com", "jane@example.com"),
        ("jose\u0301@example.com", "josé@example.com"),
        ("\ufeffjane@example.com\u200b", "jane@example.com"),
        ("\u3164@example.com", None),
        ("jane\u2800@example.com", None),
        ("ja\u200bne@example.com", None),
    ],
)
def test_an_address_goes_out_in_its_normal_form(address, sent):
    assert usable(address) == sent


words = st.text("abcXYZ019_+-.@<>\"'*• üß", max_size=70)
domains = st.one_of(
    words,
    st.sampled_from(
        ["example.com", "EXAMPLE.CO.UK", "customer.test", "host.local", "xn--bcher-kva.example", "[1.2.3.4]"]
    ),
    st.lists(st.text("abcXYZ019-ü", min_size=1, max_size=70), max_size=5).map(".".join),
)


@given(words, domains)
@example("x" * 64, "example.com")
@example("x" * 65, "example.com")
@example("x" * 60, ".".join(["y" * 63] * 3))
@example("x" * 64, ".".join(["y" * 63] * 3))
@example("postmaster", "example.com")
def test_the_verdict_is_the_validators_for_every_address(local: str, domain: str) -> None:
    address = f"{local}@{domain}".strip()
    try:
        validate_email(address, check_deliverability=False, globally_deliverable=False, test_environment=True)
        good = "." in domain.strip() and not set(address) & set("*•●…")
    except EmailNotValidError:
        good = False
    assert (usable(address) is not None) == good
    if good and address.isascii():
        assert usable(address) == address


foreign = st.lists(st.text("abXß019-üe\u0301ｅ。.\u200bİ", min_size=1, max_size=10), max_size=4).map(".".join)


@given(st.text(max_size=10), foreign)
def test_a_normal_form_is_its_own_normal_form(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    sent = usable(address)
    assert sent is None or usable(sent) == sent
    assert same_address(same_address(address)) == same_address(address)


def test_the_first_verified_usable_address_is_taken(customer):
    found = customer(
        "first@example.com",
        {"email": "broken@", "verified": True},
        {"email": "second@example.com", "verified": True},
        {"email": "third@example.com", "verified": True},
    )

    assert survey_addresses(found.emails) == ["second@example.com", "third@example.com", "first@example.com"]


def test_without_a_verified_one_the_usable_ones_keep_their_order(customer):
    assert survey_addresses(customer("broken", "second@example.com", "third@example.com").emails) == [
        "second@example.com",
        "third@example.com",
    ]


def test_blank_addresses_are_none_at_all(customer):
    assert not has_any(customer("", {"email": None}, {"type": "home"}))
    assert has_any(customer("broken"))


@pytest.mark.parametrize(
    ("kustomers", "stella_connects"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("jose\u0301@example.com", "josé@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ADA@XN--BCHER-KVA.example"),
        ("ada@ｅｘａｍｐｌｅ.com", "ada@example.com"),
        ("ada@example.com\u200b", "ada@example.com"),
        ("not an address ü", "NOT AN ADDRESS Ü"),
    ],
)
def test_addresses_are_compared_in_one_form(kustomers, stella_connects):
    assert same_address(kustomers) == same_address(stella_connects)


@pytest.mark.parametrize(
    "address",
    [
        "MAILER-DAEMON@example.com",
        "no-reply@example.com",
        "NoReply@example.com",
        "no_reply+4711@example.com",
        "noreply-orders@example.com",
        "do.not.reply@example.com",
        "postmaster@example.com",
        "bounces+jane=example.org@example.com",
    ],
)
def test_addresses_of_machines_are_known(address):
    assert is_automatic(address)


@pytest.mark.parametrize(
    "address", ["noreen@example.com", "daemonic@example.com", "jane@noreply.example", "reply@example.com"]
)
def test_addresses_of_people_are_not_those_of_machines(address):
    assert not is_automatic(address)


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"name": "Jane Doe", "displayName": "J"}, "Jane Doe"),
        ({"name": None, "displayName": "Jane"}, "Jane"),
        ({"name": " \n ", "displayName": None}, "jane.d"),
        ({"name": "Jane\n\tDoe"}, "Jane Doe"),
        ({"name": "x" * 2_000_000}, "x" * 200),
        ({"name": ["no", "text"]}, "jane.d"),
        ({"name": "\u3164"}, "jane.d"),
        ({"name": "\u200b\u2060", "displayName": "\u2800 \ufe0f"}, "jane.d"),
        ({"name": "\ufeffJa\u00adne \u202eDoe\u3164"}, "Jane Doe"),
        ({"name": "Jose\u0301"}, "José"),
        ({"name": "👩\u200d🚒"}, "👩\u200d🚒"),
    ],
)
def test_the_greeting_is_a_short_line(customer, attributes, name):
    assert greeting(customer("jane.d@example.com", **attributes), "jane.d@example.com") == name
