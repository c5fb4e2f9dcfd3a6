"""Prompt tuning: learnt vectors before the text, in the place of token embeddings (Lester et al. 2021, section 2).

The model reads them as it reads a text, and the text goes on from there: attention caches, a window's ring, latent
vectors and a recurrent ``(h, c)`` all serve.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.beginning import Prompt, drawn, repeated, require_beginnings, require_tokens
from trivium.adapters.routing import bare
from trivium.errors import ConfigError
from trivium.nn.state import State


@dataclass(frozen=True, kw_only=True)
class SoftPromptConfig:
    """Size of a soft prompt, and what it starts from."""

    tokens: int = 20
    """Positions P before the text; they count towards the model's context. More than 20 gain little (Lester et al.
    2021, section 3.2)."""
    start: Literal["vocabulary", "text", "random"] = "vocabulary"
    """vocabulary: the vectors of tokens drawn from the vocabulary; text: those of `text_tokens`; random: numbers
    between -0.5 and 0.5, which small models learn least from (section 3.2)."""
    text_tokens: tuple[int, ...] = ()
    """For text: its ids, repeated or cut to `tokens`; words that say the task or name its answers serve well."""

    def __post_init__(self) -> None:
        require_tokens(self.tokens, self.text_tokens)
        if (self.start == "text") != bool(self.text_tokens):
            raise ConfigError(
                "a soft prompt that starts from a text needs its ids, and no other does",
                received=f"start {self.start!r} with {len(self.text_tokens)} text_tokens",
                fix='give start "text" and text_tokens, or neither',
            )


class SoftPrompt(Prompt):
    """``embeddings [P, D]``, or what ``encoder`` makes of them."""

    def __init__(self, embeddings: Float[Tensor, "P D"], encoder: nn.Module | None = None) -> None:
        super().__init__(embeddings.shape[0])
        self.embeddings = nn.Parameter(embeddings)
        self.encoder = nn.Identity() if encoder is None else encoder

    def vectors(self) -> Float[Tensor, "P D"]:
        """What the model reads in the place of tokens."""
        return self.encoder(self.embeddings)

    def read(self, model: nn.Module) -> State:
        vectors = self.vectors().to(first_weight(model).dtype)  # a base may be held in fewer bits than what is trained
        return model(embeddings=vectors[None], state=model.new_state(1, self.tokens)).state


def prepare(model: nn.Module, config: SoftPromptConfig) -> Placing:
    """A soft prompt as ``config`` starts it. ``Unsupported`` for a model whose texts do not begin with a state,
    ``ConfigError`` for ids that are not in its vocabulary and a prompt that fills its context."""
    require_beginnings(model, "a soft prompt", config.tokens)
    ids = config.text_tokens or drawn(config.tokens, model)
    start = embedded(model, repeated(ids, config.tokens, model))
    if config.start == "random":
        start = torch.empty_like(start).uniform_(-0.5, 0.5)
    return placing(SoftPrompt(start))


def placing(prompt: SoftPrompt) -> Placing:
    """Puts ``prompt`` among the model's prompts."""

    def place(name: str, adapters: AdapterSet) -> None:
        adapters.prompts[name] = prompt

    return place


@torch.no_grad()
def embedded(model: nn.Module, tokens: Tensor) -> Float[Tensor, "P D"]:
    """The vectors that ``model`` reads ``tokens [1, P]`` as."""
    with bare(model):
        return model.embed(tokens)[0].clone()
