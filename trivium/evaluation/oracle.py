"""The synthetic test of text generators: a language in which the likelihood of every text is known.

    language = oracle(5000, seed=0)
    train, held_out = oracle_texts(language, 10_000, 20, seed=1), oracle_texts(language, 10_000, 20, seed=2)
    ...
    scores = oracle_scores(language, generator, held_out, seed=3)

Real text says nothing of how likely a sample is; an LSTM with weights of chance does, of its own language (Yu et al.
2017, "SeqGAN", section 4). Three figures, all in nats a token and the lower the better but for the last:

    NLL_oracle = -E_{x ~ generator} log p_oracle(x)          quality: are its texts of the language?
    NLL_test   = -E_{x ~ oracle} log p_generator(x)          coverage: has it all of the language?
    NLL_div    = -E_{x ~ generator} log p_generator(x)       its own entropy: low where it says little else

NLL_oracle alone says nothing: it falls where a generator is merely cooled, or has but one likely text. The language's
own entropy, `NLL_oracle` of its own texts, is what a perfect generator has in all three. Held-out texts are others than
those that were learnt from: to score the training set, as some published code does, measures memory.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.evaluation.intervals import Interval
from trivium.evaluation.text_nats import nats_per_token
from trivium.generation.ancestral import sample
from trivium.models.lstm import LSTM, LSTMConfig

WIDTH = 32
"""Of the oracle's embedding and of its one layer, as in the authors' code."""
START = 0
"""Id that stands before every text; the oracle also writes it."""
_ROWS = 512  # texts sampled at a time


@dataclass(frozen=True, kw_only=True)
class OracleScores:
    """What is known of a generator at one temperature, in nats a token; intervals at 95 %, over other texts."""

    oracle: Interval
    """NLL_oracle: of its texts under the oracle."""
    test: Interval
    """NLL_test: of the oracle's texts under it."""
    own: Interval
    """NLL_div: of its texts under itself."""


def oracle(vocabulary: int, seed: int) -> LSTM:
    """An LSTM whose every weight is drawn from N(0, 1), frozen, in evaluation mode; the default generator is untouched.

    A kernel adds two biases where the paper's equations have one; the second is 0 here, so that their sum is N(0, 1)
    as well.
    """
    chance = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        network = LSTM(LSTMConfig(vocabulary_size=vocabulary, width=WIDTH, layers=1, dropout=0.0))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("rnn.bias_hh_l0"):
                parameter.zero_()
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=chance))
    return network.eval().requires_grad_(False)


def oracle_texts(
    model: nn.Module, count: int, length: int, *, seed: int, start: int = START, temperature: float = 1.0
) -> Int[Tensor, "N T"]:
    """`count` texts of `length` tokens that `model`, the oracle or a generator, writes after `start`; on the CPU.

    The same model in evaluation mode and the same seed give the same texts; the default generator is untouched.
    """
    chance = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    texts = []
    for first in range(0, count, _ROWS):
        begun = torch.full((min(_ROWS, count - first), 1), start, device=device)
        texts.append(sample(model, begun, length, temperature=temperature, chance=chance).cpu())
    return torch.cat(texts)


def oracle_scores(
    language: nn.Module,
    generator: nn.Module,
    held_out: Int[Tensor, "N T"],
    *,
    seed: int,
    start: int = START,
    temperature: float = 1.0,
    samples: int | None = None,
) -> OracleScores:
    """The three figures of `generator`, whose logits are divided by `temperature` to sample and to score alike.

    It writes `samples` texts, by default as many as are `held_out`, as long as those. Raises `DataError` for fewer than
    two texts.
    """
    count, length = held_out.shape
    generator.eval()
    texts = oracle_texts(generator, samples or count, length, seed=seed, start=start, temperature=temperature)
    written, real = list(texts.numpy()), list(held_out.numpy())
    return OracleScores(
        oracle=nats_per_token(language, written, start=start),
        test=nats_per_token(generator, real, start=start, temperature=temperature),
        own=nats_per_token(generator, written, start=start, temperature=temperature),
    )
