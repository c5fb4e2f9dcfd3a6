"""Texts that a model writes as mixtures of tokens, so that a discriminator's gradient reaches it.

Dropout is to be off, by its rate or by ``eval()``: what is drawn and what is learned from are to be one distribution.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.gumbel import gumbel_noise, relaxed, straight_through
from trivium.nn.soft_tokens import soft_argmax, soft_vectors
from trivium.nn.state import RecurrentState


@torch.no_grad()
def noisy_sample(
    model: nn.Module, start: Int[Tensor, "B 1"], length: int
) -> tuple[Int[Tensor, "B {length}"], Float[Tensor, "B {length} V"]]:
    """Texts of ``length`` tokens after ``start`` from the model's own distribution, without a graph: each token is the
    argmax of logits + noise, and the noise is given too."""
    last, state = start, model.new_state(start.shape[0], length)
    tokens, noises = [], []
    for _ in range(length):
        output = model(last, state=state)
        state, logits = output.state, model.head.logits(output.hidden)
        noises.append(gumbel_noise(logits))
        last = (logits + noises[-1]).argmax(-1)
        tokens.append(last)
    return torch.cat(tokens, dim=1), torch.cat(noises, dim=1)


def softened(
    model: nn.Module,
    start: Int[Tensor, "B 1"],
    tokens: Int[Tensor, "B T"],
    noise: Float[Tensor, "B T V"],
    beta: float,
    *,
    hard: bool = False,
) -> Float[Tensor, "B T V"]:
    """What `noisy_sample` gave, all of it or some rows, each token as the mixture softmax(beta (logits + noise)), with
    ``hard`` as one-hot with the gradient of that (RelGAN, Nie et al. 2019).

    As published the *token* is fed back: a gradient goes back in time through the state and not through what was drawn.
    So the texts can be drawn first, step by step, and then read in one pass that keeps a graph: the same numbers and
    the same gradient as of a loop, for any decoder, also for those whose caches are written in place.
    """
    given = torch.cat([start, tokens[:, :-1]], dim=1)
    soft = relaxed(model.head.logits(model(given).hidden) + noise, beta)
    # Between step and pass, logits differ by rounding: where two tokens all but tie, the largest may not be the drawn.
    return straight_through(soft, tokens) if hard else soft


def soft_argmax_sample(
    model: nn.Module, first: Float[Tensor, "B 1 E"], length: int, sharpness: float
) -> tuple[Int[Tensor, "B {length}"], Float[Tensor, "B {length} V"]]:
    """The likeliest text after the vector ``first`` (of a code, or of a start token), and each token as the mixture
    softmax(sharpness * logits), which is what is fed back: the gradient goes through it too (TextGAN, Zhang et al.
    2017).

    A recurrent model is stepped. What others keep is written in place, which no gradient goes through: they read the
    whole beginning at every step.
    """
    config: Any = model.config
    vectors = model.embed(torch.arange(config.vocabulary_size, device=first.device)[None])[0]
    state = model.new_state(first.shape[0], length)
    carried = all(isinstance(layer, RecurrentState) for layer in state.layers)
    given, softs = first, []
    for _ in range(length):
        output = model(embeddings=given, state=state if carried else None)
        softs.append(soft_argmax(model.head.logits(output.hidden[:, -1:]), sharpness))
        fed = soft_vectors(softs[-1], vectors)
        state, given = output.state, fed if carried else torch.cat([given, fed], dim=1)
    soft = torch.cat(softs, dim=1)
    return soft.argmax(-1), soft
