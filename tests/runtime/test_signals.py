"""Signals set a flag, the second ends the work, and the handlers of before come back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from trivium.runtime.signals import stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_sets_the_flag(number):
    with stop_on_signal() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop
        assert stop.signal_number == number


def test_the_second_signal_ends_the_work_at_once():
    with stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_come_back_even_after_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), stop_on_signal():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_works_without_handlers():
    seen = []

    def work():
        with stop_on_signal() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


WORKER = """
import sys, time
from trivium.errors import Interrupted
from trivium.runtime.signals import stop_on_signal
try:
    with stop_on_signal() as stop:
        print("ready", flush=True)
        while not stop:
            time.sleep(0.01)
        print("saved", flush=True)
        raise Interrupted("saved", signal_number=stop.signal_number)
except Interrupted as end:
    sys.exit(end.exit_code)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_saves_and_exits_as_a_shell_expects(number, code):
    process = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert said == "saved\n"
    assert process.returncode == code
