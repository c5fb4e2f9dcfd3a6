"""Server-sent events: the text protocol that answers are streamed in (WHATWG HTML, section 9.2)."""

import codecs
from collections.abc import Iterable, Iterator

from trivium.lm.hosted.failure import MalformedReply

LONGEST_EVENT_CHARACTERS = 4 << 20


def events(chunks: Iterable[bytes], *, longest: int = LONGEST_EVENT_CHARACTERS) -> Iterator[str]:
    """The data of each event in a stream of bytes, however it is cut into chunks: its data lines, with a line break
    between each two. One that the stream does not finish is left out.

    Comments and other fields are passed over: our protocols say in the data what kind of event it is. Raises
    ``MalformedReply`` for an event of more than ``longest`` characters.
    """
    data, size = [], 0
    for line in _lines(chunks, longest):
        if not line:
            if data:
                yield "\n".join(data)
            data, size = [], 0
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
            size += len(value)
            if size > longest:
                raise _too_long(longest)


def _lines(chunks: Iterable[bytes], longest: int) -> Iterator[str]:
    """Lines without what ends them: CR LF, LF, or CR, of which the first may be cut in two by a chunk."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    pieces: list[str] = []  # of a line that has not ended: joined once, however many chunks it comes in
    size, after_cr = 0, False
    for chunk in chunks:
        text = decoder.decode(chunk)
        if not text:
            continue
        if after_cr and text[0] == "\n":
            text = text[1:]
        after_cr = text.endswith("\r")
        *ended, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in ended:
            yield "".join([*pieces, line])
            pieces, size = [], 0
        pieces.append(rest)
        size += len(rest)
        if size > longest:
            raise _too_long(longest)


def _too_long(longest: int) -> MalformedReply:
    return MalformedReply("the service sends an event without an end", expected=f"at most {longest:,} characters")
