"""Short runs of fine-tuning, for tests."""

import json
import pathlib
from typing import Any

import torch

from trivium import tokenizers
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.selective import SelectiveConfig
from trivium.checkpoints.model_folder import save_folder
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.method_config import MethodName
from trivium.training.run import Run

_NEEDED: dict[str, dict[str, Any]] = {
    "layers": {"selective": SelectiveConfig(patterns=("attention", r"blocks.1.feedforward"))},
    "ia3": {"ia3": IA3Config(targets=("c_attn", "mlp.c_proj"), feedforward=("mlp.c_proj",))},
    "p-tuning": {"p_tuning": PTuningConfig(tokens=4, encoder="mlp", hidden_width=8)},
    "last-k": {"selective": SelectiveConfig(blocks=1)},
}
"""Settings without which a method has nothing to train here, or more than a part."""


def write_gpt2(folder: pathlib.Path, text: str) -> pathlib.Path:
    """An untrained GPT-2 of two layers: it has biases, norms with them, and a limit to what it reads."""
    tokenizer = tokenizers.train([text], kind="character", vocabulary_size=None)
    torch.manual_seed(1)
    shape = GPT2Config(vocabulary_size=tokenizer.vocabulary_size, width=64, layers=2, heads=4, context_tokens=96)
    save_folder(folder, GPT2(shape), tokenizer=tokenizer, metadata={"objective": "causal"})
    return folder


def tuned(
    base: pathlib.Path, data: pathlib.Path, output: pathlib.Path, method: MethodName | None, **settings: Any
) -> Run:
    """A run of four steps, unless `settings` say otherwise."""
    options: dict[str, Any] = {"steps": 4, "rows": 2, "context_tokens": 64, "prompt_format": "plain"}
    options |= {"forgetting": ForgettingConfig(measure=False)} | _NEEDED.get(method or "full", {}) | settings
    return finetune(FinetuneConfig(model=base, data=data, output=output, method=method, **options))


def said(run: Run) -> dict[str, Any]:
    """What the last checkpoint tells of itself."""
    return json.loads((run.checkpoints / "last" / "trivium.json").read_text())
