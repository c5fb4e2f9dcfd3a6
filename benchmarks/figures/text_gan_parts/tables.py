"""The results of benchmarks/figures/text_gans.py as tables and as a page."""

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
_MARKED = ("validity", "nll_oracle", "nll_test", "unique", "copied")
_REFERENCE = "likelihood"
_TITLES = {
    "grammar": "Expressions with brackets",
    "oracle200": "A language of 200 tokens in which every likelihood is known",
}


def write(results: pathlib.Path, name: str) -> None:
    """Prints a table for each language of which there are results, and writes the page of all."""
    found = _read(results, name)
    sections = []
    for language in _TITLES:
        if found.get(language):
            rows = _rows(found[language])
            headings = ("method", "1 / temperature", "seeds", *_MARKED)
            print(f"{language}\n| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
            print("\n".join(f"| {' | '.join(row)} |" for row in rows))
            sections.append(Section(title=_TITLES[language], body=parts.table(headings, rows)))
    curves = _swept(found.get("oracle200", {}))
    if _REFERENCE in curves:
        sections.append(_frontiers(curves, found["oracle200"]))
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
    for language in _TITLES:
        for path in sorted(results.glob(f"{name}-{language}-*.json")):
            one = json.loads(path.read_text(encoding="utf-8"))
            found.setdefault(language, {}).setdefault(one["method"], {})[one["seed"]] = one
    return found


def _rows(methods: Found) -> list[tuple[str, ...]]:
    """What the language itself has, then each method at each temperature."""
    rows = [_row("real", "", [one["real"] for one in next(iter(methods.values())).values()])]
    for method, seeds in sorted(methods.items(), key=lambda each: each[0] != _REFERENCE):
        rows += [_row(method, f"{at[0]['alpha']:g}", at) for at in _aligned(seeds)]
    return rows


def _aligned(seeds: Mapping[int, dict[str, Any]]) -> list[list[Mapping[str, float]]]:
    """The figures of all seeds at each inverse temperature that all have."""
    by_alpha = [{each["alpha"]: each for each in one["after"]} for one in seeds.values()]
    return [[each[alpha] for each in by_alpha] for alpha in sorted(set.intersection(*map(set, by_alpha)))]


def _row(method: str, alpha: str, figures: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    cells = [_told([each[name] for each in figures if name in each]) for name in _MARKED]
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


def _frontiers(curves: Found, methods: Found) -> Section:
    """Every method against likelihood alone, with dropout and without."""
    order = sorted(curves, key=lambda name: (name != _REFERENCE, name))
    verdicts = []
    for reference in (_REFERENCE, f"{_REFERENCE}-dropout"):
        for name in order:
            shared = curves[name].keys() & curves.get(reference, {}).keys()
            if name != reference and len(shared) > 1:
                runs = [_runs(curves[which], shared) for which in (reference, name)]
                verdicts.append(compared(*runs).words(name, reference))
    real = next(iter(next(iter(methods.values())).values()))["real"]
    facts = GeneratorFacts(
        curves=[_curve(name, curves[name]) for name in order],
        verdicts=verdicts,
        quality="NLL_oracle, nats a token",
        diversity="NLL_test, nats a token",
        seeds=max(len(seeds) for seeds in curves.values()),
        ideal=(real["nll_oracle"], real["nll_test"]) if len(next(iter(curves.values()))) == 1 else None,
    )
    print("\n".join(verdicts))
    return generator_section(facts)


def _runs(seeds: Mapping[int, dict[str, Any]], shared: set[int]) -> Runs:
    return {
        seed: [
            Point(temperature=1 / each["alpha"], quality=each["nll_oracle"], diversity=each["nll_test"])
            for each in seeds[seed]["after"]
        ]
        for seed in shared
    }


def _curve(name: str, seeds: Mapping[int, dict[str, Any]]) -> Curve:
    points = []
    for at in _aligned(seeds):
        quality, diversity = (_range([each[which] for each in at]) for which in ("nll_oracle", "nll_test"))
        measures = {"different": sum(each["unique"] for each in at) / len(at)}
        points.append(
            CurvePoint(temperature=1 / at[0]["alpha"], quality=quality, diversity=diversity, measures=measures)
        )
    return Curve(name=name, points=points)
