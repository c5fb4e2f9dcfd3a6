"""Training throughput of our LSTM language model beside the usual loop of `nn.LSTM` and cross-entropy, in one process.

    python benchmarks/recurrent.py [--rounds 8]    # some minutes on two cores
    python benchmarks/recurrent.py --smoke         # half a minute: one size, few steps

Both have the same weights to begin with, the same batches, truncated back-propagation with carried state, gradients
clipped to 0.25 and plain SGD, as in the word-level language model of pytorch/examples: an embedding, `nn.LSTM`, a
linear layer over all positions and `F.cross_entropy` of all logits. Each does one update a turn; medians are printed,
and the share of the plain loop's time that its output layer and loss take, forward and backward. The losses of the two
are compared at every step: they compute the same.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.nn.state import State
from trivium.objectives.causal import causal
from trivium.runtime.allocator import keep_freed_memory

ROWS, CONTEXT, RATE, CLIP = 20, 35, 1.0, 0.25
GOAL = 1.3


@dataclass(frozen=True, kw_only=True)
class Size:
    """A published shape: Zaremba et al. 2014, and the vocabularies of the Penn Treebank and of WikiText-2."""

    vocabulary: int
    width: int
    layers: int = 2


SIZES = {
    "WikiText-2, 2 x 650": Size(vocabulary=33278, width=650),
    "WikiText-2, 2 x 200": Size(vocabulary=33278, width=200),
    "Penn Treebank, 2 x 650": Size(vocabulary=10000, width=650),
}
SMOKE = "Penn Treebank, 2 x 650"  # the least favourable: the output layer and the loss are two thirds of the time


class PlainLSTM(nn.Module):
    """The usual forty lines."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.rnn = nn.LSTM(size.width, size.width, size.layers, batch_first=True)
        self.output = nn.Linear(size.width, size.vocabulary)

    def forward(self, tokens: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, carried = self.rnn(self.embedding(tokens), state)
        return self.output(hidden), carried


@dataclass
class Plain:
    """The loop as it is usually written."""

    model: PlainLSTM
    seconds: list[float] = field(default_factory=list)
    state: tuple[Tensor, Tensor] | None = None

    def step(self, tokens: Tensor, targets: Tensor) -> float:
        begin = time.perf_counter()
        logits, state = self.model(tokens, self.state)
        self.state = (state[0].detach(), state[1].detach())
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        _update(self.model)
        self.seconds.append(time.perf_counter() - begin)
        return loss.item()


@dataclass
class Ours:
    """Our model under our objective, with its state carried."""

    model: LSTM
    seconds: list[float] = field(default_factory=list)
    state: State | None = None

    def step(self, tokens: Tensor, targets: Tensor) -> float:
        mask, lengths = torch.ones_like(tokens, dtype=torch.bool), torch.full((tokens.shape[0],), tokens.shape[1])
        batch = CausalBatch(tokens=tokens, targets=targets, mask=mask, lengths=lengths)
        begin = time.perf_counter()
        state = self.model.new_state(tokens.shape[0], 0) if self.state is None else self.state
        result = causal(self.model, batch, state)
        assert result.state is not None
        self.state = result.state.detach()
        loss = result.total / result.count
        loss.backward()
        _update(self.model)
        self.seconds.append(time.perf_counter() - begin)
        return loss.item()


def _update(model: nn.Module) -> None:
    """The examples' own: clip, and subtract the gradient."""
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.add_(parameter.grad, alpha=-RATE)
            parameter.grad = None


def twins(size: Size) -> tuple[Plain, Ours]:
    """The two with the same weights."""
    ours = LSTM(LSTMConfig(vocabulary_size=size.vocabulary, width=size.width, layers=size.layers, dropout=0.0))
    plain = PlainLSTM(size)
    with torch.no_grad():
        plain.embedding.weight.copy_(ours.embedding.weight)
        plain.output.weight.copy_(ours.head.weight)
        plain.output.bias.zero_()
        for layer, block in enumerate(ours.blocks):
            for name, parameter in block.rnn.named_parameters():
                getattr(plain.rnn, name.replace("_l0", f"_l{layer}")).copy_(parameter)
    return Plain(plain), Ours(ours)


def share_of_output(model: PlainLSTM, rounds: int) -> float:
    """The part of the plain loop's forward and backward pass that is its output layer and loss."""
    tokens, targets = torch.randint(model.output.out_features, (2, ROWS, CONTEXT))
    whole, output = [], []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        hidden, _ = model.rnn(model.embedding(tokens))
        apart = hidden.detach().requires_grad_()
        middle = time.perf_counter()
        F.cross_entropy(model.output(apart).flatten(0, 1), targets.flatten()).backward()
        after = time.perf_counter()
        hidden.backward(apart.grad)
        whole.append(time.perf_counter() - begin)
        output.append(after - middle)
        model.zero_grad(set_to_none=True)
    return statistics.median(part / all_ for part, all_ in zip(output[1:], whole[1:], strict=True))


def measure(name: str, size: Size, rounds: int) -> dict[str, float]:
    """One update each in turn; the first of each warms up."""
    torch.manual_seed(0)
    plain, ours = twins(size)
    generator = torch.Generator().manual_seed(0)
    furthest = 0.0
    for _ in range(rounds + 1):
        text = torch.randint(size.vocabulary, (ROWS, CONTEXT + 1), generator=generator)
        losses = [each.step(text[:, :-1], text[:, 1:]) for each in (plain, ours)]
        furthest = max(furthest, abs(losses[0] - losses[1]))
    rates = [ROWS * CONTEXT / statistics.median(each.seconds[1:]) for each in (plain, ours)]
    ratio = statistics.median(a / b for a, b in zip(plain.seconds[1:], ours.seconds[1:], strict=True))
    share = share_of_output(plain.model, max(2, rounds // 2))
    print(f"\n{name}: {ROWS} rows of {CONTEXT} tokens, {torch.get_num_threads()} threads")
    print(f"  plain loop {rates[0]:7.0f} tokens/s, {share:.0%} of a pass in the output layer and the loss")
    print(f"  trivium    {rates[1]:7.0f} tokens/s")
    verdict = "reached" if ratio >= GOAL else "missed"
    print(f"  trivium / plain {ratio:.2f}x (median of {rounds} pairs; goal {GOAL}x {verdict})")
    print(f"  losses within {furthest:.0e} of each other")
    return {"ratio": ratio, "share_of_output": share, "plain": rates[0], "trivium": rates[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--smoke", action="store_true", help="one size, three steps each")
    options = parser.parse_args()
    keep_freed_memory()
    chosen = [SMOKE] if options.smoke else list(SIZES)
    print(json.dumps({name: measure(name, SIZES[name], 3 if options.smoke else options.rounds) for name in chosen}))


if __name__ == "__main__":
    main()
