"""Server-sent events, however they are cut."""

import pytest

from trivium.lm.hosted.failure import MalformedReply
from trivium.lm.hosted.sse import events

STREAM = (
    "\ufeff: a comment\nevent: first\ndata: one\ndata:two\nid: 7\nretry: 10\n\n"
    "data\n\n\n"
    "event: nothing\n\n"
    "data:  é€\r\n\r\ndata: last\r\r"
    "data: never finished\n"
).encode()
FOUND = ["one\ntwo", "", " é€", "last"]


def test_events_are_the_same_however_the_bytes_are_cut() -> None:
    for size in (1, 2, 3, 5, 7, len(STREAM)):
        chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
        assert list(events(chunks)) == FOUND, size


def test_events_come_as_soon_as_they_are_whole() -> None:
    def chunks():
        yield b"data: a\n\nda"
        raise AssertionError("read too far")

    assert next(events(chunks())) == "a"
    assert next(events(iter([b"data: a\r\n\r"]))) == "a"


@pytest.mark.parametrize("chunk", [b"data: 12345678901", b"data: 123456\ndata: 123456\n"])
def test_an_event_without_an_end_is_refused(chunk: bytes) -> None:
    with pytest.raises(MalformedReply, match="without an end"):
        list(events([chunk], longest=10))
