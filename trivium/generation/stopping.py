"""When an answer ends, and what of a growing text may already be shown.

Two things make a stream subtle: a character can be spread over several tokens, and the beginning of a
stop text looks like any other text until its end arrives. Both are held back, and nothing else.
"""

from collections.abc import Callable, Sequence

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONGEST_INCOMPLETE = 3  # bytes of a UTF-8 character that can wait for its last one
_LONGEST_HELD = 3 * _LONGEST_INCOMPLETE  # tokens of as many U+FFFD, each of which is at most such a beginning


class TokenText:
    """Tokens in, finished characters out, in time that grows as the number of tokens, whatever they are.

    ``decode`` turns ids into text, with U+FFFD for bytes that are no character. ``context`` is the
    token before the first: some vocabularies write the space between words only when they see both.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(context)
        self._context = len(self._window)  # tokens at its beginning that say how the next is spelt, and no more
        self._text = decode(self._window)
        self._shown = len(self._text)

    def push(self, token: int) -> str:
        """The characters that ``token`` completes."""
        text = self._decode([*self._window, token])
        # Twice, since a space alone at the beginning of a text may have no text either.
        if text == self._text and not self._decode([token, token]):
            return ""
        self._window.append(token)
        if self._context and text[: self._shown] != self._text[: self._shown]:
            # Some vocabularies spell a run of bytes as a whole, and this one has just begun to be no text.
            self._window, self._context, self._shown = self._window[self._context :], 0, 0
            text = self._decode(self._window)
        # A trailing U+FFFD may be a character whose other bytes are still to come.
        waiting = min(len(text) - len(text.rstrip(_REPLACEMENT)), _LONGEST_INCOMPLETE)
        piece = text[self._shown : len(text) - waiting]
        self._text = text
        if piece:
            self._shown += len(piece)
            self._context = 0
        if piece and not waiting:
            self._keep_context()
        elif len(self._window) > 2 * _LONGEST_HELD:
            self._keep_held()
        return piece

    def flush(self) -> str:
        """What was held back, bytes that never became a character included."""
        piece = self._text[self._shown :]
        self._shown = len(self._text)
        return piece

    def _keep_context(self) -> None:
        """All is shown: only the last character matters for how the next token is spelt."""
        count, text = 0, ""
        while count <= _LONGEST_INCOMPLETE and not (text and self._text.endswith(text)):
            count += 1
            text = self._decode(self._window[-count:])
        self._window = self._window[-count:]
        self._context, self._text, self._shown = len(self._window), text, len(text)

    def _keep_held(self) -> None:
        """Of bytes that are no text, all but those that may still become a character are settled."""
        held = self._text[self._shown :]
        text = self._decode(self._window[-_LONGEST_HELD:])
        if text.endswith(held):
            self._window = self._window[-_LONGEST_HELD:]
            self._context, self._text, self._shown = 0, text, len(text) - len(held)


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
