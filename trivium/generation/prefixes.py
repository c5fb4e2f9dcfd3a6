"""States of texts that were read before, for prompts that begin alike: a system prompt, a conversation so far."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trivium.errors import Unsupported
from trivium.nn.state import State


@dataclass(frozen=True)
class _Known:
    ids: tuple[int, ...]
    state: State  # one row that has read exactly these


class PrefixCache:
    """Remembers the states of the last texts read, ``tokens`` of them together.

    What it holds is true of the weights it was read with: begin a new one when they change. Texts are kept by the name
    of the adapter that read them. A recurrent state cannot be rolled back, and a sliding window only a little, so there
    a text helps only those that go on from its end.
    """

    def __init__(self, tokens: int = 16_384) -> None:
        assert tokens > 0, tokens
        self._room = tokens
        self._known: OrderedDict[tuple[str | None, tuple[int, ...]], _Known] = OrderedDict()
        self.reused_tokens = 0
        """Tokens that need not be read again, over all look-ups."""

    def find(self, adapter: str | None, prompt: Sequence[int]) -> tuple[int, State | None]:
        """How many of the prompt's first tokens are known, and their state, of which the caller becomes the owner.

        At least the last token is left to read: what comes after it is not known.
        """
        best, length = None, 0
        for key, known in self._known.items():
            if key[0] != adapter:
                continue
            common = min(_common(known.ids, prompt), len(prompt) - 1)
            if common > length and _rolls_back(known.state, len(known.ids) - common):
                best, length = key, common
        if best is None:
            return 0, None
        self._known.move_to_end(best)
        known = self._known[best]
        state = known.state.take(torch.zeros(1, dtype=torch.long, device=known.state.lengths.device))
        forgotten = len(known.ids) - length
        self.reused_tokens += length
        return length, state.rollback(state.lengths - forgotten) if forgotten else state

    def keep(self, adapter: str | None, ids: Sequence[int], state: State) -> None:
        """Remembers a ``state`` of one row that has read ``ids``; those that have waited longest give way."""
        key = (adapter, tuple(ids))
        if len(ids) > self._room or not ids:
            return
        # Only as long as it need be, however long the answer could have become.
        self._known[key] = _Known(key[1], state.reserve(1, int(state.lengths.max())))
        self._known.move_to_end(key)
        for other in [other for other in self._known if other != key and _begins(key, other)]:
            if _rolls_back(state, len(ids) - len(other[1])):  # the longer text serves wherever a beginning of it would
                del self._known[other]
        while sum(len(known.ids) for known in self._known.values()) > self._room:
            self._known.popitem(last=False)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    for place, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return place
    return min(len(a), len(b))


def _begins(whole: tuple[str | None, tuple[int, ...]], other: tuple[str | None, tuple[int, ...]]) -> bool:
    """Whether ``other`` is a beginning of ``whole``, read with the same adapter."""
    return whole[0] == other[0] and whole[1][: len(other[1])] == other[1]


def _rolls_back(state: State, tokens: int) -> bool:
    """Whether the last ``tokens`` can be forgotten."""
    try:
        if tokens:
            state.rollback(state.lengths - tokens)
    except Unsupported:
        return False
    return True
