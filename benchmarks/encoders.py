"""Fine-tuning BERT beside the one in `transformers`, of the same size and weights, alternating in one process.

    python benchmarks/encoders.py [--rounds 8]
    python benchmarks/encoders.py --smoke    # less than a minute: a smaller model, two rounds

A classifier of two classes over sentences of film reviews (Pang and Lee 2005), in the pieces of bert-base-uncased: four
layers of width 512 (BERT-small, Turc et al. 2019), 32 sentences a step, fp32, fused AdamW at a learning rate of 5e-5.
Each contender does one forward, backward and update a turn with the same padded batch. `transformers` is told by an
attention mask what is padding; ours leaves it out of every layer. Nothing is dropped, so that both must tell the same
loss at every step. Batches are in an order of chance, and then, apart, of similar lengths, as a trainer sorts them.

Tokens are the true ones. Operations are counted as 6 for each weight of a block's matrices and token (2 forward, 4
backward), and 12 D for each pair of tokens of a sentence and layer. Without the review sentences (TRIVIUM_SHARED names
the folder of data) pieces are drawn, in lengths like theirs.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import zipfile
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from training import measured_peak
from transformer import Contender

from trivium.data.batches import LabelledBatch
from trivium.data.padding import padded
from trivium.models.bert import Bert, BertConfig, weight_map
from trivium.nn.weight_map import export
from trivium.objectives.classification import classification
from trivium.runtime.allocator import keep_freed_memory
from trivium.tokenizers import load

GOAL, TOLERANCE, LEARNING_RATE, ROWS = 1.5, 1e-4, 5e-5, 32
DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
LONGEST, CLS, SEP = 128, 101, 102
SHAPE: dict[str, Any] = {
    "head": "classification",
    "labels": ("negative", "positive"),
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
SMALL = BertConfig(width=256, layers=4, heads=4, inner_width=1024, **SHAPE)  # BERT-mini
USUAL = BertConfig(width=512, layers=4, heads=8, inner_width=2048, **SHAPE)


def sentences(count: int, vocabulary: int) -> list[list[int]]:
    """Ids of sentences between [CLS] and [SEP], in an order of chance."""
    data, chance = pathlib.Path(os.environ.get("TRIVIUM_SHARED", DATA)), random.Random(0)
    archive = data / "sentiment_cc" / "sentence_polarity.zip"
    if not archive.exists():
        print("no review sentences here: pieces are drawn")
        sizes = [min(LONGEST - 2, max(3, round(24 * chance.lognormvariate(0.0, 0.45)))) for _ in range(count)]
        return [[CLS, *(chance.randrange(1000, vocabulary) for _ in range(size)), SEP] for size in sizes]
    tokenizer = load(data / "tokenizers" / "bert" / "bert-base-uncased-vocab.txt")
    texts: list[str] = []
    with zipfile.ZipFile(archive) as members:
        for sign in ("neg", "pos"):
            texts += members.read(f"sentence_polarity/rt-polarity.{sign}").decode("latin-1").splitlines()
    return [[CLS, *ids[: LONGEST - 2], SEP] for ids in tokenizer.encode_batch(chance.sample(texts, count))]


def batches_of(rows: list[list[int]], *, bucketed: bool) -> list[LabelledBatch]:
    """Cut in the order given; or in that of their lengths, the batches then in an order of chance."""
    rows = sorted(rows, key=len) if bucketed else rows
    labels = torch.Generator().manual_seed(0)
    batches = []
    for at in range(0, len(rows), ROWS):
        tokens, lengths = padded(rows[at : at + ROWS])
        batches.append(LabelledBatch(tokens, lengths, torch.randint(2, lengths.shape, generator=labels)))
    if bucketed:
        random.Random(0).shuffle(batches)
    return batches


def contenders(config: BertConfig) -> tuple[list[Contender], float]:
    """Both with the same weights, and the operations per token in their matrices."""
    torch.manual_seed(0)
    model = Bert(config)
    other = transformers.BertForSequenceClassification(transformers.BertConfig(**config.to_hf()))
    given = dict(export(model.state_dict(), weight_map(config)))
    missing, unknown = other.load_state_dict(given, strict=False)
    assert not unknown and not [name for name in missing if "position_ids" not in name], (missing, unknown)

    def ours(batch: Any) -> Tensor:
        result = classification(model, batch)
        return result.total / result.count

    def theirs(batch: Any) -> Tensor:
        mask = torch.arange(batch.tokens.shape[1]) < batch.lengths[:, None]
        return other(input_ids=batch.tokens, attention_mask=mask.long(), labels=batch.labels).loss

    entries = []
    for name, loss, network in (("trivium", ours, model.train()), ("transformers", theirs, other.train())):
        entry = Contender(name, loss, list(network.parameters()))
        for group in entry.optimiser.param_groups:
            group["lr"] = LEARNING_RATE
        entries.append(entry)
    return entries, 6.0 * _matrix_weights(model.blocks)


def _matrix_weights(blocks: nn.Module) -> int:
    return sum(weight.numel() for weight in blocks.parameters() if weight.dim() == 2)


def measure(title: str, config: BertConfig, batches: list[Any]) -> float:
    """Prints rates and the ratio to `transformers`: the median over turns, of which the first is left out."""
    entries, per_token = contenders(config)
    peaks = []
    for turn, batch in enumerate(batches):
        peaks.append(measured_peak(0.2))
        for entry in entries[::-1] if turn % 2 else entries:
            entry.step(batch)
        mine, yours = (entry.losses[-1] for entry in entries)
        assert abs(mine - yours) < TOLERANCE, f"step {turn}: losses {mine} and {yours}"
    tokens = [int(batch.lengths.sum()) for batch in batches]
    pairs = [int(batch.lengths.square().sum()) for batch in batches]
    flops = [per_token * n + 12.0 * config.layers * config.width * m for n, m in zip(tokens, pairs, strict=True)]
    padding = 1 - sum(tokens) / sum(batch.tokens.numel() for batch in batches)
    print(f"\n{title}: {sum(tokens) / len(tokens):,.0f} tokens a step, {padding:.0%} of a batch is padding")
    for entry in entries:
        rate = statistics.median([n / s for n, s in zip(tokens, entry.seconds, strict=True)][1:])
        share = statistics.median([n / s for n, s in zip(flops, entry.seconds, strict=True)][1:]) / max(peaks)
        print(f"  {entry.name:14s} {rate:8,.0f} tokens/s, {share:5.1%} of the peak, last loss {entry.losses[-1]:.6f}")
    ratios = [b / a for a, b in zip(entries[0].seconds, entries[1].seconds, strict=True)][1:]
    ratio = statistics.median(ratios)
    print(f"  {'met' if ratio >= GOAL else 'MISSED'}: {ratio:.2f} x transformers ({len(ratios)} pairs), goal {GOAL}")
    print(f"  peak {max(peaks) / 1e9:.0f} GFLOP/s")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="steps of each contender")
    parser.add_argument("--smoke", action="store_true", help="a smaller model and two rounds")
    options = parser.parse_args()
    keep_freed_memory()  # for both alike
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    config, rounds = (SMALL, 2) if options.smoke else (USUAL, options.rounds)
    rows = sentences(ROWS * (rounds + 1), config.vocabulary_size)  # the first batch warms up
    results = {
        "random batches": measure("random batches", config, batches_of(rows, bucketed=False)),
        "of similar lengths": measure("of similar lengths", config, batches_of(rows, bucketed=True)),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
