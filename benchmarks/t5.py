"""T5 beside the one in `transformers`, of the same size and weights, alternating in one process: training and beams.

    python benchmarks/t5.py [--rounds 12]
    python benchmarks/t5.py --smoke    # less than a minute: a smaller model, two rounds

Version 1.1 (gated GELU, an output matrix of its own): four layers on each side of width 256, feed-forward width 512,
four heads of 64, 8,192 pieces, dropout 0.1, fp32, fused AdamW. Each contender does one forward, backward and update a
turn with the same pairs: 16 of span corruption (128 tokens in, 29 out, nothing padded), and 32 of unequal lengths as a
shuffled task has them (log-normal, median 40 in and 12 out, at most 128). Tokens are the true ones, of source and
target. Then both write 24 tokens for 8 sources of unequal lengths with 4 beams, and must write the same ones.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

import torch
import transformers
from torch import Tensor
from transformer import Contender, pairs_of

from trivium.data.batches import Seq2SeqBatch
from trivium.generation.search.beam import beam_search
from trivium.generation.search.hypothesis import completed
from trivium.generation.settings import GenerationSettings
from trivium.models.t5 import T5, T5Config, weight_map
from trivium.nn.weight_map import export
from trivium.objectives.seq2seq import seq2seq
from trivium.runtime.allocator import keep_freed_memory

GOALS = {"training": 1.2, "beam search": 1.5}
SMALL = T5Config(
    vocabulary_size=2048, width=128, layers=2, heads=2, inner_width=256, feedforward="gated-gelu", tied=False
)
USUAL = T5Config(
    vocabulary_size=8192, width=256, layers=4, heads=4, inner_width=512, feedforward="gated-gelu", tied=False
)
BEAMS, SOURCES, NEW_TOKENS = 4, (20, 64, 33, 48, 12, 57, 40, 25), 24


def twins(config: T5Config) -> tuple[T5, transformers.T5ForConditionalGeneration]:
    """One random model, ours and theirs."""
    torch.manual_seed(0)
    model = T5(config)
    hf = transformers.T5Config(**{**config.to_hf(), "num_decoder_layers": config.layers})
    other = transformers.T5ForConditionalGeneration(hf)
    if not config.tied:  # transformers 5 ties until a checkpoint says otherwise
        other.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.head.weight))
    other.load_state_dict(dict(export(model.state_dict(), weight_map(config))), strict=False)
    return model, other


def contenders(config: T5Config) -> list[Contender]:
    """Both under the same loss."""
    model, other = twins(config)

    def ours(batch: Seq2SeqBatch) -> Tensor:
        result = seq2seq(model, batch)
        return result.total / result.count

    def theirs(batch: Seq2SeqBatch) -> Tensor:
        mask = torch.arange(batch.source.shape[1]) < batch.source_lengths[:, None]
        labels = batch.targets.masked_fill(~batch.mask, -100)
        given = {"attention_mask": mask.long(), "decoder_input_ids": batch.tokens, "labels": labels}
        return other(input_ids=batch.source, **given).loss

    pairs = ((model.train(), "trivium", ours), (other.train(), "transformers", theirs))
    return [Contender(name, loss, list(network.parameters())) for network, name, loss in pairs]


def corrupted(rows: int, vocabulary: int) -> Seq2SeqBatch:
    """As span corruption makes them of 141 tokens: all rows alike."""
    return pairs_of([(128, 29)] * rows, vocabulary)


def shuffled(rows: int, vocabulary: int, chance: random.Random) -> Seq2SeqBatch:
    """Texts as they come, and shorter ones to write for them."""

    def length(median: float) -> int:
        return min(128, max(3, round(median * chance.lognormvariate(0.0, 0.6))))

    return pairs_of([(length(40), length(12)) for _ in range(rows)], vocabulary)


def train(title: str, config: T5Config, batches: list[Seq2SeqBatch]) -> float:
    """Prints rates and the ratio to `transformers`: the median over turns, of which the first is left out."""
    entries = contenders(config)
    for turn, batch in enumerate(batches):
        for entry in entries[::-1] if turn % 2 else entries:
            entry.step(batch)
    tokens = [batch.num_tokens + int(batch.source_lengths.sum()) for batch in batches]
    print(f"\ntraining, {title}: {sum(tokens) / len(tokens):,.0f} tokens a step")
    for entry in entries:
        rate = statistics.median(n / s for n, s in list(zip(tokens, entry.seconds, strict=True))[1:])
        print(f"  {entry.name:14s} {rate:8,.0f} tokens/s   last loss {entry.losses[-1]:.3f}")
    return _told([(a, b) for a, b in zip(entries[0].seconds, entries[1].seconds, strict=True)][1:], GOALS["training"])


def search(config: T5Config, rounds: int) -> float:
    """Prints seconds and the ratio, after both have written the same."""
    model, other = (network.eval() for network in twins(config))
    chance = random.Random(1)
    sources = [[chance.randrange(2, config.vocabulary_size) for _ in range(n)] for n in SOURCES]
    settings = GenerationSettings(max_new_tokens=NEW_TOKENS, beams=BEAMS)
    width = max(SOURCES)
    padded = torch.tensor([row + [0] * (width - len(row)) for row in sources])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in sources])

    def ours() -> list[list[int]]:
        found = completed(beam_search(model, sources, settings, start_id=config.start_id))
        return [answers[0].token_ids for answers in found]

    @torch.inference_mode()
    def theirs() -> list[list[int]]:
        how = {"num_beams": BEAMS, "max_new_tokens": NEW_TOKENS, "do_sample": False, "eos_token_id": None}
        return other.generate(padded, attention_mask=mask, **how)[:, 1:].tolist()

    times: list[tuple[float, float]] = []
    for turn in range(rounds + 1):
        pair = (_timed(ours), _timed(theirs)) if turn % 2 else (_timed(theirs), _timed(ours))[::-1]
        (mine, seconds), (yours, others) = pair
        assert mine == yours, "the two do not write the same"
        times.append((seconds, others))
    print(f"\nbeam search, {BEAMS} beams, {len(SOURCES)} sources: the same {NEW_TOKENS} ids each")
    for name, each in zip(("trivium", "transformers"), zip(*times[1:], strict=True), strict=True):
        print(f"  {name:14s} {statistics.median(each):.3f} s")
    return _told(times[1:], GOALS["beam search"])


def _timed(call: Callable[[], list[list[int]]]) -> tuple[list[list[int]], float]:
    begin = time.perf_counter()
    return call(), time.perf_counter() - begin


def _told(seconds: list[tuple[float, float]], goal: float) -> float:
    ratio = statistics.median(theirs / ours for ours, theirs in seconds)
    print(f"  {'met' if ratio >= goal else 'MISSED'}: {ratio:.2f} x transformers, the goal is {goal}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="steps of each contender")
    parser.add_argument("--smoke", action="store_true", help="a smaller model and two rounds")
    options = parser.parse_args()
    keep_freed_memory()  # for both alike
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    config, rounds = (SMALL, 2) if options.smoke else (USUAL, options.rounds)
    chance = random.Random(0)
    pieces = config.vocabulary_size
    results = {
        "equal lengths": train("equal lengths", config, [corrupted(16, pieces) for _ in range(rounds + 1)]),
        "unequal lengths": train("unequal lengths", config, [shuffled(32, pieces, chance) for _ in range(rounds + 1)]),
        "beam search": search(config, max(2, rounds // 3)),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
