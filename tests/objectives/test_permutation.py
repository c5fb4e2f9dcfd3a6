"""XLNet's corruption, which corrupts nothing: what is predicted, in which order, and the loss of it."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trivium.data.batches import PermutationBatch
from trivium.errors import ConfigError, DataError
from trivium.models.xlnet import XLNet, XLNetConfig
from trivium.objectives.permutation import permutation, permute, predicted_places

EITHER_WAY = pytest.mark.parametrize("longest_span", [1, 5])


@EITHER_WAY
def test_a_sixth_is_predicted_in_an_order_of_chance(longest_span: int) -> None:
    rng = np.random.default_rng(1)
    chosen, firsts = np.zeros(120), []
    for _ in range(600):
        ranks, mask = permute(np.arange(120), rng, longest_span=longest_span)
        assert not ranks[~mask].any()
        assert sorted(ranks[mask]) == list(range(1, mask.sum() + 1))
        chosen += mask
        firsts.append((ranks[mask] == 1).argmax() / mask.sum())  # where among the predicted the first one is
    assert abs(chosen.sum() / (600 * 120) - 1 / 6) < 0.01
    assert abs(np.mean(firsts) - 0.5) < 0.06  # five standard deviations of a uniform place
    inner = chosen[30:90] / 600
    assert (abs(inner - 1 / 6) < 0.08).all()  # no place is favoured, five standard deviations


def test_spans_are_short_and_short_ones_likelier() -> None:
    rng = np.random.default_rng(2)
    sizes: Counter[int] = Counter()
    for _ in range(300):
        _, mask = permute(np.arange(200), rng, one_in=30, longest_span=5)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
        sizes.update((edges[1::2] - edges[::2]).tolist())
    total = sum(sizes.values())
    for size in range(1, 6):
        assert abs(sizes[size] / total - 1 / size / (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5)) < 0.06
    assert sum(count for size, count in sizes.items() if size > 5) < 0.01 * total  # two spans that touch


def test_without_spans_exactly_the_last_of_the_order() -> None:
    rng = np.random.default_rng(3)
    for length, count in ((30, 5), (32, 5), (4, 1), (1, 1)):
        assert permute(np.arange(length), rng, longest_span=1)[1].sum() == count
    ranks, mask = permute(np.arange(9), rng, one_in=1, longest_span=1)
    assert mask.all()
    assert sorted(ranks) == list(range(1, 10))


@EITHER_WAY
def test_special_tokens_are_never_predicted(longest_span: int) -> None:
    rng = np.random.default_rng(4)
    ids = np.tile([7, 8, 20, 21], 10)
    for _ in range(100):
        ranks, mask = permute(ids, rng, special_ids=(7, 8), one_in=2, longest_span=longest_span)
        assert mask.any()
        assert not np.isin(ids[mask], [7, 8]).any()
        assert not ranks[np.isin(ids, [7, 8])].any()
    ranks, mask = permute([7, 8, 7], rng, special_ids=(7, 8), longest_span=longest_span)
    assert not mask.any()
    ranks, mask = permute([7, 9, 7], rng, special_ids=(7, 8), longest_span=longest_span)
    assert mask.tolist() == [False, True, False]  # at least one, where there is one


def test_the_same_seed_is_the_same_order() -> None:
    first, again, other = (permute(np.arange(50), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="one row of ids"):
        permute(np.zeros((2, 3)), rng)
    with pytest.raises(ConfigError, match="one_in and longest_span"):
        permute([1, 2], rng, one_in=0)


def test_places_of_a_mask() -> None:
    mask = torch.tensor([[False, True, False, True], [True, False, False, False], [False, False, False, False]])
    places, real = predicted_places(mask)
    assert real.tolist() == [[True, True], [True, False], [False, False]]
    assert places[real].tolist() == [1, 3, 0]


def test_loss_is_that_of_each_token_by_itself() -> None:
    """Each predicted token read alone in a row: what is ranked below it is seen, and nothing else is there at all."""
    torch.manual_seed(1)
    model = XLNet(XLNetConfig(vocabulary_size=19, width=8, layers=1, heads=2, inner_width=12)).double().eval()
    tokens, lengths = torch.randint(19, (2, 9)), torch.tensor([9, 5])
    ranks = torch.tensor([[0, 2, 0, 0, 1, 0, 0, 3, 0], [0, 0, 1, 0, 0, 0, 0, 0, 0]])
    loss = permutation(model, PermutationBatch(tokens, ranks, ranks > 0, lengths))
    wanted = 0.0
    for b, t in (ranks > 0).nonzero().tolist():
        hidden = model(tokens[[b], : lengths[b]], ranks=ranks[[b], : lengths[b]], predicted=torch.tensor([[t]])).hidden
        wanted = wanted + F.cross_entropy(model.head.logits(hidden)[0, 0], tokens[b, t])
    assert loss.count == 4
    torch.testing.assert_close(loss.total, wanted, rtol=0, atol=1e-10)
