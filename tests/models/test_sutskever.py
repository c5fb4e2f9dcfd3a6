"""The deep encoder-decoder with one fixed context, beyond the contract: the equations and the reversed source."""

import pytest
import torch

from tests.models.equations import lstm
from trivium.errors import ConfigError
from trivium.models.sutskever import SIZES, Sutskever, SutskeverConfig


def build(**changes: object) -> Sutskever:
    torch.manual_seed(1)
    fields = {"vocabulary_size": 11, "embedding_width": 6, "width": 5, "layers": 2, **changes}
    return Sutskever(SutskeverConfig(**fields)).double().eval()


@torch.no_grad()
def test_equations() -> None:
    """Both stacks word by word: the source from its end, the target from the states that it left."""
    model, source, target = build(), [3, 7, 1, 4], [0, 5, 2]
    states = [(torch.zeros(5, dtype=torch.float64),) * 2 for _ in range(2)]
    for word in reversed(source):
        x = model.embedding.weight[word]
        for i in range(2):
            states[i] = lstm(model.blocks[i].rnn, x, *states[i])
            x = states[i][0]
    wanted = []
    for word in target:
        x = model.embedding.weight[word]
        for i in range(2):
            states[i] = lstm(model.blocks[2 + i].rnn, x, *states[i])
            x = states[i][0]
        wanted.append(x)
    hidden = model(torch.tensor([target]), state=model.encode(torch.tensor([source]))).hidden[0]
    torch.testing.assert_close(hidden, torch.stack(wanted), rtol=0, atol=1e-12)


def test_the_last_word_of_the_source_is_read_first() -> None:
    """The first word read has gone through every gate since: in one-word texts it is all there is."""
    model = build(layers=1)
    state = model.encode(torch.tensor([[3, 7, 1]]), capacity=1)
    by_hand = model.blocks[0](model.embed(torch.tensor([[1, 7, 3]])))[1]
    for ours, theirs in zip(state.layers[0].tensors, by_hand.tensors, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    forwards = model.blocks[0](model.embed(torch.tensor([[3, 7, 1]])))[1]
    assert not torch.allclose(state.layers[0].tensors[0], forwards.tensors[0])


def test_published_size() -> None:
    """Section 3.4: 384M parameters, 64M of them recurrent, 32M in each stack. Biases are ours."""
    with torch.device("meta"):
        model = Sutskever(SIZES["sutskever"])
    recurrent = sum(p.numel() for p in model.blocks.parameters() if p.dim() == 2)
    assert recurrent == 64_000_000
    assert sum(p.numel() for p in model.parameters() if p.dim() == 2) == 384_000_000


def test_a_tied_embedding_is_as_wide_as_the_layers() -> None:
    with pytest.raises(ConfigError, match="set embedding_width to 5"):
        SutskeverConfig(embedding_width=6, width=5, tied=True)
