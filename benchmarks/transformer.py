"""Training a translator beside Marian's model in `transformers`, of the same size, alternating in one process.

    python benchmarks/transformer.py [--rounds 12] [--compile]
    python benchmarks/transformer.py --smoke    # less than a minute: a smaller model, two rounds

Three layers on each side of width 256, feed-forward width 1,024, eight heads, 8,192 pieces shared by source and target,
64 pairs a step, dropout 0.1, fp32, fused AdamW: the Transformer of the Multi30k recipes. Pairs are as long as captions
and their translations (log-normal, median 13 pieces, at most 48), sorted into batches of similar length as trainers do;
and, apart, all 32 long, where nothing is padded. Each contender does one forward, backward and update a turn with
the same pairs. Tokens are the true ones, of source and target. Our step with label smoothing is told beside it;
`transformers` has none inside its model.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trivium.data.batches import Seq2SeqBatch
from trivium.models.transformer import Transformer, TransformerConfig
from trivium.objectives.loss import Loss
from trivium.objectives.seq2seq import seq2seq
from trivium.runtime.allocator import keep_freed_memory

ROWS, LONGEST, EVEN = 64, 48, 32
GOAL = 1.2
SMALL = TransformerConfig(vocabulary_size=2048, width=128, layers=2, heads=4, inner_width=256)
USUAL = TransformerConfig(vocabulary_size=8192, width=256, layers=3, heads=8, inner_width=1024)


@dataclass
class Contender:
    """A model with its update."""

    name: str
    loss: Callable[[Seq2SeqBatch], Tensor]
    parameters: list[nn.Parameter]
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.AdamW(self.parameters, lr=3e-4, fused=True)

    def step(self, batch: Seq2SeqBatch) -> None:
        begin = time.perf_counter()
        loss = self.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.seconds.append(time.perf_counter() - begin)
        self.losses.append(loss.item())


def ours(name: str, config: TransformerConfig, compiled: bool, label_smoothing: float = 0.0) -> Contender:
    """Our model under our objective; compiled the way the trainer does it, block by block."""
    model = Transformer(config).train()
    if compiled:
        for block in model.blocks:
            block.compile()

    def loss(batch: Seq2SeqBatch) -> Tensor:
        result: Loss = seq2seq(model, batch, label_smoothing=label_smoothing)
        return result.total / result.count

    return Contender(name, loss, list(model.parameters()))


def theirs(name: str, config: TransformerConfig, compiled: bool) -> Contender:
    """`transformers`' model with its own loss, told which pieces are padding."""
    from transformers import MarianConfig, MarianMTModel

    model = MarianMTModel(MarianConfig(**config.to_hf())).train()
    called = torch.compile(model) if compiled else model

    def loss(batch: Seq2SeqBatch) -> Tensor:
        mask = torch.arange(batch.source.shape[1]) < batch.source_lengths[:, None]
        labels = batch.targets.masked_fill(~batch.mask, -100)
        return called(
            input_ids=batch.source, attention_mask=mask.long(), decoder_input_ids=batch.tokens, labels=labels
        ).loss

    return Contender(name, loss, [p for p in model.parameters() if p.requires_grad])


def pairs_of(lengths: list[tuple[int, int]], vocabulary: int) -> Seq2SeqBatch:
    """Random pieces of the given lengths, source and target."""
    source_lengths, target_lengths = (torch.tensor(each) for each in zip(*lengths, strict=True))
    source = torch.randint(1, vocabulary, (len(lengths), int(source_lengths.max())))
    targets = torch.randint(1, vocabulary, (len(lengths), int(target_lengths.max())))
    mask = torch.arange(targets.shape[1]) < target_lengths[:, None]
    begun = torch.cat([torch.zeros(len(lengths), 1, dtype=torch.long), targets[:, :-1]], dim=1)
    return Seq2SeqBatch(source, source_lengths, begun, targets, mask, target_lengths)


def caption_batches(count: int, vocabulary: int) -> list[Seq2SeqBatch]:
    """Batches of similar length, in random order."""
    chance = random.Random(0)

    def length(median: float, spread: float) -> int:
        return min(LONGEST, max(3, round(median * chance.lognormvariate(0.0, spread))))

    sources = sorted(length(13, 0.35) for _ in range(count * ROWS))
    pairs = [(source, length(source, 0.15)) for source in sources]
    batches = [pairs_of(pairs[at : at + ROWS], vocabulary) for at in range(0, len(pairs), ROWS)]
    chance.shuffle(batches)
    return batches


def even_batches(count: int, vocabulary: int) -> list[Seq2SeqBatch]:
    """Every text as long as the others."""
    return [pairs_of([(EVEN, EVEN)] * ROWS, vocabulary) for _ in range(count)]


def measure(title: str, config: TransformerConfig, batches: list[Seq2SeqBatch], compiled: bool) -> float:
    """Prints rates and the ratio to `transformers`: the median over turns, of which the first is left out."""
    entries = [
        ours("trivium", config, compiled),
        theirs("transformers", config, compiled),
        ours("trivium, label smoothing 0.1", config, compiled, label_smoothing=0.1),
    ]
    sizes = [sum(p.numel() for p in entry.parameters) for entry in entries]
    for turn, batch in enumerate(batches):
        for entry in entries[::-1] if turn % 2 else entries:
            entry.step(batch)
    tokens = [batch.num_tokens + int(batch.source_lengths.sum()) for batch in batches]
    print(f"\n{title}: {sizes[0] / 1e6:.1f}M parameters, {sum(tokens) / len(tokens):,.0f} tokens a step")
    for entry, size in zip(entries, sizes, strict=True):
        rate = statistics.median(n / s for n, s in list(zip(tokens, entry.seconds, strict=True))[1:])
        print(f"  {entry.name:30s} {rate:8,.0f} tokens/s   {size:,} parameters, last loss {entry.losses[-1]:.2f}")
    ratio = statistics.median(b / a for a, b in list(zip(entries[0].seconds, entries[1].seconds, strict=True))[1:])
    print(f"  {'met' if ratio >= GOAL else 'MISSED'}: {ratio:.2f} x transformers, the goal is {GOAL}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="steps of each contender")
    parser.add_argument("--compile", action="store_true", help="also compiled, on both sides")
    parser.add_argument("--smoke", action="store_true", help="a smaller model and two rounds")
    options = parser.parse_args()
    keep_freed_memory()  # for all alike
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    config, rounds = (SMALL, 2) if options.smoke else (USUAL, options.rounds)
    results = {}
    for compiled in (False, True) if options.compile else (False,):
        how = "compiled" if compiled else "eager"
        for name, make in (("captions", caption_batches), ("all equally long", even_batches)):
            batches = make(rounds + 1, config.vocabulary_size)  # the first warms up (and compiles)
            results[f"{how}, {name}"] = measure(f"{name}, {how}", config, batches, compiled)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
