"""What words alone tell of two answers: the baseline that a reward model must beat.

The logarithms of the counts of the commonest words of the one answer, less those of the other, and a logistic
regression on them: Bradley and Terry's model whose score is linear in word counts.
"""

import collections
import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.evaluation.logistic import fit_logistic

Pair = tuple[str, str]
"""(better, worse)."""
_WORDS, _MOST_PAIRS = 1000, 4000
_L2 = 0.1
_WORD = re.compile(r"\w+")


def right_by_words(training: Sequence[Pair], held_out: Sequence[Pair]) -> list[bool]:
    """Whether words alone tell which answer of each held-out pair is the better, learnt from at most 4,000 others."""
    chosen = [training[index * len(training) // n] for n in [min(len(training), _MOST_PAIRS)] for index in range(n)]
    counts = collections.Counter(word for pair in chosen for text in pair for word in _words(text))
    number = {word: index for index, (word, _) in enumerate(counts.most_common(_WORDS))}
    # Every other pair the other way round: the two classes are as common, and the bias has nothing to say.
    signs = torch.tensor([1.0 if index % 2 else -1.0 for index in range(len(chosen))])
    features = _differences(chosen, number) * signs[:, None]
    fitted = fit_logistic(features, (signs > 0).long(), 2, l2=_L2)
    return fitted.predict(_differences(held_out, number)).bool().tolist()


def right_by_words_of_the_rest(pairs: Sequence[Pair], groups: Sequence[int], *, parts: int = 5) -> list[bool]:
    """The same without other data: each of ``parts`` of the pairs is told from what the rest teaches. Pairs of one
    group stand in one part."""
    assert len(pairs) == len(groups)
    places = {group: index % parts for index, group in enumerate(dict.fromkeys(groups))}
    found = [False] * len(pairs)
    for part in range(parts):
        own = [index for index, group in enumerate(groups) if places[group] == part]
        rest = [pairs[index] for index, group in enumerate(groups) if places[group] != part]
        for index, right in zip(own, right_by_words(rest, [pairs[index] for index in own]) if own else [], strict=True):
            found[index] = right
    return found


def _differences(pairs: Sequence[Pair], number: dict[str, int]) -> Float[Tensor, "N D"]:
    better, worse = ([pair[side] for pair in pairs] for side in (0, 1))
    return _counted(better, number) - _counted(worse, number)


def _counted(texts: Sequence[str], number: dict[str, int]) -> Float[Tensor, "N D"]:
    counts = torch.zeros(len(texts), max(1, len(number)))
    for row, text in enumerate(texts):
        for word in _words(text):
            if word in number:
                counts[row, number[word]] += 1
    return counts.log1p()


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
