"""What the network of a task starts from: the body and the vocabulary of a saved model, its shape alone, or nothing.

    network, tokenizer = transplanted(Path("runs/pretrain"), "tagging", labels, fresh=False)

With `fresh` the shape and the vocabulary are the saved model's and every weight is drawn anew: the difference to a run
without it is what pre-training is worth.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from trivium import tokenizers
from trivium.checkpoints.provenance import parent_facts
from trivium.checkpoints.transplant import with_head
from trivium.errors import ConfigError
from trivium.lm.load import saved_folder
from trivium.models import architecture
from trivium.tokenizers import Tokenizer, check_vocabulary
from trivium.training.optimisers import OptimiserConfig

EPOCHS_FROM_BASE, EPOCHS_FROM_NOTHING = 4.0, 10.0
"""Passes over the data that are usual (Devlin et al. 2018, appendix A.3: 2 to 4)."""
WARMUP_SHARE = 0.1
"""Part of a run over which the rate of a Transformer rises (there too)."""
_HIGHEST_RATE = 3e-4
_RATE_TIMES_WIDTH = 0.0384  # 5e-5 at the width of BERT base, from among the rates of appendix A.3


def check_start(
    base: pathlib.Path | None, fresh: bool, *, given: Mapping[str, object], usual: Mapping[str, object]
) -> None:
    """Refuses settings of a network or a vocabulary that is taken from ``base``: those ``given`` that are not the
    ``usual`` ones. Raises `ConfigError`."""
    if base is None:
        if fresh:
            raise ConfigError("fresh draws the weights of a base anew, and there is none", fix="give base, or no fresh")
        return
    own = [name for name, value in given.items() if value != usual[name]]
    if own:
        raise ConfigError(
            f"the {' and the '.join(own)} of the base cannot be changed",
            received=f"base {base}, and settings of {', '.join(own)}",
            fix=f"leave {' and '.join(own)} out, or train without a base",
        )


def transplanted(
    base: pathlib.Path, head: str, labels: tuple[str, ...], *, fresh: bool, **changes: Any
) -> tuple[nn.Module, Tokenizer]:
    """The body of ``base`` under a new head, and its tokenizer; with ``fresh`` only its shape. ``changes`` are as of
    `with_head`. Raises `UserError`."""
    folder = saved_folder(base)
    tokenizer = tokenizers.load(folder)
    network = with_head(folder, head, labels, fresh=fresh, **changes)
    config: Any = network.config
    check_vocabulary(tokenizer, config.vocabulary_size)
    return network, tokenizer


def start_facts(base: pathlib.Path | None, fresh: bool) -> dict[str, Any]:
    """What the saved model tells of what it started from."""
    if base is None:
        return {}
    return {"shape_of": str(base)} if fresh else parent_facts(saved_folder(base), named=base)


def usual_optimiser(asked: OptimiserConfig, usual: OptimiserConfig, network: nn.Module) -> OptimiserConfig:
    """``asked``, or where it is the ``usual`` one that of Transformers, where ``network`` is one: AdamW at 5e-5 for a
    width of 768, in inverse proportion to the width and at most 3e-4, with a decay of 0.01."""
    if asked != usual or not attends(network):
        return asked
    return OptimiserConfig(learning_rate=usual_rate(network), beta2=0.999, weight_decay=0.01)


def usual_rate(network: nn.Module) -> float:
    """The peak learning rate of fine-tuning a Transformer of this width."""
    config: Any = network.config
    return min(_HIGHEST_RATE, _RATE_TIMES_WIDTH / config.width)


def attends(network: nn.Module) -> bool:
    """Whether it is a Transformer: those have attention heads, and want a lower rate and a longer warm-up."""
    config: Any = network.config
    return vars(config).get("heads") is not None


def architecture_of(network: nn.Module) -> str:
    """The name of its row in the table of architectures."""
    config: Any = network.config
    return architecture(config.to_hf()["model_type"]).name


def usual_epochs(asked: float | None, base: pathlib.Path | None) -> float:
    """Passes over the data: as asked, else what is usual."""
    if asked is not None:
        return asked
    return EPOCHS_FROM_NOTHING if base is None else EPOCHS_FROM_BASE


def usual_warmup(network: nn.Module, steps: int, otherwise: int) -> int:
    """Updates over which the rate rises: a tenth of a Transformer's run, else ``otherwise``."""
    return max(1, round(WARMUP_SHARE * steps)) if attends(network) else otherwise
