"""What each special layer of a decoder does, on one page: which tokens it looks at, and what it learns.

    python benchmarks/figures/special_layers.py          # a minute or two on one core
    python benchmarks/figures/special_layers.py --smoke  # a trial of seconds, into a page of its own

Small networks of the architecture "modular" are trained on Tiny Shakespeare by characters, with one part exchanged in
each. The page shows what each kind of attention gives its earlier tokens, how the weight of a key depends on its
distance under each kind of positions, the spans that heads learn, which slots of a product-key memory are read, and the
perplexity of a kNN-LM by the weight of its neighbours. They are pictures of mechanisms: networks of this size and time
tell nothing of which is better. The text is looked for in TRIVIUM_SHARED, else in shared/data beside the repository.
Result: runs/special-layers.html.
"""

import argparse
import functools
import os
import pathlib
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import torch
from extrapolation import Windows, drawing, train
from torch import Tensor

from trivium.generation.knn import KnnSettings
from trivium.lm.datastore import build, log_probs, perplexity
from trivium.models.modular import Modular
from trivium.models.modular_config import MemoryConfig, ModularConfig, PatternConfig
from trivium.nn.product_keys import ProductKeyMemory
from trivium.reports import parts
from trivium.reports.page import Page, Section, write

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_SHOWN = 48
"""Tokens of a picture of attention."""
_TOKENS = 128
"""Tokens of a window in training."""

_PATTERN = PatternConfig(
    window_tokens=12, block_tokens=8, summary_tokens=1, span_tokens=96, ramp_tokens=8, first_span_tokens=48.0
)
_ATTENTION: dict[str, dict[str, Any]] = {
    "full": {},
    "window": {"attention": "window"},
    "strided": {"attention": "strided"},
    "fixed": {"attention": "fixed"},
    "block-sparse": {"attention": "block_sparse"},
    "adaptive span": {"attention": "adaptive_span"},
}
_POSITIONS = ("sinusoidal", "rope", "alibi", "t5", "shaw", "transformer_xl")


@dataclass(frozen=True)
class Effort:
    """How long everything takes."""

    steps: int
    rows: int
    places: int
    """Characters whose hidden states a datastore holds."""


class Characters:
    """A text as numbers of its characters."""

    def __init__(self, text: str) -> None:
        self.known = sorted(set(text))
        numbers = {character: i for i, character in enumerate(self.known)}
        self.ids = torch.tensor([numbers[character] for character in text])

    def windows(self, rows: int, *, before: int) -> Windows:
        """Random windows of the first ``before`` characters."""

        def windows(step: int) -> Tensor:
            chance = torch.Generator().manual_seed(step)
            begins = torch.randint(before - _TOKENS, (rows, 1), generator=chance)
            return self.ids[begins + torch.arange(_TOKENS + 1)]

        return windows


