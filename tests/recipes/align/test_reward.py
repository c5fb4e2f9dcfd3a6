"""The reward recipe: it learns what people said in every form of it, publishes what scores alike, and resumes."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest
import torch

from tests.recipes.align import judging
from tests.recipes.bases import write_bert
from tests.recipes.resuming import assert_resumes_bit_for_bit
from trivium.adapters.adapter_set import adapters_of
from trivium.data.preferences.read import read_judged
from trivium.errors import ConfigError, DataError, StorageError, Unsupported
from trivium.lm.load import load
from trivium.lm.reward import load_reward
from trivium.recipes.align.reward import HELD_OUT
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.align.reward_network import with_usual_rate
from trivium.recipes.evaluate_reward import evaluate_reward
from trivium.recipes.finetune import with_usual_rate as finetuned_usually
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.training.optimisers import OptimiserConfig


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return judging.model(tmp_path_factory.mktemp("base") / "lm")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return judging.written(tmp_path_factory.mktemp("data") / "pairs.jsonl", judging.pairs())


def told(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "trivium.json").read_text())


def test_pairs_are_learnt_and_scores_are_normalised(
    base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = judging.judged(base, pairs, tmp_path, steps=12)
    result = json.loads((run.folder / HELD_OUT).read_text())
    assert result["task"] == "reward"
    assert result["metrics"]["accuracy"] > 0.9
    assert result["intervals"]["accuracy"][1] <= 1
    assert result["metrics"]["longer_wins"] == 1.0  # "! fine" is longer than "? no"
    assert "length_controlled_accuracy" not in result["metrics"]  # of which there is nothing to see here
    reward = load_reward(run.folder, device="cpu")
    judged = read_judged(pairs)
    asked = [each.messages for each in judged for _ in each.answers]
    scores = torch.tensor(reward(asked, [answer for each in judged for answer in each.answers]))
    assert scores.mean().item() == pytest.approx(0, abs=0.2)
    assert scores.std().item() == pytest.approx(1, abs=0.2)
    facts = told(run.checkpoints / "best")
    assert (facts["objective"], facts["loss"], facts["labels"]) == ("reward", "bradley-terry", ["preference"])
    assert facts["reward"]["prompt_format"] == "plain"
    assert facts["parent"] == str(base)
    assert load(run.folder, device="cpu").purpose == "regression"
    report = run.report.read_text()
    for words in ("How often it is right", "What length has to do with it", "How sure it may be", "What was trained"):
        assert words in report


SLOW = [pytest.param(method, marks=pytest.mark.slow) for method in ("ia3", "qlora", "lora+", "dora")]


def test_the_usual_rate_is_half_of_that_of_finetuning(base: pathlib.Path, pairs: pathlib.Path) -> None:
    network = load(base).network
    asked: dict[str, Any] = {"model": base, "data": pairs}
    for method in ("full", "lora"):
        found = with_usual_rate(RewardConfig(**asked, method=method), network).optimiser.learning_rate
        tuned = finetuned_usually(FinetuneConfig(**asked, method=method), network).optimiser.learning_rate
        assert tuned is not None and found == 0.5 * tuned
    named = RewardConfig(**asked, optimiser=OptimiserConfig(learning_rate=0.3))
    assert with_usual_rate(named, network) == named


@pytest.mark.parametrize("method", ["lora", *SLOW])
def test_an_adapter_scores_on_the_base_of_a_policy(
    method: str, base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = judging.judged(base, pairs, tmp_path, method=method)
    options = json.loads((run.checkpoints / "last" / "adapter_config.json").read_text())
    assert (options["modules_to_save"], options["task_type"]) == (["score"], "SEQ_CLS")
    alone = load_reward(run.folder, device="cpu")
    asked, answers = ["cats here", "bees today"], ["cats! fine", "bees? no"]
    policy = load(base, device="cpu", quantize="nf4" if method == "qlora" else None)
    shared = load_reward(run.folder, on=policy)
    assert shared(asked, answers) == pytest.approx(alone(asked, answers), abs=1e-4)
    assert adapters_of(policy.network).routing.active is None


@pytest.mark.slow
def test_the_head_learns_with_a_part_of_the_model(
    base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first, more = (judging.judged(base, pairs, tmp_path, method="norms", steps=n, run=f"n{n}") for n in (2, 6))
    networks: list[Any] = [load(run.folder, device="cpu").network for run in (first, more)]
    head, later = networks
    assert not torch.equal(head.classify.output.weight, later.classify.output.weight)
    assert torch.equal(head.embedding.weight, later.embedding.weight)
    before: Any = load(base, device="cpu").network
    assert torch.equal(head.embedding.weight, before.embedding.weight)


def test_rankings_by_two_criteria(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """By one the answers are fine, so, no; by the other the reverse."""
    forms = (judging.GOOD, judging.FAIR, judging.BAD)
    lines = [
        {
            "prompt": asked,
            "answers": [form.format(what) for form in forms],
            "ranks": {"kind": [1, 2, 3], "curt": [3, 2, 1]},
        }
        for asked, what in judging.prompts()
    ]
    data = judging.written(tmp_path / "ranked.jsonl", lines)
    settings = {"criteria": ("kind", "curt"), "criterion_weights": (1.0, 0.25)}
    run = judging.judged(base, data, tmp_path, steps=16, **settings)
    reward = load_reward(run.folder, device="cpu")
    assert reward.criteria == ("kind", "curt")
    numbers = reward.scores(["owls at sea"] * 3, [form.format("owls") for form in forms])
    assert numbers[:, 0].tolist() == sorted(numbers[:, 0].tolist(), reverse=True)
    assert numbers[:, 1].tolist() == sorted(numbers[:, 1].tolist())
    measured = json.loads((run.folder / HELD_OUT).read_text())["metrics"]
    assert set(measured["per_criterion"]) == {"kind", "curt"}
    assert run.metrics()[-1]["loss"] < 0.4


@pytest.mark.parametrize("loss", [pytest.param("regression", marks=pytest.mark.slow), "ordinal"])
def test_scores(loss: str, base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    forms = {judging.GOOD: 5, judging.FAIR: 3, judging.BAD: 1}
    lines = [
        {"prompt": asked, "answers": [form.format(what) for form in forms], "scores": list(forms.values())}
        for asked, what in judging.prompts()
    ]
    data = judging.written(tmp_path / "scored.jsonl", lines)
    run = judging.judged(base, data, tmp_path, loss=loss, steps=30, rows=16)
    facts = told(run.checkpoints / "last")
    assert facts["loss"] == loss
    if loss == "ordinal":
        assert facts["grades"] == [[1.0, 3.0, 5.0]]
        assert facts["cut_points"][0] == sorted(facts["cut_points"][0])
    metrics = json.loads((run.folder / HELD_OUT).read_text())["metrics"]
    assert metrics["accuracy"] > 0.8
    assert next(value for name, value in metrics.items() if name.startswith("spearman of")) > 0.8


@pytest.mark.slow
def test_good_and_bad_answers(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lines = [
        {"prompt": asked, "completion": form.format(what), "label": form == judging.GOOD}
        for asked, what in judging.prompts()
        for form in (judging.GOOD, judging.BAD)
    ]
    run = judging.judged(base, judging.written(tmp_path / "good.jsonl", lines), tmp_path, steps=25, rows=16)
    assert told(run.checkpoints / "last")["loss"] == "logistic"
    assert json.loads((run.folder / HELD_OUT).read_text())["metrics"]["good_or_bad"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "bert"])
def test_other_kinds_of_base(kind: str, pairs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = write_bert(tmp_path / "b", [judging.TEXT]) if kind == "bert" else judging.model(tmp_path / "b", "lstm")
    run = judging.judged(folder, pairs, tmp_path, steps=30, context_tokens=32)
    reward = load_reward(run.folder, device="cpu")
    good, bad = reward(["elks in May"] * 2, ["elks! fine", "elks? no"])
    assert good > bad
    assert json.loads((run.folder / HELD_OUT).read_text())["metrics"]["accuracy"] > 0.9


def test_an_ensemble_and_what_it_disagrees_about(
    base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = judging.judged(base, pairs, tmp_path, members=2)
    assert json.loads((run.folder / "ensemble.json").read_text()) == {"members": ["reward", "reward-2"]}
    result = json.loads((run.folder / HELD_OUT).read_text())
    assert result["settings"]["members"] == 2
    assert result["metrics"]["disagreement"] > 0
    networks: list[Any] = [load(tmp_path / name, device="cpu").network for name in ("reward", "reward-2")]
    first, second = (network.classify.output.weight for network in networks)
    assert not torch.equal(first, second)
    assert len(load_reward(run.folder, device="cpu", combination="conservative").scorers) == 2


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_run_that_was_killed_is_resumed_bit_for_bit(
    method: str, base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = dataclasses.replace(RewardConfig(model=base, data=pairs).training, checkpoint_every_steps=3)

    def carry_out(**settings: Any) -> Any:
        return judging.judged(base, pairs, tmp_path, method=method, training=training, steps=6, **settings)

    assert_resumes_bit_for_bit(carry_out, monkeypatch, at=5)


def test_evaluation_by_itself_learns_words_from_the_rest(
    base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = judging.judged(base, pairs, tmp_path)
    result, answered = evaluate_reward(load_reward(run.folder, device="cpu"), read_judged(pairs))
    assert (result["count"], len(answered)) == (48, 48)
    assert result["metrics"]["words_alone"] == 1.0  # "fine" and "no" tell


def test_margins_are_asked_for_where_the_file_has_them(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    data = judging.written(tmp_path / "m.jsonl", [line | {"margin": 8.0} for line in judging.pairs()])
    losses = [
        judging.judged(base, data, tmp_path, margins=margins, run=f"{margins}", steps=2).metrics()[0]["loss"]
        for margins in (False, True)
    ]
    assert losses[1] > losses[0] + 4


def test_what_cannot_be_is_refused(base: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="not trained with this method"):
        RewardConfig(model=base, data=pairs, method="prefix")
    with pytest.raises(ConfigError, match="one weight"):
        RewardConfig(model=base, data=pairs, criteria=("a",), criterion_weights=(1.0, 2.0))
    sharded = dataclasses.replace(RewardConfig(model=base, data=pairs).training, several_processes="shard")
    with pytest.raises(ConfigError, match="not sharded"):
        RewardConfig(model=base, data=pairs, training=sharded)
    with pytest.raises(ConfigError, match="nothing for the loss regression"):
        judging.judged(base, pairs, tmp_path, loss="regression")
    with pytest.raises(ConfigError, match="by humour"):
        judging.judged(base, pairs, tmp_path, criteria=("humour",))
    with pytest.raises(DataError, match=r"pairs\.jsonl, line \d+: \d+ tokens"):
        judging.judged(base, pairs, tmp_path, context_tokens=8, long_rows="refuse")
    assert not (tmp_path / "reward").exists()
    run = judging.judged(base, pairs, tmp_path, method="lora", steps=2)
    with pytest.raises(StorageError):
        judging.judged(base, pairs, tmp_path)
    with pytest.raises(Unsupported, match="this is an adapter"):
        judging.judged(run.folder, pairs, tmp_path, run="more")
    with pytest.raises(Unsupported, match="without an adapter"):
        judging.judged(write_bert(tmp_path / "b", [judging.TEXT]), pairs, tmp_path, method="lora", run="encoder")
