"""How the number of requests under way follows what Stella Connect bears."""

from include.interactions.sender_limit import MIN_SENDERS, START_SENDERS, SenderLimit


def test_it_starts_small_grows_with_each_taken_request_and_ends_at_the_setting() -> None:
    limit = SenderLimit(most=12)
    assert limit.at_once == START_SENDERS
    for _ in range(100):
        limit = limit.raised()
    assert limit.at_once == 12


def test_each_failure_halves_it_down_to_a_few() -> None:
    limit = SenderLimit(most=64, number=64)
    seen = []
    for _ in range(6):
        limit = limit.lowered()
        seen.append(limit.at_once)
    assert seen == [32, 16, 8, 4, MIN_SENDERS, MIN_SENDERS]


def test_the_setting_is_never_exceeded() -> None:
    assert SenderLimit(most=1).at_once == 1
    assert SenderLimit(most=1).raised().at_once == 1
