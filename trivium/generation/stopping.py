"""When an answer ends, and what of a growing text may already be shown.

Two things make a stream subtle: a character can be spread over several tokens, and the beginning of a
stop text looks like any other text until its end arrives. Both are held back, and nothing else.
"""

from collections.abc import Callable, Sequence

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST_INCOMPLETE = 3  # bytes of a UTF-8 character that can wait for its last one


class TokenText:
    """Tokens in, finished characters out.

    ``decode`` turns ids into text, with U+FFFD for bytes that are no character. ``context`` is the
    token before the first: some vocabularies write the space between words only when they see both.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(context)
        self._shown = len(decode(self._window))

    def push(self, token: int) -> str:
        """The characters that ``token`` completes."""
        self._window.append(token)
        text = self._decode(self._window)
        # A trailing U+FFFD may be a character whose other bytes are still to come.
        waiting = min(len(text) - len(text.rstrip(_REPLACEMENT)), _LONGEST_INCOMPLETE)
        piece = text[self._shown : len(text) - waiting]
        self._shown += len(piece)
        if piece and not waiting:
            # Only the last token matters for how the next is spelt: the window never grows with the text.
            self._window = self._window[-1:]
            self._shown = len(self._decode(self._window))
        return piece

    def flush(self) -> str:
        """What was held back, bytes that never became a character included."""
        text = self._decode(self._window)
        piece = text[self._shown :]
        self._shown = len(text)
        return piece


class StopText:
    """Text in, the same text out up to the first of ``stops``.

    Of several stop texts the one that is complete first ends the answer, so the result does not
    depend on how the text was cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        assert all(stops), "an empty stop text"
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """What may be shown now; ``stopped`` becomes true when a stop text is complete."""
        assert not self.stopped
        text = self._held + piece
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """The beginning of a stop text that was never finished."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``stop``, but not all of it."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
