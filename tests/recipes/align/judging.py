"""Small judgements that can be learnt, and small models to learn them: for the tests of reward models."""

import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.recipes.align.reward import reward
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

THINGS = ("cats", "dogs", "hens", "bees", "owls", "rats", "elks", "cows")
WHERE = ("here", "at home", "in May", "at sea", "today", "up there")
GOOD, BAD, FAIR = "{0}! fine", "{0}? no", "{0}. so"
TEXT = "".join(f"{what} {where} {GOOD}{BAD}{FAIR}\n" for what, where in itertools.product(THINGS, WHERE))


def prompts() -> list[tuple[str, str]]:
    """(prompt, what it is about)."""
    return [(f"{what} {where}", what) for what, where in itertools.product(THINGS, WHERE)]


def pairs() -> list[dict[str, Any]]:
    return [{"prompt": asked, "chosen": GOOD.format(what), "rejected": BAD.format(what)} for asked, what in prompts()]


def written(path: pathlib.Path, lines: Iterable[Mapping[str, Any]]) -> pathlib.Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def model(folder: pathlib.Path, kind: str = "llama") -> pathlib.Path:
    """Untrained, with a vocabulary of characters."""
    tokenizer = tokenizers.train([TEXT], kind="character", vocabulary_size=None)
    torch.manual_seed(1)
    size = tokenizer.vocabulary_size
    network = (
        Llama(LlamaConfig(vocabulary_size=size, width=32, layers=2, heads=2, inner_width=48, context_tokens=64))
        if kind == "llama"
        else LSTM(LSTMConfig(vocabulary_size=size, width=32, layers=1, dropout=0.0))
    )
    save_folder(folder, network, tokenizer=tokenizer, metadata={"objective": "causal"})
    return folder


def judged(base: pathlib.Path, data: pathlib.Path, output: pathlib.Path, **settings: Any) -> Run:
    """A short run."""
    usual: dict[str, Any] = {"steps": 4, "rows": 8, "context_tokens": 64, "prompt_format": "plain", "device": "cpu"}
    usual |= {"training": TrainingConfig(evaluate_every_steps=50, checkpoint_every_steps=50)}
    usual |= {"optimiser": OptimiserConfig(learning_rate=5e-3, weight_decay=0.0)}
    return reward(RewardConfig(model=base, data=data, output=output, **{**usual, **settings}))
