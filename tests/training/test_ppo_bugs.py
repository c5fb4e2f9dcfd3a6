"""What once went wrong with `trivium.training.PPO`, and does no more."""

import pathlib
from typing import Any

import numpy as np
import pytest
import torch

import trivium
from tests.recipes.tuning import write_gpt2
from trivium.errors import ConfigError, DataError
from trivium.lm.local import LocalModel
from trivium.objectives.ppo import PPOConfig
from trivium.training.learners.policy_config import method_config
from trivium.training.optimisers import OptimiserConfig

FAST = OptimiserConfig(learning_rate=1e-2, weight_decay=0.0)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_gpt2(tmp_path / "model", "one and two and three!")


@pytest.fixture
def model(folder: pathlib.Path) -> LocalModel:
    return trivium.load(folder)


@pytest.mark.parametrize(
    "rewards",
    [
        np.array([1.0, 0.0], dtype=np.float32),
        np.array([1, 0]),
        [np.float32(1.0), np.int64(0)],
        [torch.tensor(1.0), torch.tensor(0)],
        torch.tensor([1, 0]),
        (1, 0),
    ],
)
def test_numbers_are_numbers_of_any_kind(model: LocalModel, rewards: Any) -> None:
    ppo = trivium.training.PPO(model, method_config("reinforce", optimiser=FAST))
    assert ppo.step(["one", "two"], ["and", "three"], rewards)["reward"] == 0.5


@pytest.mark.parametrize("rewards", [torch.tensor(1.0), np.array(1.0)])
def test_what_is_no_list_of_rewards_is_refused(model: LocalModel, rewards: Any) -> None:
    ppo = trivium.training.PPO(model, method_config("reinforce", optimiser=FAST))
    with pytest.raises(DataError, match="rewards are a list"):
        ppo.step(["one", "two"], ["and", "three"], rewards)


def test_ids_in_tensors_are_alike_where_they_are_equal(model: LocalModel) -> None:
    """As one tensor of prompts, or several of completions: a prompt that stands twice is one group."""
    ppo = trivium.training.PPO(model, method_config("grpo", optimiser=FAST))
    prompts: Any = torch.tensor([model.prompt_ids("one")] * 2)
    completions: Any = [torch.tensor([3, 4]), torch.tensor([5])]
    assert ppo.step(prompts, completions, [1.0, 0.0])["gradient_norm"] > 0


def test_a_mean_by_length_asks_for_the_longest(model: LocalModel) -> None:
    config = method_config("reinforce", optimiser=FAST, ppo=PPOConfig(average="length"))
    with pytest.raises(ConfigError, match="longest answer"):
        trivium.training.PPO(model, config)
    ppo = trivium.training.PPO(model, config, longest_answer=4)
    assert ppo.step(["one", "two"], ["and", "two"], [1.0, 0.0])["tokens"] == 8


def test_a_critic_reads_a_model_of_half_the_precision(folder: pathlib.Path) -> None:
    ppo = trivium.training.PPO(trivium.load(folder, dtype="bfloat16"), method_config("ppo", optimiser=FAST))
    assert ppo.step(["one", "two"], ["and", "three"], [1.0, 0.0])["value_loss"] > 0


def test_what_was_learnt_is_saved_and_opens(model: LocalModel, tmp_path: pathlib.Path) -> None:
    ppo = trivium.training.PPO(model, method_config("reinforce", optimiser=FAST))
    ppo.step(["one", "two"], ["and", "three"], [1.0, 0.0])
    learnt = model.score([("one", "and")])[0].logprob
    trivium.save(model, tmp_path / "better", merge=True)
    assert trivium.load(tmp_path / "better").score([("one", "and")])[0].logprob == pytest.approx(learnt, abs=1e-4)
