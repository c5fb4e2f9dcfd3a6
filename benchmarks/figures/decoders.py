"""From GPT to a mixture of experts: the decoders people name, of one size, trained for one length of time on one text.

    python benchmarks/figures/decoders.py                     # every cell that is not finished, 5 minutes each
    python benchmarks/figures/decoders.py --cell llama        # one of them; gpt-1 is gpt with another seed
    python benchmarks/figures/decoders.py --smoke             # a few steps each on little text, kept apart

All as in `language_models.py`: whole novels (LitBank), a byte-level vocabulary of 4,096 pieces, tied embeddings of 192,
three blocks of six heads, windows of 128 tokens, 2.13 million parameters within 3 %, Muon at 0.01 and AdamW at 0.004,
the same seconds of updates. What differs is what the families differ in: where the norms stand and which they are, how
positions are told, what the feed-forward layer is, how many heads of keys there are, whether attention and feed-forward
layer stand side by side. Feed-forward layers are as wide as makes the sizes equal. In the mixture each of eight
experts is an eighth as wide and a token goes to two, so that a token meets a quarter of those weights. Windows are
left as published, longer than these texts. Nothing was tuned for any of them. Three seeds of the first and of the last
say what chance does. Results: benchmarks/results/decoders-CELL.json, and decoders.html once all are there.
"""

import argparse
import dataclasses
import json
import pathlib
from typing import Any

from language_models import cell, encode, litbank_novels, muon, short, transformer

from trivium.recipes.pretrain import PretrainConfig
from trivium.reports import page, parts

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent
_SMOKE_MINUTES = 1 / 30

WIDTHS: dict[str, int | None] = {
    "gpt": None,
    "gpt2": None,
    "gptj": None,
    "gpt_neox": None,
    "opt": None,
    "palm": 624,
    "bloom": None,
    "llama": None,
    "falcon": 936,
    "mistral": None,
    "gemma": None,
    "olmo2": None,
    "gemma2": None,
    "cohere": None,
    "qwen3": None,
    "mixtral": 64,
}
"""The families in the order of history, and the width of their feed-forward layers where it is not the usual one."""
COLOURS, DASHES = ("first", "second", "third", "fourth"), ("solid", "dot", "dash", "dashdot")
SEEDS = {"gpt": (0, 1, 2), "mixtral": (0, 1, 2)}


def cells() -> dict[str, tuple[str, int]]:
    """Family and seed of each cell: seed 0 has the family's name."""
    return {
        family if seed == 0 else f"{family}-{seed}": (family, seed)
        for family in WIDTHS
        for seed in SEEDS.get(family, (0,))
    }


def recipe(family: str, seed: int) -> PretrainConfig:
    """One network and its training."""
    config = transformer(family, muon(0.01))
    model = dataclasses.replace(config.model, inner_width=WIDTHS[family])
    return dataclasses.replace(config, model=model, seed=seed)


def table(found: dict[str, dict[str, Any]]) -> str:
    """One line a cell."""
    lines = [f"{'':12s} parameters  seconds  tokens/s  passes  bits per byte  word perplexity"]
    for name, result in found.items():
        test = result["test"]
        lines.append(
            f"{name:12s} {result['parameters']:10,}  {result['training_seconds']:7.0f}"
            f"  {result['tokens_per_second']:8.0f}  {result['passes']:6.2f}"
            f"  {test['bits_per_byte']:13.3f}  {test['word_perplexity']:15.0f}"
        )
    return "\n".join(lines)


def draw(found: dict[str, dict[str, Any]], path: pathlib.Path) -> None:
    """The page: curves of held-out loss over time, and the table."""
    names = [name for name in found if "-" not in name]
    traces = []
    for place, name in enumerate(names):
        result = found[name]
        line = {"color": COLOURS[place % len(COLOURS)], "dash": DASHES[place // len(COLOURS)], "width": 2.2}
        seconds = [result["training_seconds"] * step / result["steps"] for step, _ in result["curve"]]
        losses = [round(loss, 4) for _, loss in result["curve"]]
        traces.append({"type": "scatter", "mode": "lines", "name": name, "x": seconds, "y": losses, "line": line})
    rows = [
        (
            name,
            result["parameters"],
            result["training_seconds"],
            result["tokens_per_second"],
            result["test"]["bits_per_byte"],
        )
        for name, result in found.items()
    ]
    axes = {"xaxis": {"title": {"text": "seconds of training"}}, "yaxis": {"title": {"text": "nats a piece, held out"}}}
    picture = parts.chart(
        traces,
        {"height": 520, **axes},
        label="Held-out loss of each family over the seconds of its training.",
        caption="One seed of each family. The seconds were to be equal; they were foretold from a few updates each.",
    )
    headings = ("family", "parameters", "seconds", "tokens a second", "bits per byte")
    sections = [
        page.Section(title="Loss over time", body=picture),
        page.Section(title="On the test novels", body=parts.table(headings, rows)),
    ]
    head = parts.paragraph("Decoders of one size, trained for one length of time on 80 novels.")
    page.write(page.Page(title="Decoders", head=head, sections=sections, foot="benchmarks/figures/decoders.py"), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=cells(), help="only this one")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, for each cell")
    parser.add_argument("--smoke", action="store_true", help="two seconds of training each on little text, kept apart")
    parser.add_argument("--output", type=pathlib.Path, default=_REPOSITORY / "runs", help="folder of the runs")
    asked = parser.parse_args()
    results = asked.output / "trials" if asked.smoke else _HERE.parent / "results"
    results.mkdir(parents=True, exist_ok=True)
    encoded = None
    for name in [asked.cell] if asked.cell else cells():
        path = results / f"decoders-{name}.json"
        if path.is_file():
            continue
        encoded = encoded or encode("litbank_novels", short(litbank_novels()) if asked.smoke else litbank_novels())
        config = dataclasses.replace(
            recipe(*cells()[name]),
            data=encoded.prepared.folder,
            output=asked.output,
            run=f"decoders-{name}" + ("-smoke" if asked.smoke else ""),
            minutes=_SMOKE_MINUTES if asked.smoke else asked.minutes,
        )
        path.write_text(json.dumps(cell(name, config, encoded), indent=2) + "\n")
    found = {
        name: json.loads((results / f"decoders-{name}.json").read_text())
        for name in cells()
        if (results / f"decoders-{name}.json").is_file()
    }
    print(table(found))
    if len(found) == len(cells()):
        draw(found, results / "decoders.html")


if __name__ == "__main__":
    main()
