"""How far one word is from itself in another context: "bank" of a river and "bank" with money in it.

Embeddings of words know one "bank"; what makes a model understand is that, from layer to layer, its vectors move apart
where the sense is another and stay together where it is the same (Peters et al. 2018, table 4; Ethayarajh 2019). A
model that reads left to right knows at a word only what stood before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trivium.data.tagged import read_words
from trivium.errors import DataError
from trivium.evaluation.layers import Layer, word_vectors
from trivium.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Use:
    """One word in one sentence."""

    words: Sequence[str]
    """The sentence, word by word."""
    place: int
    """Which of them is meant, counted from 0."""
    sense: str
    """What it means there."""

    @classmethod
    def of(cls, sentence: str, word: str, sense: str) -> "Use":
        """The first ``word`` of a sentence whose words stand apart by spaces. `DataError` where there is none."""
        words = sentence.split()
        if word not in words:
            raise DataError("the word is not in the sentence", received=f"{word!r} in {sentence!r}")
        return cls(words=words, place=words.index(word), sense=sense)


@dataclass(frozen=True, kw_only=True)
class Distances:
    """At one layer, means of 1 - cosine: 0 for the same direction, 1 for nothing in common."""

    layer: Layer
    same: float
    """Between two uses of the word in one sense."""
    different: float
    """Between two uses in different senses."""
    anywhere: float
    """Between any two words of different sentences: in many models all vectors point one way, and a small distance
    means little where this one is small too."""
    between: Float[Tensor, "N N"]
    """Between every two uses."""


BANK = (
    Use.of("We sat on the bank of the river and watched the water", "bank", "river"),
    Use.of("The boat drifted slowly to the muddy bank of the stream", "bank", "river"),
    Use.of("Trees grew along the steep bank above the water", "bank", "river"),
    Use.of("She went to the bank to put her money in an account", "bank", "money"),
    Use.of("He borrowed some money from the bank to buy a house", "bank", "money"),
    Use.of("My father works as a clerk in a large bank in the city", "bank", "money"),
)
"""Three uses of "bank" in each of two senses."""


def sense_distances(
    model: nn.Module, tokenizer: Tokenizer, uses: Sequence[Use] = BANK, *, start_id: int | None = None
) -> list[Distances]:
    """How far the ``uses`` of a word are from each other at every layer; a word is read at its first piece.

    Args:
        model: of an encoder-decoder both stacks are measured; then ``start_id`` is what its decoder begins with.
        tokenizer: the model's.
        uses: of one word, in two senses or more, two at least in some of them.
        start_id: see ``model``.

    Raises:
        DataError: no two uses are of one sense, or no two of different ones.
    """
    alike = _alike([use.sense for use in uses])
    apart = _alike(list(range(len(uses)))).logical_not()
    if not bool((alike & apart).any()) or bool(alike.all()):
        raise DataError(
            "there is nothing to compare",
            received=", ".join(use.sense for use in uses),
            expected="two uses of one sense, and one of another",
        )
    vectors = word_vectors(model, read_words(tokenizer, [use.words for use in uses]), start_id=start_id)
    sentence = [number for number, use in enumerate(uses) for _ in use.words]
    first = [sentence.index(number) + use.place for number, use in enumerate(uses)]
    found = []
    for layer, of_words in vectors.items():
        unit = F.normalize(of_words.double(), dim=-1)
        every = 1 - unit @ unit.T
        between = every[first][:, first]
        found.append(
            Distances(
                layer=layer,
                same=float(between[alike & apart].mean()),
                different=float(between[~alike].mean()),
                anywhere=float(every[~_alike(sentence)].mean()),
                between=between,
            )
        )
    return found


def _alike(marks: Sequence[str] | Sequence[int]) -> Bool[Tensor, "N N"]:
    """Whether two marks are the same."""
    return torch.tensor([[one == other for other in marks] for one in marks])
