import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from include.interactions.addresses import greeting, has_any, same_address, survey_address, usable


@pytest.mark.parametrize(
    "address", ["jane@example.com", "j.d+tag@mail.example.co.uk", "jane@customer.test", "ü@example.com"]
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
    assert usable(address) == (address if good else None)


def test_the_first_verified_usable_address_is_taken(customer):
    found = customer(
        "first@example.com",
        {"email": "broken@", "verified": True},
        {"email": "second@example.com", "verified": True},
        {"email": "third@example.com", "verified": True},
    )

    assert survey_address(found.emails) == "second@example.com"


def test_without_a_verified_one_the_first_usable_is_taken(customer):
    assert (
        survey_address(customer("broken", "second@example.com", "third@example.com").emails) == "second@example.com"
    )


def test_blank_addresses_are_none_at_all(customer):
    assert not has_any(customer("", {"email": None}, {"type": "home"}))
    assert has_any(customer("broken"))


def test_addresses_are_compared_trimmed_and_case_folded():
    assert same_address(" Ada@Example.COM ") == same_address("ada@example.com")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"name": "Jane Doe", "displayName": "J"}, "Jane Doe"),
        ({"name": None, "displayName": "Jane"}, "Jane"),
        ({"name": " \n ", "displayName": None}, "jane.d"),
        ({"name": "Jane\n\tDoe"}, "Jane Doe"),
        ({"name": "x" * 2_000_000}, "x" * 200),
        ({"name": ["no", "text"]}, "jane.d"),
    ],
)
def test_the_greeting_is_a_short_line(customer, attributes, name):
    assert greeting(customer("jane.d@example.com", **attributes), "jane.d@example.com") == name
