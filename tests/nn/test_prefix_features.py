"""Features of every prefix, read on token by token, are those of the prefixes read again from their beginning."""

import pytest
import torch
from torch import Tensor

from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.nn.classification_head import pool
from trivium.nn.prefix_features import PrefixFeatures

V, E = 11, 6
WINDOWS, FILTERS = (1, 2, 5), (4, 3, 7)


def build(windows: tuple[int, ...] = WINDOWS, filters: tuple[int, ...] = FILTERS) -> PrefixFeatures:
    torch.manual_seed(3)
    return PrefixFeatures(V, E, windows, filters).double()


def read_again(leak: PrefixFeatures, tokens: Tensor) -> Tensor:
    """[B, T, F] of rows that begin with a start: each prefix by itself, its padding garbage."""
    lengths = [torch.full((tokens.shape[0],), n) for n in range(tokens.shape[1])]
    return torch.stack([leak(tokens[:, 1:], n) for n in lengths], dim=1)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 1, 4], [2, 7], [7, 2]], ids=str)
@pytest.mark.parametrize(("windows", "filters"), [(WINDOWS, FILTERS), ((1,), (4,)), ((12, 3), (2, 5))], ids=str)
def test_read_on_is_read_again(windows: tuple, filters: tuple, pieces: list[int]) -> None:
    leak, tokens = build(windows, filters), torch.randint(V, (3, 9))
    carried, before, found = leak.empty(3), torch.zeros(3, dtype=torch.long), []
    for piece in tokens.split(pieces, dim=1):
        lengths = torch.full((3,), piece.shape[1])
        features, carried = leak.read(leak.embed(piece), before, lengths, carried)
        found.append(features)
        before = before + lengths
    same(torch.cat(found, dim=1), read_again(leak, tokens))


def test_rows_of_unequal_length_are_read_on_each_from_its_own_end() -> None:
    leak, tokens = build(), torch.randint(V, (4, 12))
    expected = read_again(leak, tokens)
    carried, before = leak.empty(4), torch.zeros(4, dtype=torch.long)
    for step in ([3, 0, 1, 7], [2, 5, 0, 1], [7, 3, 2, 4]):
        lengths, longest = torch.tensor(step), max(step)
        piece = torch.randint(V, (4, longest))  # garbage beyond a row's end
        for row, n in enumerate(step):
            piece[row, :n] = tokens[row, before[row] : before[row] + n]
        features, carried = leak.read(leak.embed(piece), before, lengths, carried)
        for row, n in enumerate(step):
            same(features[row, :n], expected[row, before[row] : before[row] + n])
        before = before + lengths


def test_they_are_the_features_of_a_discriminator_of_the_same_weights() -> None:
    config = TextCNNConfig(vocabulary_size=V, width=E, windows=WINDOWS, filters=FILTERS, highway=True)
    judge, leak = TextCNN(config).double().eval(), build()
    for ours, theirs in (
        (leak.embedding, judge.embedding),
        (leak.blocks, judge.blocks),
        (leak.highway, judge.classify.transform),
    ):
        ours.load_state_dict(theirs.state_dict())
    tokens, lengths = torch.randint(V, (5, 8)), torch.tensor([8, 1, 4, 5, 6])
    pooled = pool(judge(tokens, lengths=lengths).hidden, lengths, "max")
    same(leak(tokens, lengths), judge.classify.transform(pooled))


def test_an_empty_text_is_one_window_of_zeros() -> None:
    leak = build()
    biases = torch.cat([block.convolution.bias for block in leak.blocks])
    wanted = leak.highway(biases.relu())[None]
    same(leak(torch.randint(V, (1, 4)), torch.tensor([0])), wanted)
    start = leak.embed(torch.randint(V, (1, 1)))  # whatever starts it
    features, _ = leak.read(start, torch.tensor([0]), torch.tensor([1]), leak.empty(1))
    same(features[:, 0], wanted)


def test_nothing_trains_it_and_everything_is_stored() -> None:
    leak = build()
    assert list(leak.parameters()) == []
    assert {name for name, _ in leak.named_buffers()} == set(leak.state_dict())
    assert set(leak.state_dict()) == {
        "embedding.weight",
        *(f"blocks.{i}.convolution.{kind}" for i in range(3) for kind in ("weight", "bias")),
        *(f"highway.{gate}.{kind}" for gate in ("transform", "gate") for kind in ("weight", "bias")),
    }
