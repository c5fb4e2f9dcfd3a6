"""BERT's corruption: how often, what becomes of the chosen, what is never chosen, and what is chosen together."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trivium.data.batches import MaskedBatch
from trivium.models.bert import Bert, BertConfig
from trivium.objectives.masked import mask_row, masked

MASK, SIZE = 4, 1000


def rows(
    count: int, length: int = 128, units: np.ndarray | None = None, rate: float = 0.15, **options: object
) -> tuple:
    """(ids, corrupted, masks) of ``count`` rows, each with a chance of its own."""
    ids = np.random.default_rng(0).integers(5, SIZE, (count, length))
    found = [
        mask_row(
            row, np.random.default_rng([7, i]), mask_id=MASK, vocabulary_size=SIZE, rate=rate, units=units, **options
        )
        for i, row in enumerate(ids)
    ]
    return ids, np.stack([row for row, _ in found]), np.stack([mask for _, mask in found])


def chi_square(observed: list[int], shares: list[float]) -> float:
    expected = np.array(shares) * sum(observed)
    return float(((np.array(observed) - expected) ** 2 / expected).sum())


def test_four_fifths_are_masked_a_tenth_random_and_a_tenth_kept():
    ids, corrupted, masks = rows(2000)
    assert np.array_equal(corrupted[~masks], ids[~masks])
    now, before = corrupted[masks], ids[masks]
    counts = [int((now == MASK).sum()), int((now == before).sum())]
    counts.append(len(now) - sum(counts))
    # One random piece in a thousand is the right one, one the mask. 13.8 is the 0.1 % point for two degrees of freedom.
    assert chi_square(counts, [0.8001, 0.1001, 0.0998]) < 13.8
    drawn = now[(now != MASK) & (now != before)]
    assert chi_square(np.bincount(drawn * 10 // SIZE, minlength=10).tolist(), [0.1] * 10) < 27.9


def test_the_rate_is_exact_at_every_position_and_alike_in_every_row():
    _, _, masks = rows(4000)
    assert set(masks.sum(1)) == {19, 20}  # 0.15 of 128 is 19.2
    assert abs(masks.mean() - 0.15) < 4 * (0.16 / 4000) ** 0.5 / 128
    at = masks.mean(0)
    assert np.abs(at - 0.15).max() < 5 * (0.15 * 0.85 / 4000) ** 0.5


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_units_are_masked_whole_and_the_expected_share_of_tokens_holds(rate: float):
    sizes = [1, 1, 5, 1, 2, 9, 1, 3, 1, 1, 14, 1, 2, 6, 1, 1]
    units = np.repeat(np.arange(len(sizes)), sizes)
    _, _, masks = rows(6000, len(units), units, rate)
    starts = np.cumsum([0, *sizes[:-1]])
    whole = np.add.reduceat(masks.astype(int), starts, axis=1)
    assert ((whole == 0) | (whole == sizes)).all()
    shares = masks.mean(1)
    assert abs(shares.mean() - rate) < 4 * shares.std() / 6000**0.5
    chosen = (whole > 0).sum(1)
    assert set(chosen) <= {int(rate * len(sizes)), int(rate * len(sizes)) + 1}


def test_special_tokens_and_what_is_of_one_unit_with_them_are_never_chosen():
    ids = np.array([2, 10, 11, 12, 3, 13, 14, 3])
    units = np.array([0, 1, 1, 2, 3, 4, 4, 4])
    chosen = np.zeros(8, dtype=bool)
    for seed in range(60):
        options = {"mask_id": MASK, "vocabulary_size": SIZE, "rate": 0.5, "special_ids": {2, 3}}
        chosen |= mask_row(ids, np.random.default_rng(seed), units=units, **options)[1]
        assert not mask_row(ids, np.random.default_rng(seed), **options)[1][[0, 4, 7]].any()
    assert chosen.tolist() == [False, True, True, True, False, False, False, False]


def test_the_row_itself_is_left_as_it_was_and_equal_chance_gives_equal_rows():
    ids = np.arange(5, 69)
    first, second = (mask_row(ids, np.random.default_rng(3), mask_id=MASK, vocabulary_size=SIZE) for _ in range(2))
    assert np.array_equal(ids, np.arange(5, 69))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    empty, mask = mask_row(ids[:0], np.random.default_rng(3), mask_id=MASK, vocabulary_size=SIZE)
    assert len(empty) == len(mask) == 0


def test_loss_is_cross_entropy_at_the_masked_positions():
    torch.manual_seed(0)
    model = Bert(BertConfig(vocabulary_size=SIZE, width=8, layers=1, heads=2, inner_width=8, context_tokens=64)).eval()
    ids, corrupted, masks = map(torch.from_numpy, rows(4, 64))
    lengths = torch.tensor([64, 40, 64, 50])
    masks &= torch.arange(64) < lengths[:, None]
    batch = MaskedBatch(tokens=corrupted, targets=ids, mask=masks, lengths=lengths)
    loss = masked(model, batch)
    logits = model.head.logits(model(batch.tokens, lengths=lengths).hidden)
    wanted = F.cross_entropy(logits[batch.mask], batch.targets[batch.mask], reduction="sum")
    torch.testing.assert_close(loss.total, wanted)
    assert loss.count == batch.mask.sum() == batch.num_tokens
