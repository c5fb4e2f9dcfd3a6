"""What a reward model begins as: a base under a head of scores, with the method of training in place."""

import dataclasses

from torch import nn

from trivium.adapters.extended import ExtendedIA3Config, ExtendedLoRAConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.checkpoints.provenance import is_adapter
from trivium.errors import Unsupported
from trivium.lm.load import load, saved_folder
from trivium.models.scored import SCORE, with_scores
from trivium.recipes.adapting import Adapted, adapt, hold_frozen
from trivium.recipes.align.reward_config import RewardConfig
from trivium.recipes.method_config import WAYS, Settings, usual_rate
from trivium.recipes.starting import transplanted
from trivium.tokenizers import Tokenizer

_LEFT_TO_RIGHT = ("decoder", "recurrent")
_RATE = 0.5
"""The learning rate in that of fine-tuning by the same method: 1e-5 and 2e-5 in Touvron et al. 2023 (arXiv 2307.09288,
sections 3.2.2 and 3.1), and the same ratio of LoRA's in TRL, 1e-4 and 2e-4."""


def network_of(config: RewardConfig, criteria: tuple[str, ...], device: str) -> tuple[nn.Module, Tokenizer]:
    """The base under a head of scores, drawn from the present state of torch's generator, and its tokenizer. Raises
    `UserError` for one that cannot be."""
    require_whole(config)
    folder, way = saved_folder(config.model), WAYS[config.method]
    model = load(folder, device=device, dtype="float32", quantize=way.quantize)
    if model.architecture.kind not in _LEFT_TO_RIGHT:
        return _encoder(config, criteria)
    if model.tokenizer is None:
        raise Unsupported(
            "scoring answers needs a tokenizer",
            received=f"{config.model}: no tokenizer",
            fix="copy the tokenizer's files into the model's folder",
        )
    return with_scores(model.network, criteria, pad_id=_padding(model.tokenizer)), model.tokenizer


def require_whole(config: RewardConfig) -> None:
    """Raises `Unsupported` where the recipe's model is an adapter."""
    if is_adapter(saved_folder(config.model)):
        raise Unsupported(
            "a reward model begins with a whole model, and this is an adapter",
            received=config.model,
            fix=f"make it part of its base first: trivium merge {config.model} --output FOLDER",
        )


def _encoder(config: RewardConfig, criteria: tuple[str, ...]) -> tuple[nn.Module, Tokenizer]:
    if WAYS[config.method].part is None:
        raise Unsupported(
            "an encoder is trained as a reward model without an adapter",
            received=f"method {config.method}",
            expected="full, last-k, layers, bitfit, norms or embeddings",
        )
    return transplanted(config.model, "regression", criteria, fresh=False)


def _padding(tokenizer: Tokenizer) -> int | None:
    """An id by which others can fill up rows: not the one that answers end with, before which `transformers` would look
    for the last token."""
    ends = {tokenizer.eos_id}
    return next((id for id in (tokenizer.pad_id, tokenizer.bos_id, tokenizer.unk_id) if id not in {None, *ends}), None)


def adapted_for(config: RewardConfig, network: nn.Module) -> Adapted:
    """The method in place; the head of scores is trained in any case, and an adapter brings its own."""
    scoring = [name for name, _ in network.named_parameters() if name.startswith("classify.")]
    adapted = adapt(network, config.method, with_scores_beside(config.method_settings), seed=config.seed)
    if adapted.is_adapter:
        hold_frozen(network, config.dtype)
        return adapted
    parameters = dict(network.named_parameters())
    for name in scoring:
        parameters[name].requires_grad_(True)
    return adapted


def with_scores_beside(settings: Settings) -> Settings:
    """An adapter with a copy of the head, as PEFT has it of SEQ_CLS."""
    copies = TrainedCopyConfig(modules=(SCORE,))
    if not isinstance(settings, LoRAConfig | IA3Config):
        return settings
    # "all-linear" does not mean the head.
    left_out = settings.exclude
    without = rf"(?:{left_out})|(?:.*\.)?{SCORE}" if isinstance(left_out, str) else (*left_out, SCORE)
    if isinstance(settings, LoRAConfig):
        return ExtendedLoRAConfig(update=dataclasses.replace(settings, exclude=without), copies=copies)
    return ExtendedIA3Config(update=dataclasses.replace(settings, exclude=without), copies=copies)


def with_usual_rate(config: RewardConfig, network: nn.Module) -> RewardConfig:
    """`config` with the learning rate that is usual, where it names none."""
    if config.optimiser.learning_rate is not None:
        return config
    optimiser = dataclasses.replace(config.optimiser, learning_rate=_RATE * usual_rate(config.method, network))
    return dataclasses.replace(config, optimiser=optimiser)