@functools.cache
def trained(text: Characters, effort: Effort, positions: str = "rope", **fields: Any) -> Modular:
    """A small network of the given parts; asked for again, it is the same one."""
    print("---", positions, *(name for name in fields), flush=True)
    torch.manual_seed(0)
    config = ModularConfig(
        **{
            "vocabulary_size": len(text.known),
            "width": 64,
            "layers": 2,
            "heads": 4,
            "context_tokens": _TOKENS,
            "positions": positions,
            "furthest_tokens": 64,
            "pattern": _PATTERN,
            **fields,
        }
    )
    model = Modular(config)
    train(model, text.windows(effort.rows, before=9 * len(text.ids) // 10), steps=effort.steps)
    return model


@torch.inference_mode()
def attention(text: Characters, effort: Effort) -> str:
    """A map of the mean weight of every earlier token, in the last layer, for each kind of attention."""
    pieces = [parts.visible(text.known[i]) for i in text.ids[:_SHOWN].tolist()]
    body = ""
    for name, fields in _ATTENTION.items():
        with torch.inference_mode(False):
            model = trained(text, effort, **fields)
        weights = model(text.ids[None, :_SHOWN], collect=("attention",)).collected["attention"][-1]
        values = (weights.mean(1)[0] ** 0.5).tolist()
        told = f"{name}: which earlier characters are looked at (the root of the mean weight of four heads)."
        body += f"<h3>{parts.escape(name)}</h3>" + parts.heatmap(values, pieces, label=told, caption=told)
    return body


@torch.inference_mode()
def positions(text: Characters, effort: Effort) -> str:
    """How the weight of a key falls with its distance, for each kind of positions, where content tells nothing."""
    curves, distances = [], list(range(_TOKENS // 2))
    for name in _POSITIONS:
        with torch.inference_mode(False):
            model = trained(text, effort, name)
        alike = torch.full((1, _TOKENS), text.known.index(" "))
        weights = model(alike, collect=("attention",)).collected["attention"][0].mean((0, 1))
        late = weights[_TOKENS // 2 :]  # queries that all have so many keys behind them
        curves.append((name, distances, [late.diagonal(_TOKENS // 2 - d).mean().item() for d in distances]))
    told = "Mean weight of a key by its distance in a text of one character again and again, in the first layer."
    return drawing(curves, "distance in tokens", told, y="weight")


def spans(text: Characters, effort: Effort) -> str:
    """Learned spans, head by head."""
    model = trained(
        text,
        effort,
        attention="adaptive_span",
        layers=4,
        pattern=PatternConfig(span_tokens=96, ramp_tokens=8, first_span_tokens=24.0, span_penalty=3e-5),
    )
    found = [block.attention.mixing.span.spans.tolist() for block in model.blocks]
    names = [f"layer {layer + 1}" for layer in range(len(found))]
    series = [
        (f"head {head + 1}", ("first", "second", "third", "fourth")[head], [layer[head] for layer in found])
        for head in range(4)
    ]
    told = "The span that each head has learnt; all began with 24 tokens, and a token of span costs a little."
    return parts.grouped(names, series, unit="tokens", label=told, caption=told)


@torch.inference_mode()
def memory(text: Characters, effort: Effort) -> str:
    """How often each slot of a memory is read."""
    with torch.inference_mode(False):
        model = trained(text, effort, memory=MemoryConfig(layers=(1,), half_keys=16, chosen=8, heads=2, key_width=32))
    seen: list[Tensor] = []
    keys = model.blocks[1].feedforward
    assert isinstance(keys, ProductKeyMemory)
    hook = keys.register_forward_hook(lambda _, given, __: seen.append(keys.choose(given[0].flatten(0, -2))[1]))
    model(text.ids[-32 * _TOKENS :].view(32, _TOKENS))
    hook.remove()
    counts = torch.bincount(seen[0].flatten(), minlength=256).float()
    share = counts / counts.max()
    halves = [str(i) for i in range(16)]
    used = 100 * float((counts > 0).float().mean())
    told = (
        f"How often each of 256 slots was read: a row for each first half-key, a column for each second. {used:.0f} % "
        "of the slots were read at all."
    )
    return parts.grid(share.view(16, 16).tolist(), halves, halves, label=told, caption=told)


def neighbours(text: Characters, effort: Effort) -> str:
    """Perplexity of held-out text by the weight of retrieved neighbours."""
    model = trained(text, effort)
    split = 9 * len(text.ids) // 10
    kept = text.ids[split - effort.places : split].numpy()
    asked = text.ids[split : split + max(512, effort.places // 20)].numpy()
    settings = KnnSettings(neighbours=64, temperature=4.0)
    with tempfile.TemporaryDirectory() as folder:
        store = build(pathlib.Path(folder) / "store", model, [kept])
        own, found = log_probs(model, store, [asked], settings)
    weights = [i / 20 for i in range(20)]
    curve = [perplexity(own, found, weight) for weight in weights]
    best = min(range(len(weights)), key=lambda i: curve[i])
    told = (
        f"Perplexity of {len(asked):,} held-out characters by lambda, with {effort.places:,} places to look among; the "
        f"best is {curve[best]:.2f} at {weights[best]:.2f}, and {curve[0]:.2f} without."
    )
    return parts.lines(
        [("kNN-LM", "first", weights, curve)],
        x="lambda, the weight of the neighbours",
        y="perplexity",
        label=told,
        caption=told,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few updates of each network")
    asked = parser.parse_args()
    effort = Effort(steps=3, rows=4, places=1500) if asked.smoke else Effort(steps=100, rows=12, places=30_000)
    begin = time.perf_counter()
    text = Characters((_SHARED / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8"))
    shown = (
        ("Which tokens are looked at", attention),
        ("Weight by distance", positions),
        ("Spans that heads learn", spans),
        ("Slots of a product-key memory", memory),
        ("A kNN-LM by lambda", neighbours),
    )
    sections = [Section(title=title, body=drawn(text, effort)) for title, drawn in shown]
    seconds = time.perf_counter() - begin
    head = parts.paragraph(
        f"Small networks, trained for {effort.steps} updates each on Tiny Shakespeare by characters, that differ in "
        "one part. They show what a part does, not how good it is."
    )
    foot = f"benchmarks/figures/special_layers.py, {seconds:.0f} seconds"
    page = Page(title="Special layers of decoders", head=head, sections=sections, foot=foot)
    write(page, _REPOSITORY / "runs" / ("trial-special-layers.html" if asked.smoke else "special-layers.html"))
    print(f"{seconds:.0f} seconds")


if __name__ == "__main__":
    main()
