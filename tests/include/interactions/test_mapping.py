from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from include.interactions.closing_facts import ClosingFacts, languages_of
from include.interactions.mapping import Brand, Channel, Country, Filer, Filing, Language, Properties, Unmapped
from include.interactions.names import Names

NAMES = Names({"brand": {"b1": "Brand A", "b2": "Brand B", "b3": "brand b"}, "queue": {"q1": "Night shift"}})


def filed(*, names=NAMES, properties=None, **given):
    """What a closing with the values `given["values"]` is filed under by the mapping in the other arguments."""
    types = {"channel": Channel, "brand": Brand, "language": Language, "country": Country}
    values = {source: tuple(texts) for source, texts in given.pop("values", {}).items()}
    fields = {"channel": "email"} | {
        name: TypeAdapter(types[name]).validate_python(field) for name, field in given.items()
    }
    properties = TypeAdapter(Properties).validate_python(properties or {})
    facts = ClosingFacts("c1", datetime(2026, 1, 1, tzinfo=UTC), values)
    return Filer(fields, properties, names).file(facts)


def test_texts_are_sent_as_they_stand():
    assert filed(channel="phone", brand="brand-a", language="fr_ca", country="ca") == Filing(
        "phone", "brand-a", "fr-CA", "CA"
    )


def test_without_any_mapping_only_the_channel_is_sent():
    assert filed() == Filing("email")


@pytest.mark.parametrize(
    ("value", "sent"),
    [("b1", "a"), ("b2", "b"), ("b3", "b")],
    ids=["a name", "another name", "a name that two have"],
)
def test_a_map_may_say_names(value, sent):
    mapping = {"from": "brand", "map": {"brand a ": "a", "Brand B": "b"}}

    assert filed(brand=mapping, values={"brand": [value]}).brand == sent


def test_a_map_may_say_ids_even_if_no_name_was_read():
    assert (
        filed(brand={"from": "brand", "map": {"B9": "nine"}}, values={"brand": ["b9"]}, names=Names()).brand
        == "nine"
    )


def test_the_first_value_with_an_entry_decides():
    mapping = {"from": "tag", "map": {"Two": "2", "three": "3"}}

    assert filed(brand=mapping, values={"tag": ["one", "three", "two"]}, names=Names()).brand == "3"


@pytest.mark.parametrize("values", [{"brand": ["b2"]}, {}], ids=["another brand", "no brand"])
def test_without_a_match_the_default_is_sent(values):
    mapping = {"from": "brand", "map": {"Brand A": "a"}, "default": "other"}

    assert filed(brand=mapping, values=values).brand == "other"


def test_without_a_match_and_a_default_it_is_unmapped_and_the_value_is_named():
    assert filed(brand={"from": "brand", "map": {"Brand A": "a"}}, values={"brand": ["b2"]}) == Unmapped(
        "brand", "brand: no entry for brand 'Brand B'"
    )


def test_without_a_value_and_a_default_it_is_unmapped():
    assert filed(language={"from": "language"}) == Unmapped(
        "language", "language: the closing has no value of language"
    )


def test_the_value_of_a_custom_attribute_is_never_told():
    mapping = {"from": "customer.custom.cityStr", "map": {"Paris": "FR"}}

    assert filed(country=mapping, values={"customer.custom.cityStr": ["Jane's home"]}) == Unmapped(
        "country", "country: no entry for this value of customer.custom.cityStr"
    )


def test_a_default_of_null_leaves_the_field_out():
    assert filed(country={"from": "custom.countryStr", "default": None}).country is None


def test_a_channel_cannot_be_left_out():
    with pytest.raises(ValidationError, match="refuses a request without a channel"):
        filed(channel={"from": "channel", "default": None})


def test_without_a_map_the_name_is_sent():
    assert filed(brand={"from": "brand"}, values={"brand": ["b1"]}).brand == "Brand A"


@pytest.mark.parametrize(
    ("kustomers", "sent"),
    [
        ("fr_CA", "fr-CA"),
        ("fr_ca", "fr-CA"),
        ("en", "en"),
        ("zh_Hans_CN", "zh-CN"),
        ("es_419", "es"),
        ("pt-br", "pt-BR"),
    ],
)
def test_languages_are_written_as_stella_connect_wants_them_without_a_map(kustomers, sent):
    assert filed(language={"from": "language"}, values={"language": languages_of([kustomers])}).language == sent


@pytest.mark.parametrize("key", ["fr_ca", "fr-CA", "FR_CA"])
def test_a_map_of_languages_may_use_either_spelling(key):
    mapping = {"from": "language", "map": {key: "fr_FR"}}

    assert filed(language=mapping, values={"language": languages_of(["fr_CA"])}).language == "fr-FR"


def test_a_map_of_languages_tells_scripts_apart():
    mapping = {"from": "language", "map": {"zh_Hant": "zh-TW", "zh_Hans": "zh-CN"}}

    assert filed(language=mapping, values={"language": languages_of(["zh_Hant"])}).language == "zh-TW"


def test_a_language_may_come_from_a_custom_attribute():
    assert filed(language={"from": "custom.langStr"}, values={"custom.langStr": ["de_at"]}).language == "de-AT"


@pytest.mark.parametrize("text", ["klingon", "", "e", "12", "CA", "fil"])
def test_what_is_no_language_is_unmapped(text):
    assert isinstance(filed(language={"from": "custom.langStr"}, values={"custom.langStr": [text]}), Unmapped)


def test_what_is_no_country_is_unmapped():
    mapping = {"from": "customer.custom.countryStr"}

    assert filed(country=mapping, values={"customer.custom.countryStr": ["be"]}).country == "BE"
    assert isinstance(filed(country=mapping, values={"customer.custom.countryStr": ["Belgium"]}), Unmapped)


def test_a_masked_value_is_never_sent():
    mapping = {"from": "custom.brandStr", "default": "other"}

    assert filed(brand=mapping, values={"custom.brandStr": ["*****"]}).brand == "other"
    assert (
        filed(properties={"card": "custom.cardStr"}, values={"custom.cardStr": ["****1234"]}).custom_properties
        == {}
    )


def test_custom_properties_are_flat_texts():
    filing = filed(
        properties={
            "queue": "queue",
            "plan": "custom.planStr",
            "tags": "tag",
            "none": "custom.noneStr",
            "l": "language",
        },
        values={
            "queue": ["q1"],
            "custom.planStr": ["a 5* plan"],
            "tag": ["one", "two"],
            "language": languages_of(["zh_Hans_CN"]),
        },
    )

    assert filing.custom_properties == {
        "queue": "Night shift",
        "plan": "a 5* plan",
        "tags": "one, two",
        "l": "zh-CN",
    }


def test_long_custom_properties_are_cut():
    filing = filed(
        properties={"a": "custom.aStr", "b": "custom.bStr"},
        values={"custom.aStr": ["x" * 2001], "custom.bStr": ["x" * 2000]},
    )

    assert [len(text) for text in filing.custom_properties.values()] == [2000, 2000]


@pytest.mark.parametrize(
    "mapping",
    [
        {"map": {"a": "b"}},
        {"from": "brand", "map": {}},
        {"from": "brand", "else": "x"},
        {"from": "brand", "map": {"": "b"}},
        3,
    ],
)
def test_a_mapping_of_another_shape_is_refused(mapping):
    with pytest.raises(ValidationError):
        filed(brand=mapping)
