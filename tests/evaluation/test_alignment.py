"""Alignments are the attention that the words were written with."""

import pytest
import torch

from trivium.errors import Unsupported
from trivium.evaluation.alignment import alignment
from trivium.models.cho import Cho, ChoConfig
from trivium.models.luong import Luong, LuongConfig
from trivium.models.transformer import Transformer, TransformerConfig

SOURCE, TARGET = [3, 4, 5, 1], [6, 7, 1]


@pytest.mark.parametrize("feeding", [True, False])
def test_each_row_is_where_that_token_was_written_from(feeding: bool):
    """Token by token with a cache, as it is written."""
    shape = {"vocabulary_size": 9, "embedding_width": 4, "width": 6, "layers": 1, "start_id": 2}
    model = Luong(LuongConfig(**shape, input_feeding=feeding)).eval()
    found = alignment(model, SOURCE, TARGET)
    assert found.shape == (3, 4)
    torch.testing.assert_close(found.sum(-1), torch.ones(3))
    state = model.encode(torch.tensor([SOURCE]), capacity=3)
    for row, token in enumerate([2, *TARGET[:-1]]):
        output = model(torch.tensor([[token]]), state=state, collect=("cross_attention",))
        state = output.state
        torch.testing.assert_close(found[row], output.collected["cross_attention"][0][0, 0, 0].detach())


def test_of_a_transformer_it_is_the_layer_before_the_last():
    config = TransformerConfig(vocabulary_size=9, width=8, layers=3, heads=2, inner_width=16, start_id=2)
    model = Transformer(config).eval()
    state = model.encode(torch.tensor([SOURCE]))
    begun = torch.tensor([[2, *TARGET[:-1]]])
    layers = model(begun, state=state, collect=("cross_attention",)).collected["cross_attention"]
    torch.testing.assert_close(alignment(model, SOURCE, TARGET), layers[1][0].mean(0).detach())


def test_one_fixed_context_has_none():
    model = Cho(ChoConfig(vocabulary_size=9, embedding_width=4, width=6, readout_width=4))
    with pytest.raises(Unsupported, match="one fixed context"):
        alignment(model, SOURCE, TARGET)
