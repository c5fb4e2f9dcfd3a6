"""The results of benchmarks/figures/alignment.py as tables."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any


def write(results: pathlib.Path, name: str, cells: Sequence[str]) -> None:
    """Prints a table a kind of cell."""
    found = {cell: json.loads((results / f"{name}-{cell}.json").read_text(encoding="utf-8")) for cell in cells}
    print("| seed | reward model | bag of words | gold before | best look | less one sample | less best of 4 | KL |")
    print("|---|---|---|---|---|---|---|---|")
    for cell, one in found.items():
        if cell.startswith("rlhf"):
            print(_rlhf(cell, one))
    print("| penalty | step | reward | gold score | KL | different pairs of words |\n|---|---|---|---|---|---|")
    for cell in ("hacking-free", "hacking-held"):
        for look in found[cell]["looks"]:
            print(
                f"| {cell.removeprefix('hacking-')} | {look['step']} | {look['proxy']:.2f} | {look['gold']:.2f} | "
                f"{look['kl']:.1f} | {look['distinct2']:.2f} |"
            )
    print("| seed | right before | after | greedy before | after |\n|---|---|---|---|---|")
    for cell, one in found.items():
        if cell.startswith("arithmetic"):
            shares = [_share(one[key]) for key in ("before", "after", "greedy_before", "greedy_after")]
            print(f"| {cell.partition('-')[2]} | {' | '.join(shares)} |")


def _rlhf(cell: str, one: dict[str, Any]) -> str:
    looks, against = one["looks"], one["compared"]["against"]
    best = max(looks, key=lambda look: look["gold"])
    judged = one["reward_model"]
    model, words = (
        f"{judged['metrics'][name]:.3f} ({judged['intervals'][name][0]:.3f}-{judged['intervals'][name][1]:.3f})"
        for name in ("accuracy", "words_alone")
    )
    return (
        f"| {cell.partition('-')[2]} | {model} | {words} | "
        f"{looks[0]['gold']:.2f} | {best['gold']:.2f} | {_change(against['single'])} | {_change(against['best'])} | "
        f"{best['kl']:.1f} |"
    )


def _share(interval: dict[str, float]) -> str:
    return f"{interval['estimate']:.3f} ({interval['low']:.3f}-{interval['high']:.3f})"


def _change(comparison: dict[str, Any]) -> str:
    interval = comparison["interval"]
    return f"{comparison['difference']:+.2f} ({interval['low']:+.2f} to {interval['high']:+.2f})"
