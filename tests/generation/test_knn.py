"""The mixture of a network and its neighbours, as the equations have it."""

import pytest
import torch
from torch import Tensor, nn

from trivium.errors import ConfigError, DataError
from trivium.generation.decode import decode
from trivium.generation.knn import KnnHead, KnnSettings, knn_log_probs, mixed, retrieving
from trivium.generation.request import requests
from trivium.generation.settings import GenerationSettings
from trivium.models.gpt2 import GPT2, GPT2Config

V, D = 7, 8


class Fixed:
    """Always finds the same places."""

    vocabulary_size = V

    def search(self, queries: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
        distances, tokens = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([3, 5, 3])
        return distances.to(queries).expand(len(queries), 3), tokens.expand(len(queries), 3)


def network() -> nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(vocabulary_size=V, width=D, layers=1, heads=2, context_tokens=16)
    return GPT2(config).double().eval()


def test_equations() -> None:
    hidden, model = torch.randn(2, 3, D, dtype=torch.float64), network()
    settings = KnnSettings(neighbours=3, weight=0.3, temperature=2.0)
    factors = torch.exp(-torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64) / 2.0)
    found = torch.zeros(V, dtype=torch.float64)
    found[3], found[5] = factors[0] + factors[2], factors[1]
    wanted = 0.3 * found / factors.sum() + 0.7 * torch.softmax(model.head(hidden), -1)
    assert torch.allclose(KnnHead(model.head, Fixed(), settings)(hidden).exp(), wanted, atol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_one_part_alone(weight: float) -> None:
    own, found = torch.log_softmax(torch.randn(V), -1), torch.full((V,), float("-inf"))
    assert torch.equal(mixed(own, found, weight), found if weight else own)


def test_a_token_that_no_neighbour_has_is_impossible_for_them() -> None:
    distances, tokens = Fixed().search(torch.zeros(1, D), 3)
    found = knn_log_probs(distances, tokens, V, KnnSettings())
    assert (found > float("-inf")).nonzero()[:, 1].tolist() == [3, 5]


def test_decoding_asks_the_neighbours_and_the_network_is_left_as_it_was() -> None:
    model = network()
    before, names = model.head, list(model.state_dict())

    def answer() -> list[int]:
        asked = requests([[1, 2]], GenerationSettings(max_new_tokens=4, temperature=0.0))
        for _ in decode(model, asked):
            pass
        return asked[0].token_ids

    alone = answer()
    with retrieving(model, Fixed(), KnnSettings(weight=1.0)):
        assert answer() == [3, 3, 3, 3]
    with retrieving(model, Fixed(), KnnSettings(weight=0.0)):
        assert answer() == alone
    assert model.head is before
    assert list(model.state_dict()) == names


def test_refusals() -> None:
    model, other = network(), Fixed()
    other.vocabulary_size = V + 1
    with pytest.raises(DataError, match="not of this network"), retrieving(model, other, KnnSettings()):
        pass
    with pytest.raises(ConfigError, match="mixed in"):
        KnnSettings(weight=1.5)
