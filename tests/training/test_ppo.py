"""`trivium.training.PPO`: prompts, completions and rewards in, an update out."""

import dataclasses
import pathlib
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.tuning import write_gpt2
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.lm.local import LocalModel
from trivium.training.learners.policy_config import method_config
from trivium.training.optimisers import OptimiserConfig

FAST = OptimiserConfig(learning_rate=1e-2, weight_decay=0.0)
PROMPTS = ["one and", "two and", "and", "three"]


@pytest.fixture
def model(tmp_path: pathlib.Path) -> LocalModel:
    return trivium.load(write_gpt2(tmp_path / "model", "one and two and three!"))


def written(model: LocalModel, prompts: list[str] = PROMPTS, n: int = 1, **settings: Any) -> list[Any]:
    return model.generate(prompts, n=n, max_new_tokens=8, temperature=1.0, seed=6, **settings)


@pytest.mark.parametrize("full", [False, True])
def test_a_step_moves_the_policy_and_nothing_before_it(model: LocalModel, full: bool) -> None:
    """The first step finds a ratio of exactly 1 and a divergence of exactly 0, on texts that our engine wrote."""
    ppo = trivium.training.PPO(model, method_config("ppo", optimiser=FAST), full=full)
    completions = written(model)
    before = model.score([(PROMPTS[0], "and")])[0].logprob
    metrics = ppo.step(PROMPTS, completions, [float(len(c.text)) for c in completions])
    assert metrics["kl"] == metrics["first_ratio_deviation"] == 0.0
    assert metrics["engine_deviation"] < 1e-4
    assert metrics["reward"] == pytest.approx(sum(len(c.text) for c in completions) / 4)
    assert model.score([(PROMPTS[0], "and")])[0].logprob != before
    assert ppo.step(PROMPTS, written(model), [1.0, 0.0, 0.0, 1.0])["kl_k3"] > 0.0


def test_texts_ids_and_generations_are_the_same_answers(model: LocalModel, tmp_path: pathlib.Path) -> None:
    """A text is followed by the end token; a Generation has it where it was chosen."""
    assert model.tokenizer is not None and model.tokenizer.eos_id is not None
    texts = ["and two", "!", "three", "one"]
    ids = [[*model.tokenizer.encode(text), model.tokenizer.eos_id] for text in texts]
    found = []
    for given in (texts, ids):
        again = trivium.load(write_gpt2(tmp_path / f"again-{len(found)}", "one and two and three!"))
        torch.manual_seed(3)
        ppo = trivium.training.PPO(again, method_config("reinforce", optimiser=FAST))
        found.append(ppo.step(PROMPTS, given, [1.0, 2.0, 3.0, 4.0]))
    assert found[0] == found[1]
    assert found[0]["tokens"] == sum(map(len, ids))


def test_an_active_adapter_goes_on_and_is_held_near_itself(model: LocalModel) -> None:
    first = trivium.training.PPO(model, method_config("ppo", optimiser=FAST))
    first.step(PROMPTS, written(model), [1.0, 0.0, 0.0, 1.0])
    second = trivium.training.PPO(model, method_config("ppo", optimiser=FAST))
    assert second.step(PROMPTS, written(model), [1.0, 0.0, 0.0, 1.0])["kl"] == 0.0
    assert adapters_of(model.network).routing.active == "policy"
    assert not any(parameter.requires_grad for parameter in adapter_parameters(model.network, "reference").values())
    third = trivium.training.PPO(model, method_config("ppo", optimiser=FAST))
    assert third.step(PROMPTS, written(model), [1.0, 0.0, 0.0, 1.0])["kl"] == 0.0
    assert set(adapters_of(model.network).configs) == {"policy", "reference", "reference1"}


def test_answers_to_one_prompt_are_one_group(model: LocalModel) -> None:
    config = method_config("grpo", optimiser=FAST)
    config = dataclasses.replace(config, penalty=dataclasses.replace(config.penalty, weight=0.0))
    ppo = trivium.training.PPO(model, config)
    prompts = [prompt for prompt in PROMPTS[:2] for _ in range(3)]
    completions = written(model, PROMPTS[:2], n=3)
    flat = ppo.step(prompts, completions, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])  # two prompts, each with equal rewards
    assert flat["gradient_norm"] == 0.0
    assert ppo.step(prompts, completions, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0])["gradient_norm"] > 0.0
    with pytest.raises(ConfigError, match="no prompt has two"):
        ppo.step(PROMPTS, written(model), [1.0, 0.0, 0.0, 1.0])


def test_what_was_sampled_from_another_distribution_shows(model: LocalModel) -> None:
    """Log-probabilities that are not the policy's are told, as of a stale or a cut-off sampler."""
    ppo = trivium.training.PPO(model, method_config("ppo", optimiser=FAST))
    completions = written(model)
    stale = [dataclasses.replace(each, logprobs=[value - 0.5 for value in each.logprobs]) for each in completions]
    assert ppo.step(PROMPTS, stale, [1.0, 0.0, 0.0, 1.0])["engine_deviation"] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("prompts", "completions", "rewards", "told"),
    [
        (PROMPTS, ["a"] * 4, [1.0] * 3, "4 prompts, 4 completions, 3 rewards"),
        (PROMPTS, ["a"] * 3, [1.0] * 4, "4 prompts, 3 completions, 4 rewards"),
        (["one"], ["one"], [float("nan")], "reward 0 is no finite number"),
        (["one"], ["one"], [float("inf")], "reward 0 is no finite number"),
        (["one"], ["one"], [True], "reward 0 is no finite number"),
        (["one", "two"], ["one", []], [1.0, 1.0], "completion 1 is empty"),
        ([[]], ["one"], [1.0], "prompt 0 is empty"),
        (["one", [1, 2]], [[1], [2, 100_000]], [1.0, 1.0], "completion 1 holds an id"),
        (["one", [1, 2]], [[1], [2, 100_000]], [1.0, 1.0], "id 100000, token 1 of 2"),
        (["one", [1, 2]], [[1], [2, 100_000]], [1.0, 1.0], "the vocabulary has"),
        (["one", [-1, 2]], [[1], [2]], [1.0, 1.0], "prompt 1 holds an id"),
        ("one", ["one"], [1.0], "are lists"),
        ([], [], [], "are lists"),
    ],
)
def test_wrong_steps_are_refused(model: LocalModel, prompts: Any, completions: Any, rewards: Any, told: str) -> None:
    ppo = trivium.training.PPO(model, method_config("reinforce", optimiser=FAST))
    with pytest.raises(DataError) as refused:
        ppo.step(prompts, completions, rewards)
    assert told in str(refused.value)


def test_wrong_beginnings_are_refused(model: LocalModel) -> None:
    with pytest.raises(ConfigError, match="no such method"):
        trivium.training.PPO(model, method="dpo")
    trivium.training.PPO(model)
    with pytest.raises(ConfigError, match="whole network"):
        trivium.training.PPO(model, full=True)
    bare = LocalModel(model.network)
    with pytest.raises(Unsupported, match="end token"):
        trivium.training.PPO(bare, method_config("reinforce")).step([[1, 2]], ["and"], [1.0])
