"""An iteration of SeqGAN's generator beside the published loop, in one process.

    python benchmarks/text_gan.py            # some ten minutes: on one thread and on two
    python benchmarks/text_gan.py --smoke    # a minute: few endings, one thread

The published sizes: vocabulary 5,000, 64 texts of 20 tokens, 16 endings of each beginning, an LSTM of width 32, the
discriminator with its 1,720 filters. The plain loop is the published one, written with what PyTorch has: `nn.LSTM`
on 64 rows at a time, every beginning read anew from its start for every ending (in one call of the kernel, where the
programs step through it), `torch.softmax` and `torch.multinomial`, `nn.Conv2d` and `max_pool2d`. Ours reads the texts
once, continues all endings of a beginning side by side from the state that it left, and draws by summed probabilities.

Both have the same weights. Roll-outs alone are rewarded by a cheap judge: the mean rewards at every position must agree
to chance, which is checked, and both discriminators must say the same of the same texts. The iteration is all of it: 64
texts, their rewards by the discriminator, the gradient, the update. Each side works in turns; medians are printed.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.data.whole_texts import whole_texts
from trivium.evaluation.oracle import START, oracle, oracle_texts
from trivium.generation.ancestral import sample
from trivium.models.lstm import LSTM
from trivium.models.text_cnn import SIZES, TextCNN
from trivium.nn.highway import Highway
from trivium.nn.inverse_cdf import draw
from trivium.objectives.seqgan import REAL, SeqGANConfig
from trivium.runtime.allocator import keep_freed_memory
from trivium.training.adversarial.rollouts import rollout_rewards
from trivium.training.adversarial.seqgan import SeqGAN
from trivium.training.adversarial.two_classes import realness
from trivium.training.learners.adversarial import AdversarialConfig, AdversarialLearner

VOCABULARY, LENGTH, ROWS, ROLLOUTS = 5000, 20, 64, 16
RATE, CLIP, LAG = 1e-2, 5.0, 0.8
GOAL = 10.0
Judge = Callable[[Tensor], Tensor]
Result = TypeVar("Result")


class PlainGenerator(nn.Module):
    """As it is usually written."""

    def __init__(self, like: LSTM) -> None:
        super().__init__()
        self.embedding = copy.deepcopy(like.embedding)
        self.rnn = nn.LSTM(32, 32, batch_first=True)
        self.rnn.load_state_dict(like.blocks[0].rnn.state_dict())
        self.output = nn.Linear(32, VOCABULARY)
        self.output.load_state_dict(
            {"weight": like.head.get_parameter("weight"), "bias": like.head.get_parameter("bias")}
        )

    def forward(self, tokens: Tensor, state: tuple[Tensor, Tensor] | None = None):
        hidden, state = self.rnn(self.embedding(tokens), state)
        return self.output(hidden), state

    @torch.no_grad()
    def sample(self, begun: Tensor) -> Tensor:
        """Whole texts that begin as `begun` does, which is after the start."""
        start = torch.full_like(begun[:, :1], START) if begun.shape[1] else torch.full((ROWS, 1), START)
        logits, state = self(torch.cat([start, begun], 1))
        tokens = [begun]
        for _ in range(LENGTH - begun.shape[1]):
            tokens.append(torch.multinomial(torch.softmax(logits[:, -1], -1), 1))
            logits, state = self(tokens[-1], state)
        return torch.cat(tokens, 1)


class PlainDiscriminator(nn.Module):
    """As it is usually written."""

    def __init__(self, like: TextCNN) -> None:
        super().__init__()
        config, highway = like.config, like.classify.transform
        assert isinstance(highway, Highway)
        self.embedding = copy.deepcopy(like.embedding)
        pairs = zip(config.windows, config.filters, strict=True)
        self.windows = nn.ModuleList(nn.Conv2d(1, count, (window, config.width)) for window, count in pairs)
        for plain, ours in zip(self.windows, like.blocks, strict=True):
            weight, bias = ours.get_parameter("convolution.weight"), ours.get_parameter("convolution.bias")
            plain.load_state_dict({"weight": weight.transpose(1, 2)[:, None], "bias": bias})
        width = sum(config.filters)
        self.transform, self.gate, self.output = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 2)
        for plain, ours in zip((self.transform, self.gate, self.output), self._heads(like), strict=True):
            plain.load_state_dict(ours.state_dict())

    @staticmethod
    def _heads(like: TextCNN) -> list[nn.Module]:
        return [like.get_submodule(f"classify.{name}") for name in ("transform.transform", "transform.gate", "output")]

    @torch.no_grad()
    def forward(self, texts: Tensor) -> Tensor:
        """The probability that each is real."""
        vectors = self.embedding(texts)[:, None]
        answers = [F.relu(window(vectors))[..., 0] for window in self.windows]
        x = torch.cat([F.max_pool1d(each, each.shape[2])[..., 0] for each in answers], 1)
        gate = torch.sigmoid(self.gate(x))
        x = gate * F.relu(self.transform(x)) + (1 - gate) * x
        return torch.softmax(self.output(x), -1)[:, REAL]


def plain_rewards(policy: PlainGenerator, judge: Judge, texts: Tensor, rollouts: int) -> Tensor:
    """The published Monte Carlo search: for every ending, for every beginning."""
    rewards = torch.zeros(texts.shape)
    for _ in range(rollouts):
        for given in range(1, LENGTH):
            rewards[:, given - 1] += judge(policy.sample(texts[:, :given]))
        rewards[:, LENGTH - 1] += judge(texts)
    return rewards / rollouts


@dataclasses.dataclass
class PlainIteration:
    """The published update of the generator."""

    generator: PlainGenerator
    judge: Judge
    rollouts: int

    def __post_init__(self) -> None:
        self.lagging = copy.deepcopy(self.generator)
        self.optimiser = torch.optim.Adam(self.generator.parameters(), lr=RATE)

    def __call__(self) -> None:
        texts = self.generator.sample(torch.zeros(ROWS, 0, dtype=torch.long))
        rewards = plain_rewards(self.lagging, self.judge, texts, self.rollouts)
        given = torch.cat([torch.full_like(texts[:, :1], START), texts[:, :-1]], 1)
        logs = F.log_softmax(self.generator(given)[0], -1).gather(-1, texts[..., None])[..., 0]
        self.optimiser.zero_grad()
        (-(rewards * logs).sum()).backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), CLIP)
        self.optimiser.step()
        with torch.no_grad():
            for lagging, present in zip(self.lagging.parameters(), self.generator.parameters(), strict=True):
                lagging.mul_(LAG).add_(present, alpha=1 - LAG)


def our_iteration(generator: LSTM, discriminator: TextCNN, rollouts: int) -> Callable[[], None]:
    """A step of the learner that leaves the discriminator as it is."""
    game = SeqGAN(copy.deepcopy(generator), discriminator, SeqGANConfig(rollouts=rollouts, rollout_lag=LAG))
    learner = AdversarialLearner(game, AdversarialConfig(discriminator_updates=0), steps=1000)
    batch: CausalBatch = whole_texts(oracle_texts(generator, ROWS, LENGTH, seed=1).tolist(), START)

    def step() -> None:
        learner.step(batch)

    return step


def cheap(texts: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The share of small ids."""
    return (texts < VOCABULARY // 2).float().mean(1)


def largest_deviation(ours: Tensor, theirs: Tensor) -> float:
    """Of the mean rewards at all positions, in standard errors of their difference over texts."""
    each = (ours - theirs)[:, :-1]
    return float((each.mean(0) / (each.std(0) / each.shape[0] ** 0.5)).abs().max())


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Its seconds, and what it gave. On one thread those of the processor: other jobs do not count."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    result = work()
    return clock() - began, result


def parts(generator: LSTM) -> dict[str, float]:
    """What one token of all endings costs, in milliseconds."""
    rows = ROWS * ROLLOUTS
    tokens, chances = torch.zeros(rows, 1, dtype=torch.long), torch.rand(rows)
    with torch.no_grad():
        output = generator(tokens, state=generator.new_state(rows, 2))
        logits = generator.head.logits(output.hidden[:, -1])
        work = {
            "recurrent step": lambda: generator(tokens, state=output.state),
            "logits": lambda: generator.head.logits(output.hidden[:, -1]),
            "drawing": lambda: draw(logits, chances),
            "torch.multinomial": lambda: torch.multinomial(torch.softmax(logits, -1), 1),
        }
        return {name: 1000 * min(timed(each)[0] for _ in range(5)) for name, each in work.items()}


def measure(threads: int, rounds: int, rollouts: int) -> dict[str, Any]:
    """Both sides in turns."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    generator = oracle(VOCABULARY, 0).requires_grad_(True)
    discriminator = TextCNN(dataclasses.replace(SIZES["seqgan"], dropout=0.0)).eval()
    plain, judge = PlainGenerator(generator), PlainDiscriminator(discriminator).eval()
    texts = sample(generator, torch.full((ROWS, 1), START), LENGTH)
    lengths = torch.full((ROWS,), LENGTH)
    torch.testing.assert_close(realness(discriminator, texts, lengths), judge(texts), atol=1e-5, rtol=1e-4)
    found: dict[str, list[float]] = {"ours": [], "plain": [], "our iteration": [], "plain iteration": []}
    step, plain_step = our_iteration(generator, discriminator, rollouts), PlainIteration(plain, judge, rollouts)
    step()
    worst, start = 0.0, torch.full((ROWS, 1), START)
    for _ in range(rounds):
        took, ours = timed(lambda: rollout_rewards(generator, cheap, start, texts, lengths, rollouts))
        found["ours"].append(took)
        took, theirs = timed(lambda: plain_rewards(plain, cheap, texts, rollouts))
        found["plain"].append(took)
        worst = max(worst, largest_deviation(ours, theirs))
        found["our iteration"].append(timed(step)[0])
        found["plain iteration"].append(timed(plain_step)[0])
    assert worst < 4.5, f"the rewards differ by {worst:.1f} standard errors"
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {
        "threads": threads,
        "rollouts": rollouts,
        "rollouts_seconds": [medians["ours"], medians["plain"]],
        "rollouts_ratio": medians["plain"] / medians["ours"],
        "iteration_seconds": [medians["our iteration"], medians["plain iteration"]],
        "iteration_ratio": medians["plain iteration"] / medians["our iteration"],
        "largest_deviation": worst,
        "milliseconds_a_token": parts(generator),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="one measurement with each number")
    parser.add_argument("--smoke", action="store_true", help="two endings of each beginning, one round, one thread")
    parser.add_argument("--json", action="store_true", help="for programs")
    asked = parser.parse_args()
    keep_freed_memory()
    for threads in (1,) if asked.smoke else asked.threads:
        told = measure(threads, 1 if asked.smoke else asked.rounds, 2 if asked.smoke else ROLLOUTS)
        if asked.json:
            print(json.dumps(told))
            continue
        print(f"{threads} thread{'s' if threads > 1 else ''}, {told['rollouts']} endings of each beginning")
        for what in ("rollouts", "iteration"):
            ours, theirs = told[f"{what}_seconds"]
            ratio = told[f"{what}_ratio"]
            verdict = "met" if ratio >= GOAL else "MISSED"
            print(f"  {what}: ours {ours:.2f} s, plain {theirs:.2f} s, {ratio:.1f}x (goal {GOAL:.0f}x, {verdict})")
        print(f"  mean rewards differ by at most {told['largest_deviation']:.1f} standard errors")
        print("  milliseconds for one token of 1,024 endings: " + _listed(told["milliseconds_a_token"]))


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
