"""The do-not-send attribute, however the organisation fills it."""

import pytest

from include.interactions.opt_out import OFFICIAL_ATTRIBUTES, opt_out_at_send, read_opt_out


@pytest.mark.parametrize("value", [True, "true", "True", " Yes ", "1", 1, 1.0, [True], ["no", "yes"], "on"])
def test_every_way_to_say_yes_is_yes(value):
    assert read_opt_out({"quiet": value}, "quiet") == "yes"


@pytest.mark.parametrize("value", [False, None, "", " ", "false", "No", 0, 0.0, "0", [], [False], {}, "off"])
def test_every_way_to_say_no_is_no(value):
    assert read_opt_out({"quiet": value}, "quiet") == "no"


@pytest.mark.parametrize("value", ["********", "•••", ["*****"], "y****"])
def test_a_mask_says_nothing(value):
    assert read_opt_out({"quiet": value}, "quiet") == "masked"


@pytest.mark.parametrize("value", ["never write to me", 7, 0.5, {"value": False}, [{"a": 1}], object()])
def test_what_cannot_be_read_never_means_send(value):
    assert read_opt_out({"quiet": value}, "quiet") == "yes"


@pytest.mark.parametrize("name", OFFICIAL_ATTRIBUTES)
def test_the_official_attributes_are_obeyed_unless_another_is_configured(name):
    assert read_opt_out({name: True}, None) == "yes"
    assert read_opt_out({name: True}, "quiet") == "no"
    assert read_opt_out({name: True, "quiet": False}, "quiet") == "no"


def test_one_yes_among_the_official_attributes_is_enough():
    no, masked, yes, _ = OFFICIAL_ATTRIBUTES
    assert read_opt_out({no: False, masked: "****", yes: 1}, None) == "yes"
    assert read_opt_out({no: False, masked: "****"}, None) == "masked"


@pytest.mark.parametrize(
    ("planned", "shown", "known"),
    [
        (False, "no", "no"),
        (False, "yes", "yes"),
        (False, "masked", "masked"),
        (False, None, "no"),
        (True, "no", "yes"),
        (True, None, "yes"),
        (None, "no", "no"),  # the key has been replaced since
        (None, "yes", "yes"),
        (None, "masked", "masked"),
        (None, None, "masked"),
    ],
)
def test_at_the_send_the_newest_reading_counts_and_a_yes_stays(planned, shown, known):
    assert opt_out_at_send(planned, shown) == known
