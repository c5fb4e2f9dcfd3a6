"""Which of a model's own parameters are trained further: all of them, or the few that a method names.

    config = SelectiveConfig(blocks=2, unfreeze_every_steps=100)
    select(model, "last_blocks", config)                        # the others are frozen
    factors = rate_factors(model, config.rate_factor)           # lower blocks may learn more slowly
    GradualUnfreezing(model, config.unfreeze_every_steps)(step)      # from the top, a block more at a time

Parameters are named as the model names them. What stands before the blocks (embeddings, positions) is their lowest
group; what stands after them (the last norm, an untied head) belongs to the highest block.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from trivium.errors import ConfigError
from trivium.nn.norms import RMSNorm

Part = Literal["all", "layers", "last_blocks", "biases", "norms", "embeddings"]
"""all of them; layers by patterns; the last blocks; biases (BitFit, Ben Zaken et al. 2022); norms; embeddings, and with
them a tied head."""
_NORMS = (RMSNorm, nn.LayerNorm)
_LISTED = 40


@dataclass(frozen=True, kw_only=True)
class SelectiveConfig:
    """How the model's own parameters are chosen, and how fast each of them learns."""

    patterns: tuple[str, ...] = ()
    """For layers: regular expressions, each for whole words of a parameter's name, such as attention, blocks.[0-3] or
    head."""
    blocks: int = 2
    """For the last blocks: how many, with the norm and the untied head above them."""
    rate_factor: float = 1.0
    """By what the rate of each block is that of the one above multiplied; 1 / 2.6, which is 0.385, in discriminative
    fine-tuning (Howard and Ruder 2018, section 3.2)."""
    unfreeze_every_steps: int | None = None
    """Train the highest block alone at first, and one more below it every so many steps (section 3.3); null for all
    from the start."""

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ConfigError("at least one block is trained", received=f"blocks {self.blocks}")
        if not 0 < self.rate_factor < math.inf:  # NaN fails every comparison
            raise ConfigError("rate_factor must be a finite number above 0", received=self.rate_factor)
        if self.unfreeze_every_steps is not None and self.unfreeze_every_steps < 1:
            raise ConfigError("unfreeze_every_steps must be at least 1", received=self.unfreeze_every_steps)


def select(model: nn.Module, part: Part, config: SelectiveConfig) -> None:
    """Has exactly the chosen parameters of ``model`` require gradients.

    ``ConfigError`` where there are none, or a pattern matches nothing, with what there is; the model is then as it was.
    """
    chosen = chosen_names(model, part, config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)


def chosen_names(model: nn.Module, part: Part, config: SelectiveConfig) -> set[str]:
    """The names of the parameters that are trained; raises as ``select``."""
    names = [name for name, _ in model.named_parameters()]
    match part:
        case "all":
            return set(names)
        case "layers":
            chosen = _matching(names, config.patterns)
        case "last_blocks":
            chosen = _last_blocks(model, config.blocks)
        case "biases":
            chosen = {name for name in names if name.rpartition(".")[2] == "bias"}
        case "norms":
            chosen = _inside(model, _NORMS)
        case "embeddings":
            chosen = _inside(model, (nn.Embedding,))
    if not chosen:
        raise ConfigError(
            f"there are no {part} to train",
            received="no patterns" if part == "layers" else type(model).__name__,
            expected=f"some of {_listing(names)}",
            fix="give patterns for whole words of these names, such as attention",
        )
    return chosen


def depth_groups(model: nn.Module) -> list[list[str]]:
    """The names of all parameters from the lowest to the highest: what is before the blocks, then block by block."""
    below, inside, above = [], [[] for _ in model.blocks.children()], []
    places = {f"blocks.{name}.": group for (name, _), group in zip(model.blocks.named_children(), inside, strict=True)}
    for name, _ in model.named_parameters():
        own = next((group for start, group in places.items() if name.startswith(start)), None)
        if own is not None:
            own.append(name)
        else:
            (above if any(inside) else below).append(name)
    inside[-1].extend(above)
    return [below, *inside]


def rate_factors(model: nn.Module, factor: float) -> dict[str, float]:
    """By what the rate of each parameter is multiplied, by its name: 1 in the highest block, ``factor`` one below.

    Discriminative fine-tuning (Howard and Ruder 2018, section 3.2), there with a factor of 1 / 2.6.
    """
    groups = depth_groups(model)
    return {name: factor ** (len(groups) - 1 - depth) for depth, group in enumerate(groups) for name in group}


class GradualUnfreezing:
    """Trains the highest block, and one more below it every so many steps (Howard and Ruder 2018, section 3.3).

    Of the parameters that require gradients when this is made; what trains at a step follows from the step alone. The
    lowest group, the embeddings, comes last; groups in which nothing is trained take no time.
    """

    def __init__(self, model: nn.Module, every_steps: int) -> None:
        assert every_steps >= 1, every_steps
        parameters = dict(model.named_parameters())
        groups = [[parameters[name] for name in group] for group in reversed(depth_groups(model))]
        trained = [[parameter for parameter in group if parameter.requires_grad] for group in groups]
        self._groups = [group for group in trained if group]
        self._every_steps = every_steps

    def __call__(self, step: int) -> None:
        """Before the update after ``step`` others."""
        for number, group in enumerate(self._groups):
            for parameter in group:
                parameter.requires_grad_(number <= step // self._every_steps)


def _matching(names: Sequence[str], patterns: Iterable[str]) -> set[str]:
    chosen: set[str] = set()
    for pattern in patterns:
        try:
            whole_words = re.compile(rf"(^|\.)({pattern})(\.|$)")
        except re.error as error:
            raise ConfigError("the pattern is no regular expression", received=pattern, expected=str(error)) from error
        found = {name for name in names if whole_words.search(name)}
        if not found:
            raise ConfigError(
                f"the pattern {pattern!r} matches no parameter of this model",
                received=pattern,
                expected=_listing(names),
                fix="name whole words of these, such as attention, or one block, such as blocks.0",
            )
        chosen |= found
    return chosen


def _last_blocks(model: nn.Module, blocks: int) -> set[str]:
    _, *groups = depth_groups(model)
    if blocks > len(groups):
        raise ConfigError(
            "the model has fewer blocks than are to be trained",
            received=f"the last {blocks}",
            expected=f"at most {len(groups)}",
        )
    return {name for group in groups[-blocks:] for name in group}


def _inside(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> set[str]:
    """The names of the parameters of all modules of these kinds, tied ones under their one name."""
    own = {p for module in model.modules() if isinstance(module, kinds) for p in module.parameters()}
    return {name for name, parameter in model.named_parameters() if parameter in own}


def _listing(names: Iterable[str]) -> str:
    """The names without the numbers of blocks, each once."""
    kinds = list(dict.fromkeys(re.sub(r"\.\d+(?=\.)", ".N", name) for name in names))
    return ", ".join(kinds[:_LISTED]) + (", ..." if len(kinds) > _LISTED else "")
