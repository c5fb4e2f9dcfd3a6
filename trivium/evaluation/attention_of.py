"""Where one word looks: what "it" stands for in "The tiger jumped out of a tree to get a drink because it was thirsty".

found = attention_of(model, tokenizer, TIGER, "it")
found.weights[layer, head]              # how the attention of "it" is shared out over the words, [words]
found.heads_for("tiger", 5)             # the heads in which it looks most at the tiger

The pieces of a word count as one: attention to it is the sum over its pieces, and attention from it their mean (Clark
et al. 2019, section 4.1).
"""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.errors import DataError
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

TIGER = "The tiger jumped out of a tree to get a drink because it was thirsty"
"""The sentence of the people who first showed it: the animal, not the tree, is thirsty (Uszkoreit 2017)."""

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class WordAttention:
    """The attention of one word, in every layer and head."""

    words: Sequence[str]
    """All words of the sentence, with the special tokens around it."""
    place: int
    """Which of them looks."""
    weights: Float[Tensor, "L H W"]
    """How its attention is shared out over the words, for each layer from the lowest and each head; each row sums
    to 1."""

    def by_layer(self) -> Float[Tensor, "L W"]:
        """The mean over the heads."""
        return self.weights.mean(1)

    def heads_for(self, word: str, count: int) -> list[tuple[int, int]]:
        """(layer, head), counted from 0, of the heads that look most at ``word``, the most first.

        Raises ``DataError`` where the sentence has no such word."""
        weights = self.weights[:, :, _place(self.words, word)]
        order = weights.flatten().argsort(descending=True, stable=True)[:count].tolist()
        return [divmod(index, weights.shape[1]) for index in order]


def words_of(sentence: str) -> list[str]:
    """The words of a sentence, and its punctuation marks, one by one."""
    return _WORD.findall(sentence)


@torch.no_grad()
def attention_of(
    model: nn.Module, tokenizer: Tokenizer, sentence: str = TIGER, word: str = "it", *, encoder: bool = False
) -> WordAttention:
    """Where the first ``word`` of ``sentence`` looks.

    ``encoder`` is for an encoder-decoder: its encoder is looked at. Raises ``DataError`` where the sentence has no such
    word, and ``Unsupported`` where the model has no attention.
    """
    _place(words_of(sentence), word)
    (joined,) = tokenizer.encode_joined([sentence], offsets=True)
    words, members = _words(tokenizer, joined, sentence)
    place = _place(words, word)
    tokens = torch.tensor([joined.ids], device=next(model.parameters()).device)
    read = model.eval().read if encoder else model.eval()
    layers = read(tokens, collect=("attention",)).collected["attention"]
    looking = members[:, place] / members[:, place].sum()
    weights = [torch.einsum("q,hqk,kw->hw", looking, each[0].double().cpu(), members) for each in layers]
    return WordAttention(words=words, place=place, weights=torch.stack(weights).float())


def _words(tokenizer: Tokenizer, joined: Joined, sentence: str) -> tuple[list[str], Float[Tensor, "T W"]]:
    """The words in the order of the ids, and 1 for each id at its word. A special token is a word of its own; white
    space is of the word after it."""
    spans = [match.span() for match in _WORD.finditer(sentence)]
    ends = [end for _, end in spans]
    words: list[str] = []
    owners: list[int] = []
    last: int | None = None
    for id, side, (start, _) in zip(joined.ids, joined.sides, joined.offsets, strict=True):
        number = None if side is None else min(bisect.bisect_right(ends, start), len(spans) - 1)
        if number is None or number != last:
            words.append(tokenizer.token(id) if number is None else sentence[slice(*spans[number])])
        owners.append(len(words) - 1)
        last = number
    return words, F.one_hot(torch.tensor(owners), len(words)).double()


def _place(words: Sequence[str], word: str) -> int:
    if word not in words:
        raise DataError("the word is not in the sentence", received=repr(word), expected=f"one of {', '.join(words)}")
    return list(words).index(word)
