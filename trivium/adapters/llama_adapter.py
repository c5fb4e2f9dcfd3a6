"""LLaMA-Adapter: learnt prompts that the attention of the top layers looks at beside the text, behind a gate that
begins at zero (Zhang et al. 2023, "LLaMA-Adapter", section 3, eq. 6-9).

The prompt goes through the layer's own projection; its scores have a softmax of their own, eq. 8, which the gate
multiplies, so that a new adapter changes nothing. It has no position: only the queries are turned.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.blocks import chosen_blocks, width_of_block
from trivium.adapters.holder import base_modules, held, require_place
from trivium.adapters.nonlinear_holder import NonlinearHolder
from trivium.adapters.routing import unadapted
from trivium.errors import ConfigError, Unsupported
from trivium.nn.attention.kernel import Scoring, weigh
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.attention.self_attention import SelfAttention


@dataclass(frozen=True, kw_only=True)
class LlamaAdapterConfig:
    """How long the prompts are and where they stand."""

    tokens: int = 10
    """Positions of each layer's prompt; they do not count towards the context."""
    layers: int | None = None
    """How many of the top blocks have one (of an encoder-decoder the decoder's come last); all by default, in the paper
    30 of 32."""
    projected: bool = True
    """What the prompt gives goes through the attention's output matrix, as in the paper; PEFT leaves that out for
    GPT-2."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ConfigError("a prompt has at least one position", received=self.tokens)
        if self.layers is not None and self.layers < 1:
            raise ConfigError("at least one block has a prompt", received=self.layers)


class GatedPrompt(nn.Module):
    """One layer's prompt ``[P, D]``, normally distributed as the authors' code has it, and its gate."""

    def __init__(self, config: LlamaAdapterConfig, width: int, like: Tensor) -> None:
        super().__init__()
        self.prompt = nn.Parameter(like.new_empty(config.tokens, width).normal_())
        self.gate = nn.Parameter(like.new_zeros(1))
        self.projected = config.projected


class PromptedAttention(NonlinearHolder, ABC):
    """An attention whose queries look at gated prompts as well."""

    @abstractmethod
    def keys_and_values(
        self, prompt: Float[Tensor, "1 P D"]
    ) -> tuple[Float[Tensor, "1 G P K"], Float[Tensor, "1 G P K"]]:
        """Those of a prompt, without positions."""

    def joined(
        self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, cache: Cache | None, probabilities: list[Tensor] | None
    ) -> Float[Tensor, "B T D"]:
        """The attention's output for its queries, keys and values, prompts included."""
        attention = self.base
        assert isinstance(attention, RotaryAttention | SelfAttention)
        queries = q.transpose(1, 2)
        mixed = self.changed(self._within, queries, attention.mix(q, k, v, layout, cache, probabilities))
        output = attention.output(mixed.flatten(2))
        if all(self.prompt(name).projected for name in self.updates):
            return output
        return self.changed(self._after, queries, output)

    def prompt(self, name: str) -> GatedPrompt:
        """The prompt of one adapter in this layer."""
        found = self.updates[name]
        assert isinstance(found, GatedPrompt)
        return found

    def _within(self, name: str, queries: Tensor, mixed: Tensor) -> Tensor:
        return mixed + self._gathered(name, queries) if self.prompt(name).projected else mixed

    def _after(self, name: str, queries: Tensor, output: Tensor) -> Tensor:
        return output if self.prompt(name).projected else output + self._gathered(name, queries).flatten(-2)

    def _gathered(self, name: str, queries: Float[Tensor, "... H K"]) -> Float[Tensor, "... H K"]:
        """g softmax(q k^T) v over the prompt; the queries of all rows stand in line."""
        update, attention = self.prompt(name), self.base
        assert isinstance(attention, RotaryAttention | SelfAttention)
        with unadapted(self.routing):  # a prompt is no row of the batch
            keys, values = self.keys_and_values(update.prompt[None])
        line = queries.flatten(0, -3).transpose(0, 1)[None]
        made = weigh(line, keys, values, Scoring(scale=attention.scale))[0].transpose(0, 1)
        return made.reshape(queries.shape) * update.gate.to(made.dtype)


class PromptedRotaryAttention(PromptedAttention):
    """With rotary positions (LLaMA, Mistral)."""

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"] | None,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        assert isinstance(self.base, RotaryAttention)
        return self.joined(*self.base.project(x, rotation), layout, cache, probabilities)

    def keys_and_values(
        self, prompt: Float[Tensor, "1 P D"]
    ) -> tuple[Float[Tensor, "1 G P K"], Float[Tensor, "1 G P K"]]:
        assert isinstance(self.base, RotaryAttention)
        return self.base.project(prompt, None)[1:]


class PromptedSelfAttention(PromptedAttention):
    """Without positions of its own (GPT-2)."""

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        assert isinstance(self.base, SelfAttention)
        return self.joined(*self.base.project(x), layout, cache, probabilities)

    def keys_and_values(
        self, prompt: Float[Tensor, "1 P D"]
    ) -> tuple[Float[Tensor, "1 G P K"], Float[Tensor, "1 G P K"]]:
        assert isinstance(self.base, SelfAttention)
        return self.base.project(prompt)[1:]


_HOLDERS: dict[type[nn.Module], type[PromptedAttention]] = {
    RotaryAttention: PromptedRotaryAttention,
    SelfAttention: PromptedSelfAttention,
}


def prepare(model: nn.Module, config: LlamaAdapterConfig) -> Placing:
    """A prompt for each of the top blocks. ``Unsupported`` for a model whose attention is of another kind,
    ``ConfigError`` for more blocks than there are."""
    blocks = chosen_blocks(model, None, "a LLaMA-Adapter")
    modules, like = base_modules(model), first_weight(model)
    kinds = {type(modules[f"blocks.{block}.attention"]) for block in blocks}
    if not kinds <= _HOLDERS.keys():
        raise Unsupported(
            "a LLaMA-Adapter needs the attention of LLaMA or of GPT-2",
            received=f"{type(model).__name__}, whose attention is {', '.join(sorted(kind.__name__ for kind in kinds))}",
            expected="queries, keys and values of one matrix, with rotary positions or with none",
            fix="use prefix tuning, or bottleneck adapters",
        )
    count = len(blocks) if config.layers is None else config.layers
    if count > len(blocks):
        raise ConfigError("more blocks than the model has", received=count, expected=f"at most {len(blocks)}")
    new: dict[str, GatedPrompt] = {}
    for block in blocks[-count:]:
        path = f"blocks.{block}.attention"
        require_place(model, path, PromptedAttention)
        new[path] = GatedPrompt(config, width_of_block(model, block), like)

    def place(name: str, adapters: AdapterSet) -> None:
        for path, prompt in new.items():
            kind = _HOLDERS[type(modules[path])]
            held(model, path, kind, lambda base, kind=kind: kind(base, adapters.routing)).updates[name] = prompt

    return place
