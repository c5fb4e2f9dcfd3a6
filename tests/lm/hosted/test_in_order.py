"""Several at once, and in order."""

import threading

import pytest

from trivium.lm.hosted.in_order import in_order


def test_answers_keep_the_order_however_they_come() -> None:
    gates = [threading.Event() for _ in range(6)]
    gates[5].set()

    def work(number: int) -> int:
        assert gates[number].wait(10)
        if number:
            gates[number - 1].set()  # each ends after the one behind it
        return number * number

    assert list(in_order(work, range(6), threads=6)) == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_no_more_threads_than_allowed(threads: int) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return number

    assert list(in_order(work, list(range(50)), threads=threads)) == list(range(50))
    assert most <= threads
    assert list(in_order(work, [], threads=threads)) == []


def test_an_error_comes_in_its_turn_and_begins_nothing_more() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    found = in_order(work, list(range(1000)), threads=2)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(found)
    assert len(begun) < 1000


def test_ctrl_c_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    never, begun = threading.Event(), []

    def work(number: int) -> int:
        begun.append(number)
        if number:
            never.wait(20)
        return number

    found = in_order(work, list(range(9)), threads=2)
    assert next(found) == 0
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt)
    never.set()
    assert len(begun) <= 4
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
