import email.utils
import time

import pytest
from tenacity import Future, RetryCallState, Retrying

from plugins.vendor_api.errors import OutcomeUnknown, RateLimited, VendorApiError
from plugins.vendor_api.waiting import MAX_WAIT_SECONDS, before_next_read, requested_wait


def after(fault: VendorApiError, attempt: int = 1) -> float:
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.outcome = Future.construct(attempt, fault, has_exception=True)
    return before_next_read(state)


def test_retry_after_in_seconds_is_obeyed() -> None:
    assert requested_wait(429, {"Retry-After": "12"}) == 12


def test_retry_after_as_a_date_is_obeyed() -> None:
    date = email.utils.format_datetime(email.utils.localtime().fromtimestamp(time.time() + 100).astimezone())
    assert requested_wait(503, {"Retry-After": date}) == pytest.approx(100, abs=5)


def test_the_reset_is_epoch_seconds_as_text() -> None:
    assert requested_wait(429, {"x-ratelimit-reset": str(time.time() + 40)}) == pytest.approx(40, abs=5)


def test_retry_after_goes_before_the_reset() -> None:
    headers = {"Retry-After": "3", "x-ratelimit-reset": str(time.time() + 40)}
    assert requested_wait(429, headers) == 3


def test_the_reset_counts_only_after_a_429() -> None:
    assert requested_wait(500, {"x-ratelimit-reset": str(time.time() + 40)}) is None


def test_a_reset_in_the_past_asks_for_no_wait() -> None:
    assert requested_wait(429, {"x-ratelimit-reset": "1000"}) == 0


@pytest.mark.parametrize("nonsense", ["", "soon", "nan", "inf"])
def test_nonsense_in_the_headers_is_no_request(nonsense: str) -> None:
    assert requested_wait(429, {"Retry-After": nonsense, "x-ratelimit-reset": nonsense}) is None


def test_a_wait_is_at_least_what_was_asked_for() -> None:
    assert 12 < after(RateLimited("x", retry_after=12)) < 14


def test_no_wait_is_longer_than_the_cap() -> None:
    assert after(RateLimited("x", retry_after=100_000)) == MAX_WAIT_SECONDS


def test_without_a_wish_of_the_vendor_waits_grow() -> None:
    assert after(OutcomeUnknown("x"), 1) < 3 < after(OutcomeUnknown("x"), 3) < after(OutcomeUnknown("x"), 5)


def test_a_reset_that_seems_past_still_backs_off() -> None:
    assert after(RateLimited("x", retry_after=0.0), 4) >= 8
