"""What is measured of a reward model: accuracy, length, calibration, criteria; by a reward whose scores are known."""

import json
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from tests.recipes.align import judging
from trivium import tokenizers
from trivium.data.preferences.judged import Judged
from trivium.errors import ConfigError, DataError
from trivium.lm.reward import RewardModel, Scorer
from trivium.lm.reward_rows import RewardFacts
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.scored import with_scores
from trivium.recipes.evaluate import evaluate
from trivium.recipes.evaluate_config import EvaluateConfig
from trivium.recipes.evaluate_reward import evaluate_reward


def known(*scores: Callable[[str], float], criteria: tuple[str, ...] = ("preference",)) -> RewardModel:
    """Members that score an answer so, by every criterion alike."""
    network = with_scores(Llama(LlamaConfig(vocabulary_size=5, width=8, layers=1, heads=2, inner_width=8)), criteria)
    facts = RewardFacts(criteria=criteria, weights=(1 / len(criteria),) * len(criteria))
    tokenizer: Any = tokenizers.train(["a"], kind="character", vocabulary_size=None)
    scorer = Scorer(network=network, classify=network, tokenizer=tokenizer, facts=facts)
    reward = RewardModel([scorer] * len(scores))

    def numbers(_: Sequence[Any], answers: Sequence[str]) -> torch.Tensor:
        rows = [[[score(answer)] * len(criteria) for answer in answers] for score in scores]
        return torch.tensor(rows, dtype=torch.float64)

    object.__setattr__(reward, "numbers", numbers)
    return reward


def judged(*pairs: tuple[str, ...], **more: Any) -> list[Judged]:
    return [
        Judged(
            messages=({"role": "user", "content": f"question {number}"},),
            answers=pair,
            ranks=more.get("ranks", {"preference": (1, 2)}),
        )
        for number, pair in enumerate(pairs)
    ]


def test_who_goes_by_length_is_right_half_of_the_time() -> None:
    """Three of four better answers are longer: accuracy says 0.75, and with length controlled 0.5."""
    data = judged(*[("long answer", "short")] * 3, ("brief", "very long answer"))
    result, answered = evaluate_reward(known(lambda answer: float(len(answer))), data)
    metrics = result["metrics"]
    assert (result["task"], result["count"], len(answered)) == ("reward", 4, 4)
    assert (metrics["accuracy"], metrics["longer_wins"], metrics["length_controlled_accuracy"]) == (0.75, 0.75, 0.5)
    low, high = result["intervals"]["accuracy"]
    assert 0.2 < low < 0.75 < high < 1
    assert [one.difference > 0 for one in answered] == [True, True, True, False]
    assert [one["accuracy"] for one in metrics["by_length"]] == [0.0, 1.0]
    assert sum(one["count"] for one in metrics["by_length"]) == 4


def test_calibration_is_of_the_difference() -> None:
    """Differences of log 3 mean that one is right in three of four cases; it is in all of these."""
    data = judged(*[("good", "bad")] * 8)
    result, _ = evaluate_reward(known(lambda answer: math.log(3) * (answer == "good")), data)
    assert result["metrics"]["confidence"] == pytest.approx(0.75)
    assert result["metrics"]["ece"] == pytest.approx(0.25)


def test_members_that_disagree() -> None:
    data = judged(("good", "bad"))
    reward = known(lambda answer: float(answer == "good"), lambda answer: 3.0 * (answer == "good"))
    result, (one,) = evaluate_reward(reward, data)
    assert (one.difference, one.disagreement) == (2.0, 1.0)
    assert result["metrics"]["disagreement"] == 1.0


def test_rankings_are_drawn_whole() -> None:
    """All pairs of a ranking hang together: the interval of 12 pairs of 4 rankings is wider than of 12 alone."""
    ranks = {"preference": (1, 2, 3)}
    data = judged(("aaa", "aa", "a"), ("bbb", "bb", "b"), ("c", "cc", "ccc"), ("dd", "d", "ddd"), ranks=ranks)
    result, _ = evaluate_reward(known(lambda answer: float(len(answer))), data)
    assert result["count"] == 12
    assert result["metrics"]["accuracy"] == pytest.approx(7 / 12)
    low, high = result["intervals"]["accuracy"]
    assert low < 0.3
    assert high > 0.85


def test_each_criterion_is_told() -> None:
    data = judged(*[("good", "bad")] * 3, ranks={"kind": (1, 2), "curt": (2, 1)})
    reward = known(lambda answer: float(answer == "good"), criteria=("kind", "curt"))
    metrics = evaluate_reward(reward, data)[0]["metrics"]
    assert metrics["per_criterion"]["kind"] == {"accuracy": 1.0, "count": 3}
    assert metrics["per_criterion"]["curt"] == {"accuracy": 0.0, "count": 3}
    assert metrics["accuracy"] == 0.5


def test_scores_and_labels() -> None:
    turns = ({"role": "user", "content": "how many?"},)
    scored = [
        Judged(messages=turns, answers=("1", "2", "3", "5", "9"), scores={"size": (1.0, 2.0, 3.0, 5.0, 9.0)}),
    ]
    metrics = evaluate_reward(known(float), scored)[0]["metrics"]
    assert (metrics["pearson of size"], metrics["spearman of size"], metrics["accuracy"]) == pytest.approx((1, 1, 1))
    labelled = [
        Judged(messages=turns, answers=(text,), good=(good,))
        for text, good in (("2", True), ("-1", False), ("3", False))
    ]
    result = evaluate_reward(known(float), labelled)[0]
    assert (result["metrics"]["good_or_bad"], result["count"]) == (pytest.approx(2 / 3), 3)
    assert result["metrics"]["share_of_the_commoner"] == pytest.approx(2 / 3)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(DataError, match="no answer is said to be better"):
        evaluate_reward(known(float), judged(("same", "same")))


def test_the_verb_measures_a_reward_model_as_the_run_did(tmp_path: pathlib.Path) -> None:
    base = judging.model(tmp_path / "base")
    data = judging.written(tmp_path / "pairs.jsonl", judging.pairs())
    run = judging.judged(base, data, tmp_path, validation=data, steps=2)
    found = evaluate(EvaluateConfig(model=run.folder, data=data, device="cpu", answers=tmp_path / "answers.jsonl"))
    assert found["task"] == "reward"
    measured = json.loads((run.folder / "held_out.json").read_text())["metrics"]
    for name in ("accuracy", "mean_difference", "ece"):
        assert found["metrics"][name] == pytest.approx(measured[name], abs=1e-5)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 48
    with pytest.raises(ConfigError, match="text_field means nothing"):
        evaluate(EvaluateConfig(model=run.folder, data=data, device="cpu", text_field="prompt"))
