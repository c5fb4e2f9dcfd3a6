"""A network with a larger vocabulary: every weight as it was, and a row for each new piece.

A row that is drawn at random lies far from where rows of a trained model lie, and the output gives its piece to every
text. The mean of the rows of the pieces that it was spelt by begins where they are (Hewitt 2021, "Initializing New Word
Embeddings for Pretrained Language Models"; Sachidananda et al. 2021, section 3.2).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models import architecture
from trivium.models.scored import ScoredConfig


@torch.no_grad()
def grown(network: nn.Module, made_of: Mapping[int, Sequence[int]]) -> nn.Module:
    """A copy of ``network`` in which each id of ``made_of`` has the mean of the rows of the ids that it is made of.

    Embedding, output layer and its bias grow; ids beyond those that the network has rows for get new ones, ids that it
    has rows for (a vocabulary filled up to a round number) are written over. Raises ``Unsupported`` where other
    weights than rows depend on the size of the vocabulary.
    """
    config: Any = network.config
    if isinstance(config, ScoredConfig):
        raise Unsupported(
            "a model that scores texts keeps the vocabulary that it was trained with",
            received=", ".join(config.labels),
            fix="extend the language model, and train its scores then",
        )
    old, rows = config.vocabulary_size, max(config.vocabulary_size, max(made_of, default=-1) + 1)
    entry = architecture(config.to_hf()["model_type"])
    with torch.device("meta"):
        larger = entry.model_class()(dataclasses.replace(config, vocabulary_size=rows))
        # One more than any: what differs in it depends on the vocabulary, and not on a size that happens to be equal.
        other = entry.model_class()(dataclasses.replace(config, vocabulary_size=rows + 1)).state_dict()
    values = network.state_dict()
    by_size = {name for name, value in values.items() if value.shape != other[name].shape}
    odd = [name for name in by_size if other[name].shape != (rows + 1, *values[name].shape[1:])]
    if odd:
        raise Unsupported("the vocabulary of this network cannot grow", received=", ".join(sorted(odd)))
    larger = larger.to_empty(device="cpu").to(next(network.parameters()).dtype)
    for name, target in larger.state_dict().items():
        value = values[name].to(target.device)
        if name not in by_size:
            target.copy_(value)
            continue
        target[:old] = value
        for number, parts in made_of.items():
            target[number] = _mean(value, parts)
    return larger.train(network.training)


def _mean(value: Tensor, parts: Sequence[int]) -> Tensor:
    return value[torch.tensor(parts)].float().mean(0).to(value.dtype)
