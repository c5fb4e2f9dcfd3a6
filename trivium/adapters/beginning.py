"""What every prompt is: positions before the text that the model has read when the text begins.

A prompt enters through the ``State``: some of a batch's rows begin after one, others after another or after nothing,
and the model knows of none of them. The text's positions go on from the prompt's length.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trivium.adapters.adapter_set import AdapterSet, adapters_of, has_adapters
from trivium.adapters.routing import unadapted
from trivium.errors import ConfigError, Unsupported
from trivium.models import architecture
from trivium.nn.state import State


class Prompt(nn.Module, ABC):
    """What one adapter puts before texts: ``tokens`` positions P, which count towards the model's context."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens

    @abstractmethod
    def read(self, model: nn.Module) -> State:
        """A state of one row that has read the prompt and nothing else; differentiable with respect to it."""


def begin(model: nn.Module, rows: Sequence[str | None], capacity: int) -> State:
    """A new state for ``len(rows)`` texts of at most ``capacity`` tokens each, prompts not counted.

    Row ``b`` begins after the prompt called ``rows[b]``; rows with ``None`` or with the name of another kind of adapter
    begin empty. Each prompt is read once, however many rows begin after it, and is in the graph: gradients of all its
    rows reach it. ``ConfigError`` for an unknown name.
    """
    adapters = adapters_of(model)
    used = {name for name in rows if name is not None}
    for name in used:
        adapters.require(name)
    prompts = {name: prompt for name, prompt in prompts_of(adapters).items() if name in used}
    state = model.new_state(len(rows), capacity + max((prompt.tokens for prompt in prompts.values()), default=0))
    for name, prompt in prompts.items():
        index = torch.tensor([b for b, chosen in enumerate(rows) if chosen == name], device=state.lengths.device)
        with unadapted(adapters.routing):
            read = prompt.read(model)
        state = state.put(index, read.take(torch.zeros_like(index)))
    return state


def begin_active(model: nn.Module, rows: Sequence[str | None], capacity: int) -> State:
    """``begin`` for any model: ``None`` stands for the active adapter, and a model without adapters begins empty."""
    if not has_adapters(model):
        return model.new_state(len(rows), capacity)
    active = adapters_of(model).routing.active
    return begin(model, [name or active for name in rows], capacity)


def prefix_tokens(model: nn.Module, adapter: str | None = None) -> int:
    """Positions that ``adapter``, or the active one, puts before every text."""
    if not has_adapters(model):
        return 0
    adapters = adapters_of(model)
    prompt = prompts_of(adapters).get(adapter or adapters.routing.active or "")
    return 0 if prompt is None else prompt.tokens


def prompts_of(adapters: AdapterSet) -> dict[str, Prompt]:
    """The prompts by adapter name."""
    return {name: prompt for name, prompt in adapters.prompts.items() if isinstance(prompt, Prompt)}


def require_beginnings(model: nn.Module, what: str, tokens: int) -> None:
    """``Unsupported`` for a model whose texts do not begin with a state, where ``what`` (a prompt) cannot enter;
    ``ConfigError`` where ``tokens`` positions leave no room for a text."""
    row = architecture(model.config.to_hf()["model_type"])
    if row.kind not in ("decoder", "recurrent"):
        raise Unsupported(
            f"{what} enters through the state that a text begins with, and this model has none of its own",
            received=f"{row.name}, of kind {row.kind!r}",
            expected="a decoder or a recurrent language model",
            fix="adapt this model with LoRA, IA3 or a bottleneck",
        )
    config: Any = model.config
    context = config.context_tokens
    if context is not None and tokens >= context:
        raise ConfigError(
            f"{what} fills the model's context, and no text has room after it",
            received=f"{tokens} positions of {context}",
            fix="give it fewer positions",
        )


def require_tokens(tokens: int, drawn_from: Sequence[int]) -> None:
    """``ConfigError`` for a prompt of no positions, or ids (what it starts from) that cannot be."""
    if tokens < 1:
        raise ConfigError("a prompt has at least one position", received=tokens)
    if any(token < 0 for token in drawn_from):
        raise ConfigError("text_tokens are ids of the vocabulary", received=min(drawn_from), expected="0 or more")


def drawn(count: int, model: nn.Module) -> list[int]:
    """``count`` ids of the vocabulary, by chance."""
    config: Any = model.config
    return torch.randint(config.vocabulary_size, (count,)).tolist()


def repeated(ids: Sequence[int], count: int, model: nn.Module) -> torch.Tensor:
    """``ids`` again and again, up to ``count`` of them: ``[1, count]``. ``ConfigError`` for ids the model has not."""
    config: Any = model.config
    size = config.vocabulary_size
    if max(ids) >= size:
        raise ConfigError("text_tokens are ids of the vocabulary", received=max(ids), expected=f"below {size}")
    return torch.tensor([[ids[i % len(ids)] for i in range(count)]], device=next(model.parameters()).device)
