import threading

from plugins.vendor_api.throttle import Throttle


class Clock:
    """A clock that moves only when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_first_call_is_not_delayed() -> None:
    clock = Clock()
    Throttle(60, clock=clock, sleep=clock.sleep).wait()
    assert clock.slept == []


def test_calls_are_spaced_evenly() -> None:
    clock = Clock()
    throttle = Throttle(120, clock=clock, sleep=clock.sleep)
    for _ in range(4):
        throttle.wait()
    assert clock.slept == [0.5, 0.5, 0.5]


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    clock = Clock()
    throttle = Throttle(60, clock=clock, sleep=clock.sleep)
    throttle.wait()
    clock.now += 600
    throttle.wait()
    throttle.wait()
    assert clock.slept == [1.0]


def test_zero_means_no_limit() -> None:
    clock = Clock()
    throttle = Throttle(0, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        throttle.wait()
    assert clock.slept == []


def test_threads_queue_up_each_with_its_own_turn() -> None:
    slept: list[float] = []
    throttle = Throttle(60, clock=lambda: 0.0, sleep=slept.append)
    threads = [threading.Thread(target=throttle.wait) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slept) == [float(second) for second in range(1, 10)]
