"""A judge's probabilities on their way into training: as likely the other way round as the judge was unsure."""

import json
import math
import pathlib
from collections.abc import Sequence

import pytest
import torch

from trivium import tokenizers
from trivium.data.comparison_batches import Compared, Said, comparison_source
from trivium.data.preference_batches import JudgedExample, PairExample, preference_batch
from trivium.data.preferences.pairs import Pair, pairs_of
from trivium.data.preferences.read import read_judged
from trivium.errors import DataError
from trivium.objectives.dpo import dpo_loss
from trivium.recipes.align.dpo_config import DPOConfig, Preference
from trivium.recipes.align.dpo_data import Item, read_items

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


def test_a_policy_learns_both_ways_of_a_pair_in_one_step(tmp_path: pathlib.Path):
    """Which is one item of a batch, however unsure the judge is."""
    (pair,) = items(written(tmp_path / "judged.jsonl", 0.7), "dpo")
    assert isinstance(pair, PairExample) and (pair.probability, pair.weight) == (0.7, 1.0)
    batch = preference_batch([pair], [0])
    assert batch.probabilities is not None and batch.probabilities.tolist() == pytest.approx([0.7])


def test_answers_of_a_pair_are_good_and_bad_as_probably_as_the_judge_said(tmp_path: pathlib.Path):
    path = written(tmp_path / "judged.jsonl", 0.7)
    other = {"prompt": "Pick a lock?", "chosen": "I do.", "rejected": "Ask."}
    path.write_text(path.read_text() + json.dumps(other) + "\n")
    found = [(each.good, each.weight) for each in items(path, "kto") if isinstance(each, JudgedExample)]
    assert found == [
        *((True, 0.7), (False, 0.7), (False, pytest.approx(0.3)), (True, pytest.approx(0.3))),
        *((True, 1.0), (False, 1.0)),
    ]


def items(path: pathlib.Path, objective: Preference) -> Sequence[Item]:
    """As they are trained on."""
    text = "User: How do I pick a lock?\nAssistant: Ask a locksmith. Use a pick. Pick a lock? I do."
    tokenizer = tokenizers.train([text], kind="character", vocabulary_size=None)
    config = DPOConfig(model=path, data=path, validation=path, objective=objective, context_tokens=80)
    return read_items(config, tokenizer).training


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
