"""kNN-LM: the next token is also looked up among texts (Khandelwal et al. 2020, section 2).

    p(y | x) = lambda p_kNN(y | x) + (1 - lambda) p_LM(y | x)                              eq. 3
    p_kNN(y | x) = sum over neighbours (k_i, v_i = y) of exp(-d(k_i, f(x))) / Z             eq. 2

f(x) is the hidden state that predicts the next token, d the squared distance. All of it is in the head: whatever asks
the network for logits within `retrieving` (sampling, searches, speculation, scores) is given those of the mixture.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class KnnSettings:
    """How much is looked up, and how much it counts."""

    neighbours: int = 1024
    """Places k that are retrieved for a token."""
    weight: float = 0.25
    """lambda, the share of what is retrieved; 0.25 in section 4.1 of the paper."""
    temperature: float = 1.0
    """Squared distances are divided by it: above 1 the neighbours count more alike."""

    def __post_init__(self) -> None:
        if self.neighbours < 1 or not 0 <= self.weight <= 1 or not 0 < self.temperature < math.inf:
            raise ConfigError(
                "neighbours cannot be mixed in like this",
                received=f"neighbours {self.neighbours}, weight {self.weight}, temperature {self.temperature}",
                expected="at least one neighbour, a weight from 0 to 1, and a temperature above 0",
            )


@runtime_checkable
class Neighbours(Protocol):
    """Places of texts that hidden states can be compared with; `trivium.lm.datastore` keeps them on disk."""

    vocabulary_size: int
    """Ids of the tokens are below it."""

    def search(self, queries: Float[Tensor, "Q D"], neighbours: int) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
        """Squared distances of the nearest places, the nearest first, and the token that followed at each."""
        ...


class KnnHead(nn.Module):
    """An output head whose logits are the logarithm of the mixture."""

    def __init__(self, head: nn.Module, neighbours: Neighbours, settings: KnnSettings) -> None:
        super().__init__()
        self.head, self.neighbours, self.settings = head, neighbours, settings

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B V"]:
        """log p of every token; -inf for one that neither part knows. Without a gradient for what is retrieved."""
        logits, weight = self.head(hidden), self.settings.weight
        own = torch.log_softmax(logits, dim=-1)
        rows = hidden.reshape(-1, hidden.shape[-1])
        found = knn_log_probs(*self.neighbours.search(rows, self.settings.neighbours), logits.shape[-1], self.settings)
        return mixed(own, found.view(own.shape).to(own.dtype), weight)


def knn_log_probs(
    distances: Float[Tensor, "Q k"], tokens: Int[Tensor, "Q k"], vocabulary_size: int, settings: KnnSettings
) -> Float[Tensor, "Q V"]:
    """Logarithm of eq. 2: the probabilities of neighbours with one token are added up."""
    weights = torch.softmax(-distances / settings.temperature, dim=-1)
    return weights.new_zeros(distances.shape[0], vocabulary_size).scatter_add_(-1, tokens, weights).log()


def mixed(own: Float[Tensor, "*B"], found: Float[Tensor, "*B"], weight: float) -> Float[Tensor, "*B"]:
    """Logarithm of eq. 3, from logarithms."""
    if weight in (0.0, 1.0):  # log 0 + -inf would be no number
        return found if weight else own
    return torch.logaddexp(own + math.log1p(-weight), found + math.log(weight))


@contextmanager
def retrieving(network: nn.Module, neighbours: Neighbours, settings: KnnSettings) -> Iterator[None]:
    """Within it ``network`` answers with what ``neighbours`` know; afterwards as before.

        with retrieving(model.network, datastore, KnnSettings(weight=0.25)):
            model.generate("Once upon a time", max_new_tokens=20)

    ``DataError`` where the neighbours are those of another network.
    """
    vocabulary_size = network.config.vocabulary_size
    if neighbours.vocabulary_size != vocabulary_size:
        raise DataError(
            "these neighbours are not of this network",
            received=f"a vocabulary of {neighbours.vocabulary_size}",
            expected=f"a vocabulary of {vocabulary_size}",
            fix="build a datastore with the network that is to use it",
        )
    head = network.head
    assert isinstance(head, nn.Module)
    network.head = KnnHead(head, neighbours, settings)
    try:
        yield
    finally:
        network.head = head
