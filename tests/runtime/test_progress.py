"""Progress: what a line says, how often lines come, and silence."""

import io

import pytest

from trivium.runtime import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when told."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


@pytest.fixture
def said(capsys):
    """Everything said on standard error so far, when called."""
    heard = []

    def listen() -> str:
        heard.append(capsys.readouterr().err)
        return "".join(heard)

    return listen


def test_a_line_tells_done_rate_time_left_and_note(clock, said):
    with progress.bar("training", 1000) as bar:
        clock(10.0)
        bar.advance(200, "loss 3.21")
        assert bar.rate == 20
        assert bar.seconds_left == 40
    assert said().splitlines()[0] == "training: 200/1,000 steps, 20 steps/s, 40 s left, loss 3.21"


def test_progress_of_an_earlier_run_is_not_speed(clock, said):
    with progress.bar("training", 100) as bar:
        bar.start_from(50)
        clock(10.0)
        bar.advance(10)
        assert bar.rate == 1
        assert bar.seconds_left == 40


def test_lines_come_early_and_then_each_minute(clock, said):
    moments = []
    with progress.bar("training", 600) as bar:
        for second in range(300):
            before = len(said())
            bar.advance(1)
            if len(said()) > before:
                moments.append(second)
            clock(1.0)
    assert moments == [0, 5, 15, 30, 90, 150, 210, 270]
    assert said().splitlines()[-1].startswith("training: 300/600")


def test_without_a_total_no_time_left_is_promised(clock, said):
    with progress.bar("reading", unit="documents") as bar:
        clock(2.0)
        bar.advance(5)
    assert said().splitlines()[-1] == "reading: 5 documents, 2.5 documents/s"


def test_silence(capsys):
    with progress.bar("training", 2, silent=True) as bar:
        bar.advance(2)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_live_bar(clock, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    with progress.bar("training", 4) as bar:
        clock(1.0)
        bar.advance(4, "loss 1.00")
    assert "4/4 steps" in stream.getvalue()
    assert "loss 1.00" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (42, "42 s"), (60, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_as_people_say_them(seconds, said):
    assert progress.duration(seconds) == said
