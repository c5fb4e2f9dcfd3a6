"""What a row has read and written so far: penalties and constraints look back at it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


class _Held:
    """Tokens as an array with room to spare: each is copied a bounded number of times however many follow."""

    def __init__(self) -> None:
        self.size = 0
        self._room = np.empty(0, dtype=np.int64)

    def extend(self, tokens: Sequence[int]) -> None:
        size = self.size + len(tokens)
        if size > len(self._room):
            grown = np.empty(2 * size, dtype=np.int64)
            grown[: self.size] = self._room[: self.size]
            self._room = grown
        self._room[self.size : size] = np.asarray(tokens, dtype=np.int64)
        self.size = size

    def tensor(self, first: int) -> Tensor:
        return torch.from_numpy(self._room[first : self.size])


@dataclass(frozen=True)
class History:
    """The tokens before the one to be chosen.

    One history may serve all steps of an answer: where ``new`` is the growing answer itself, each step converts only
    the tokens that came since the one before.
    """

    prompt: Sequence[int]
    """What the decoder has read before the answer: the prompt; of an encoder-decoder its start token."""
    new: Sequence[int] = ()
    """The answer so far, to which tokens may be appended."""
    _held: _Held = field(default_factory=_Held, init=False, repr=False, compare=False)

    def tokens(self, *, prompt: bool = True) -> Int[Tensor, "T"]:
        """The answer so far on the CPU, after the prompt unless that is left out; to be read at once, not kept."""
        before = len(self.prompt)
        assert self._held.size <= before + len(self.new), "an answer has lost tokens"
        if self._held.size < before:
            self._held.extend(self.prompt)
        if self._held.size < before + len(self.new):
            self._held.extend(self.new[self._held.size - before :])
        return self._held.tensor(0 if prompt else before)


def places(histories: Sequence[History], vocabulary_size: int, *, prompt: bool) -> Int[Tensor, "N"]:
    """``row * vocabulary_size + token`` for every token of every row, as often as it occurs.

    The prompt counts where ``prompt`` is true. Ids that the vocabulary has not are left out: they cannot be chosen.
    """
    tokens = [history.tokens(prompt=prompt) for history in histories]
    lengths = torch.tensor([len(row) for row in tokens])
    flat = torch.cat(tokens)
    found = torch.arange(len(tokens)).repeat_interleave(lengths) * vocabulary_size + flat
    inside = flat < vocabulary_size
    return found if bool(inside.all()) else found[inside]
