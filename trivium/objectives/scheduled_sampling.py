"""Scheduled sampling (Bengio et al. 2015, "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks").

Under teacher forcing a decoder never meets its own mistakes. Here every word that it is given is the true one with
probability epsilon, else the model's own estimate, and epsilon falls as training goes on (section 2.4). What is
learned is biased (Huszár 2015): teacher forcing is the default everywhere.

    source = ScheduledSource(pairs, Decay(kind="inverse_sigmoid", k=1000.0), seed=0)
    learner = SupervisedLearner(model, scheduled_sampling, config, steps=steps)

Every chance is drawn with the batch, from the seed and the batch's number: a run goes on as if never stopped, and parts
of a batch give what the whole gives. No gradient goes through what was chosen, as published. So the words are chosen
first, in evaluation mode and step by step, and then learned from in one pass, which is what is kept for the gradient.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import Batch, Seq2SeqBatch
from trivium.data.order import random_number
from trivium.data.resumable import BatchSource
from trivium.errors import ConfigError
from trivium.nn.inverse_cdf import draw
from trivium.objectives.loss import Loss
from trivium.objectives.seq2seq import seq2seq


@dataclass(frozen=True, kw_only=True)
class Decay:
    """How the probability of the true word falls with the batch's number i, counted from 0 (section 2.4)."""

    kind: Literal["linear", "exponential", "inverse_sigmoid"] = "inverse_sigmoid"
    """max(floor, k - slope * i); k ** i; or k / (k + exp(i / k))."""
    k: float = 1000.0
    """At most 1 for linear, below 1 for exponential, at least 1 for inverse_sigmoid."""
    slope: float = 0.0
    """What a batch takes away (linear)."""
    floor: float = 0.0
    """What is always left (linear)."""

    def __post_init__(self) -> None:
        below = math.nextafter(1.0, 0.0)
        least, most = {"linear": (0.0, 1.0), "exponential": (0.0, below), "inverse_sigmoid": (1.0, math.inf)}[self.kind]
        if not (least <= self.k <= most and math.isfinite(self.k)):
            wanted = {"linear": "0 to 1", "exponential": "at least 0, below 1", "inverse_sigmoid": "at least 1"}
            raise ConfigError(f"k does not fit the {self.kind} decay", received=self.k, expected=wanted[self.kind])
        if not 0.0 <= self.slope < math.inf:
            raise ConfigError("slope must be a finite number of at least 0", received=self.slope)
        if not 0.0 <= self.floor <= 1.0:
            raise ConfigError("floor is a probability", received=self.floor, expected="0 to 1")

    def at(self, number: int) -> float:
        """epsilon_i: the probability that the decoder is given a true word."""
        if self.kind == "linear":
            return max(self.floor, self.k - self.slope * number)
        if self.kind == "exponential":
            return self.k**number
        return self.k / (self.k + math.exp(min(number / self.k, 700.0)))  # e^700 is nearly all that a float holds


@dataclass(frozen=True, eq=False)
class ScheduledBatch(Batch):
    """Pairs with the chances that decide what the decoder is given."""

    pairs: Seq2SeqBatch
    """The true words."""
    forced: Bool[Tensor, "B T"]
    """True where the decoder is given the true word of ``pairs.tokens``; the start token always is."""
    chances: Float[Tensor, "B T"]
    """Uniform in [0, 1): which word the model's own distribution gives elsewhere."""

    @property
    def num_tokens(self) -> int:
        return self.pairs.num_tokens


class ScheduledSource:
    """The batches of another source with their chances; counts them, and stands where it stood when resumed."""

    def __init__(self, pairs: BatchSource[Seq2SeqBatch], decay: Decay, *, seed: int = 0, rank: int = 0) -> None:
        """``rank`` gives each process chances of its own."""
        self._pairs, self._decay, self._seed, self._rank = pairs, decay, seed, rank
        self._number = 0

    def __iter__(self) -> "ScheduledSource":
        return self

    def __next__(self) -> ScheduledBatch:
        batch = next(self._pairs)
        seed = random_number(random_number(self._seed, self._number, 1 << 62), self._rank, 1 << 62)
        generator = torch.Generator().manual_seed(seed)
        coins, chances = torch.rand(2, *batch.tokens.shape, generator=generator)
        forced = coins < self._decay.at(self._number)
        forced[:, 0] = True
        self._number += 1
        return ScheduledBatch(pairs=batch, forced=forced, chances=chances)

    def state_dict(self) -> dict[str, Any]:
        """Where the source stands, as JSON."""
        return {"number": self._number, "pairs": self._pairs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the batch that would have come after `state_dict` was taken."""
        self._number = int(state["number"])
        self._pairs.load_state_dict(state["pairs"])


def scheduled_sampling(
    model: nn.Module, batch: ScheduledBatch | Seq2SeqBatch, *, greedy: bool = False, label_smoothing: float = 0.0
) -> Loss:
    """The loss of ``seq2seq``, in nats and over the same true count, with the model's own words in its input.

    ``greedy`` gives the likeliest word instead of one drawn from the distribution. The metric "own_words" counts what
    was not forced. A plain batch, for validation, is teacher-forced: its loss is comparable, its exponential a
    perplexity.
    """
    if isinstance(batch, Seq2SeqBatch):
        return seq2seq(model, batch, label_smoothing=label_smoothing)
    free = _free(batch)
    given = dataclasses.replace(batch.pairs, tokens=_words(model, batch, free, greedy=greedy))
    loss = seq2seq(model, given, label_smoothing=label_smoothing)
    return dataclasses.replace(loss, metrics={**loss.metrics, "own_words": free.sum().to(loss.total.dtype)})


def _free(batch: ScheduledBatch) -> Bool[Tensor, "B T"]:
    """Where the decoder is given a word of the model's."""
    places = torch.arange(batch.forced.shape[1], device=batch.forced.device)
    return ~batch.forced & (places < batch.pairs.lengths[:, None])


@torch.no_grad()
def _words(model: nn.Module, batch: ScheduledBatch, free: Tensor, *, greedy: bool) -> Int[Tensor, "B T"]:
    """The decoder's input: true words, and where ``free`` what the model says after the words before."""
    tokens, columns = batch.pairs.tokens.clone(), free.any(0).nonzero()[:, 0].tolist()
    if not columns:
        return tokens
    training = model.training
    model.eval()  # an estimate is the model's, not that of what dropout leaves of it
    state = model.encode(batch.pairs.source, batch.pairs.source_lengths, capacity=columns[-1])
    read = 0
    for column in columns:
        output = model(tokens[:, read:column], state=state)
        state, read = output.state, column
        own = _chosen(model.head.logits(output.hidden[:, -1]), None if greedy else batch.chances[:, column])
        tokens[:, column] = torch.where(free[:, column], own, tokens[:, column])
    model.train(training)
    return tokens


def _chosen(logits: Float[Tensor, "B V"], chances: Float[Tensor, "B"] | None) -> Int[Tensor, "B"]:
    """The likeliest word, or the one that its chance draws."""
    return logits.argmax(-1) if chances is None else draw(logits, chances)
