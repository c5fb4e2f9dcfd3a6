"""A judge's probabilities on their way into training: as likely the other way round as the judge was unsure."""

import json
import math
import pathlib

import pytest
import torch

from trivium.data.comparison_batches import Compared, Said, comparison_source
from trivium.data.preferences.pairs import Pair, pairs_of
from trivium.data.preferences.read import read_judged
from trivium.errors import DataError
from trivium.objectives.dpo import dpo_loss

ASKED = [{"role": "user", "content": "How do I pick a lock?"}]


def written(path: pathlib.Path, probability: object) -> pathlib.Path:
    row = {"prompt": ASKED, "chosen": "Ask a locksmith.", "rejected": "Use a pick.", "probability": probability}
    path.write_text(json.dumps(row) + "\n")
    return path


def soft(path: pathlib.Path, probability: object) -> Pair:
    (pair,) = pairs_of(read_judged(written(path, probability))).pairs
    return pair


def test_a_probability_is_read_and_makes_one_pair_with_two_ways(tmp_path: pathlib.Path):
    pair = soft(tmp_path / "judged.jsonl", 0.7)
    assert (pair.chosen, pair.probability) == ("Ask a locksmith.", 0.7)
    (first, other) = pair.directed
    assert first == (pair.chosen, pair.rejected, 0.7)
    assert other[:2] == (pair.rejected, pair.chosen) and other[2] == pytest.approx(0.3)
    for sure in (1.0, None):
        assert soft(tmp_path / "judged.jsonl", sure).directed == [("Ask a locksmith.", "Use a pick.", 1.0)]


@pytest.mark.parametrize("probability", [0.4, 1.2, "high", True])
def test_what_is_no_probability_of_the_chosen_one_is_told(probability: object, tmp_path: pathlib.Path):
    with pytest.raises(DataError, match="cannot be used") as refused:
        read_judged(written(tmp_path / "judged.jsonl", probability))
    assert "probability" in str(refused.value.received)


def test_the_loss_of_both_ways_is_the_cross_entropy_with_the_label(tmp_path: pathlib.Path):
    """Of DPO; that of a reward model is of the same differences. Lowest where the policy is as sure as the judge."""
    pair = soft(tmp_path / "judged.jsonl", 0.7)
    ahead = torch.tensor([1.3], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    ratios = {pair.chosen: ahead, pair.rejected: zero}
    loss = sum(
        (weight * dpo_loss(ratios[better], ratios[worse], beta=1.0) for better, worse, weight in pair.directed), zero
    )
    sure = 1 / (1 + math.exp(-1.3))
    assert loss.item() == pytest.approx(-0.7 * math.log(sure) - 0.3 * math.log(1 - sure), abs=1e-12)
    loss.sum().backward()
    assert ahead.grad is not None and ahead.grad.item() == pytest.approx(sure - 0.7, abs=1e-12)


def test_a_reward_model_reads_both_ways_from_one_reading():
    said = (Said(better=0, worse=1, weight=0.7), Said(better=1, worse=0, weight=0.3))
    batch = next(comparison_source([Compared(rows=((5, 6), (5, 7)), said=said)], rows=1))
    assert batch.tokens.shape[:2] == (1, 2)
    assert batch.weights[0, 0].tolist() == [[0.0, pytest.approx(0.7)], [pytest.approx(0.3), 0.0]]
