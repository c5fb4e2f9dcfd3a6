"""The results of benchmarks/figures/text_gans.py as tables and as a page."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from trivium.evaluation.frontier import Point, Runs, compared
from trivium.evaluation.over_seeds import over_seeds
from trivium.reports import page, parts
from trivium.reports.page import Section
from trivium.reports.text_gan import Curve, CurvePoint, GeneratorFacts, Range, generator_section

Found = Mapping[str, Mapping[int, dict[str, Any]]]
"""Results by method and seed."""
_REFERENCE = "likelihood"
_ORACLE = ("nll_oracle", "nll_test", "unique", "copied")
_BLEU = tuple(f"{kind}{order}" for kind in ("bleu", "self_bleu") for order in (2, 3, 4, 5))


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What is shown of a language."""

    title: str
    marked: tuple[str, ...]
    """Figures of the table."""
    quality: tuple[str, str] | None = None
    """The figure on the horizontal axis and what it is called; None for no plane. Of BLEU what is missing to 1."""
    diversity: tuple[str, str] = ("nll_test", "NLL_test, nats a token")
    """The same of the vertical axis."""


_LANGUAGES = {
    "grammar": _Shown("Expressions with brackets", ("validity", "nll_test", "unique", "copied")),
    "oracle200": _Shown(
        "A language of 200 tokens in which every likelihood is known",
        _ORACLE,
        quality=("nll_oracle", "NLL_oracle, nats a token"),
    ),
    "oracle500": _Shown(
        "A language of 500 tokens in which every likelihood is known",
        _ORACLE,
        quality=("nll_oracle", "NLL_oracle, nats a token"),
    ),
    "paper": _Shown(
        "The published language of 5,000 tokens", _ORACLE, quality=("nll_oracle", "NLL_oracle, nats a token")
    ),
    "coco": _Shown(
        "Captions of COCO",
        (*_BLEU, "nll_test", "unique"),
        quality=("bleu4", "1 - BLEU-4 on test captions"),
        diversity=("self_bleu4", "Self-BLEU-4"),
    ),
}


def write(results: pathlib.Path, name: str) -> None:
    """Prints a table for each language of which there are results, and writes the page of all."""
    found = _read(results, name)
    sections = []
    for language, shown in _LANGUAGES.items():
        if not found.get(language):
            continue
        rows = _rows(found[language], shown)
        headings = ("method", "1 / temperature", "seeds", *shown.marked)
        print(f"{language}\n| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        sections.append(Section(title=shown.title, body=parts.table(headings, rows)))
        curves = _swept(found[language])
        if shown.quality is not None and _REFERENCE in curves:
            section = _frontiers(curves, found[language], shown)
            sections.append(dataclasses.replace(section, title=f"{section.title}: {shown.title}"))
    if sections:
        whole = page.Page(
            title="Text GANs",
            head=parts.paragraph("Each game is measured at its last step; each figure is a mean over seeds, at 95 %."),
            sections=sections,
            foot="python benchmarks/figures/text_gans.py",
        )
        page.write(whole, results / f"{name}.html")


def _read(results: pathlib.Path, name: str) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for language in _LANGUAGES:
        for path in sorted(results.glob(f"{name}-{language}-*.json")):
            one = json.loads(path.read_text(encoding="utf-8"))
            found.setdefault(language, {}).setdefault(one["method"], {})[one["seed"]] = one
    return found


def _rows(methods: Found, shown: _Shown) -> list[tuple[str, ...]]:
    """What the language itself has, then each method at each temperature."""
    rows = [_row("real", "", [one["real"] for one in next(iter(methods.values())).values()], shown)]
    for method, seeds in sorted(methods.items(), key=lambda each: each[0] != _REFERENCE):
        rows += [_row(method, f"{at[0]['alpha']:g}", at, shown) for at in _aligned(seeds)]
    return rows


def _aligned(seeds: Mapping[int, dict[str, Any]]) -> list[list[Mapping[str, float]]]:
    """The figures of all seeds at each inverse temperature that all have."""
    by_alpha = [{each["alpha"]: each for each in one["after"]} for one in seeds.values()]
    return [[each[alpha] for each in by_alpha] for alpha in sorted(set.intersection(*map(set, by_alpha)))]


def _row(method: str, alpha: str, figures: Sequence[Mapping[str, float]], shown: _Shown) -> tuple[str, ...]:
    cells = [_told([each[name] for each in figures if name in each]) for name in shown.marked]
    return (method, alpha, str(len(figures)), *cells)


def _told(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, middle, high = _range(values)
    return f"{middle:.3f}" if len(values) == 1 else f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _range(values: Sequence[float]) -> Range:
    if len(values) == 1:
        return values[0], values[0], values[0]
    interval = over_seeds(values)
    return interval.low, interval.estimate, interval.high


def _swept(methods: Found) -> Found:
    """The methods that have a likelihood, and so a curve."""
    return {name: seeds for name, seeds in methods.items() if len(next(iter(seeds.values()))["after"]) > 1}


def _frontiers(curves: Found, methods: Found, shown: _Shown) -> Section:
    """Every method against likelihood alone, with dropout and without."""
    order = sorted(curves, key=lambda name: (name != _REFERENCE, name))
    verdicts = []
    for reference in (_REFERENCE, f"{_REFERENCE}-dropout"):
        for name in order:
            shared = curves[name].keys() & curves.get(reference, {}).keys()
            if name != reference and len(shared) > 1:
                runs = [_runs(curves[which], shared, shown) for which in (reference, name)]
                verdicts.append(compared(*runs).words(name, reference))
    real = next(iter(next(iter(methods.values())).values()))["real"]
    single = len(next(iter(curves.values()))) == 1
    assert shown.quality is not None
    facts = GeneratorFacts(
        curves=[_curve(name, curves[name], shown) for name in order],
        verdicts=verdicts,
        quality=shown.quality[1],
        diversity=shown.diversity[1],
        seeds=max(len(seeds) for seeds in curves.values()),
        ideal=_costs(real, shown) if single else None,
    )
    print("\n".join(verdicts))
    return generator_section(facts)


def _costs(figures: Mapping[str, float], shown: _Shown) -> tuple[float, float]:
    """Quality and diversity, lower being better."""
    assert shown.quality is not None
    quality, diversity = figures[shown.quality[0]], figures[shown.diversity[0]]
    return 1 - quality if shown.quality[0].startswith("bleu") else quality, diversity


def _runs(seeds: Mapping[int, dict[str, Any]], shared: set[int], shown: _Shown) -> Runs:
    runs: dict[int, list[Point]] = {}
    for seed in shared:
        points = [(each["alpha"], *_costs(each, shown)) for each in seeds[seed]["after"]]
        runs[seed] = [Point(temperature=1 / alpha, quality=x, diversity=y) for alpha, x, y in points]
    return runs


def _curve(name: str, seeds: Mapping[int, dict[str, Any]], shown: _Shown) -> Curve:
    points = []
    for at in _aligned(seeds):
        quality, diversity = (_range(costs) for costs in zip(*(_costs(each, shown) for each in at), strict=True))
        measures = {"different": sum(each["unique"] for each in at) / len(at)}
        points.append(
            CurvePoint(temperature=1 / at[0]["alpha"], quality=quality, diversity=diversity, measures=measures)
        )
    return Curve(name=name, points=points)
