"""Quality against diversity over temperatures, and whether a generator leaves the frontier of another.

    reference = {seed: sweep(TEMPERATURES, measured(maximum_likelihood[seed])) for seed in seeds}
    gan = {seed: sweep(TEMPERATURES, measured(adversarial[seed])) for seed in seeds}
    print(compared(reference, gan).words("the GAN", "maximum likelihood"))

Every generator can trade diversity for quality by its temperature, so a figure at one temperature says only where on
its curve somebody stopped. Caccia et al. 2020, "Language GANs Falling Short", compare whole curves, and find the GANs
of their time within that of maximum likelihood. Here both axes are costs, lower being better: NLL_oracle and NLL_test,
LM score and reverse LM score, 1 - BLEU and Self-BLEU.

A frontier is the points of one run that no other point of it beats on both axes, joined by straight lines. With a worse
quality than its worst point it has that point's diversity at least, which shows who is behind it and not who is beyond:
it was not heated so far. A better quality than its best point was not reached.
All gaps are per seed, between runs of equal seed (which share data and pre-training), and the intervals over seeds.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.intervals import Interval
from trivium.evaluation.over_seeds import over_seeds


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a generator costs at one temperature."""

    temperature: float
    """By which its logits are divided."""
    quality: float
    """How bad its texts are; lower is better."""
    diversity: float
    """How much of the language it lacks; lower is better."""


Runs = Mapping[int, Sequence[Point]]
"""The points of each seed."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """What one temperature of the system has over the reference."""

    temperature: float
    """Of the system."""
    quality: float
    """Its mean over seeds."""
    gap: Interval | None
    """Diversity of the reference at that quality less that of the system: above 0 the system is better. None where in
    some seed the reference was not cooled, or not heated, to such a quality, and so it cannot be said."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Where a system lies against the frontier of a reference."""

    gaps: Sequence[Gap]
    """At each temperature that all seeds of the system have; their intervals hold all together."""
    area: Interval | None
    """Between the two curves, positive where the system's is the better, over `common`; None where there is no common
    range, or the system is one point."""
    common: tuple[float, float] | None
    """Best and worst quality that the curves of all seeds of both reach."""
    seeds: int
    """Runs of each."""

    @property
    def beyond(self) -> list[float]:
        """Temperatures at which the system is beyond the frontier by more than the interval over seeds."""
        return [each.temperature for each in self.gaps if each.gap is not None and each.gap.low > 0]

    @property
    def behind(self) -> list[float]:
        """Temperatures at which it is behind it by more than that."""
        return [each.temperature for each in self.gaps if each.gap is not None and each.gap.high < 0]

    @property
    def leaves(self) -> bool:
        """Whether the system as a whole does better: by the area, or where there is none at some of its points and
        worse at none."""
        return self.area.low > 0 if self.area is not None else bool(self.beyond) and not self.behind

    def words(self, system: str, reference: str, *, repeated: str = "seeds") -> str:
        """The verdict as sentences, of the names given; `repeated` is what there are several of."""
        said = [self._whole(system, reference, repeated)]
        for places, where in ((self.beyond, "beyond"), (self.behind, "behind")):
            if places and len(self.gaps) > 1:
                said.append(f"It is {where} it at {_temperatures(places)}.")
        unreached = [each.temperature for each in self.gaps if each.gap is None]
        if unreached:
            said.append(f"At {_temperatures(unreached)} it has a quality that {reference} was not cooled or heated to.")
        return " ".join(said)

    def _whole(self, system: str, reference: str, repeated: str) -> str:
        if self.area is not None and self.common is not None:
            told, width = self.area, self.common[1] - self.common[0]
            how = f"by {told.estimate / width:+.3g} in diversity on average [{told.low / width:+.3g}, "
            how += f"{told.high / width:+.3g}], from quality {self.common[0]:.3g} to {self.common[1]:.3g}"
        elif len(self.gaps) == 1 and self.gaps[0].gap is not None:
            told = self.gaps[0].gap
            how = f"by {told.estimate:+.3g} in diversity [{told.low:+.3g}, {told.high:+.3g}] at its quality"
        else:
            return f"{_begun(system)} and {reference} have no range of quality in common."
        if told.low > 0:
            verdict = f"leaves the frontier of {reference}"
        elif told.high < 0:
            verdict = f"stays behind the frontier of {reference}"
        else:
            verdict = f"cannot be told from the frontier of {reference}"
        return f"{_begun(system)} {verdict}: {how}, over {self.seeds} {repeated}."


def sweep(temperatures: Sequence[float], measure: Callable[[float], tuple[float, float]]) -> list[Point]:
    """The points of one run; `measure` gives the costs (quality, diversity) at a temperature."""
    found = ((temperature, measure(temperature)) for temperature in temperatures)
    return [Point(temperature=at, quality=quality, diversity=diversity) for at, (quality, diversity) in found]


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats on both axes, the best quality first. Raises `DataError` for costs that are no
    finite numbers, and where there is no point."""
    costs = [(point.quality, point.diversity) for point in points]
    if not costs or not np.isfinite(costs).all():
        raise DataError("a frontier is of finite costs", received=str(costs)[:100], expected="one point at least")
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.quality, point.diversity)):
        if not kept or point.diversity < kept[-1].diversity:
            kept.append(point)
    return kept


def diversity_at(edge: Sequence[Point], quality: float) -> float | None:
    """The least cost in diversity of a `frontier` at a cost in quality; None where it was never that good."""
    if quality < edge[0].quality:
        return None
    return float(np.interp(quality, [point.quality for point in edge], [point.diversity for point in edge]))


def compared(reference: Runs, system: Runs, *, confidence: float = 0.95) -> Compared:
    """The system against the reference, seed by seed; the intervals of k temperatures have 1 - (1 - confidence) / k
    each (Bonferroni), so that no temperature is beyond for having been tried often.

    Raises `DataError` unless both have runs of the same seeds, two at least, and costs that are finite.
    """
    if reference.keys() != system.keys() or len(system) < 2:
        raise DataError(
            "runs are compared by seed",
            received=f"seeds {sorted(reference)} and {sorted(system)}",
            expected="the same of both, two at least",
        )
    edges = {seed: (frontier(reference[seed]), frontier(system[seed])) for seed in sorted(system)}
    common = _common([edge for both in edges.values() for edge in both])
    between = None if common is None else [_area(*both, *common) for both in edges.values()]
    return Compared(
        gaps=_gaps({seed: edge for seed, (edge, _) in edges.items()}, system, confidence),
        area=None if between is None else over_seeds(between, confidence=confidence),
        common=common,
        seeds=len(edges),
    )


def _gaps(edges: Mapping[int, Sequence[Point]], system: Runs, confidence: float) -> list[Gap]:
    by_temperature = [{point.temperature: point for point in system[seed]} for seed in edges]
    shared = sorted(set.intersection(*map(set, by_temperature)))
    gaps = []
    for temperature in shared:
        points = [run[temperature] for run in by_temperature]
        found = [_gap(edge, point) for edge, point in zip(edges.values(), points, strict=True)]
        values = [value for value in found if value is not None]
        within = 1 - (1 - confidence) / len(shared)
        whole = over_seeds(values, confidence=within) if len(values) == len(found) else None
        quality = sum(point.quality for point in points) / len(points)
        gaps.append(Gap(temperature=temperature, quality=quality, gap=whole))
    return gaps


def _gap(edge: Sequence[Point], point: Point) -> float | None:
    """By how much a point is beyond an edge; None where the edge does not reach so far in quality to say it."""
    best = diversity_at(edge, point.quality)
    if best is None or (point.quality > edge[-1].quality and point.diversity < best):
        return None
    return best - point.diversity


def _common(edges: Sequence[Sequence[Point]]) -> tuple[float, float] | None:
    """From the best to the worst quality that all curves reach."""
    best, worst = max(edge[0].quality for edge in edges), min(edge[-1].quality for edge in edges)
    return (best, worst) if best < worst else None


def _area(reference: Sequence[Point], system: Sequence[Point], best: float, worst: float) -> float:
    """The integral of the difference of two curves, exact, for it is straight between all their points."""
    knots = {point.quality for point in (*reference, *system) if best < point.quality < worst}
    places = np.array(sorted(knots | {best, worst}))
    values = [[diversity_at(edge, place) for place in places] for edge in (reference, system)]
    height = np.subtract(*np.array(values, dtype=np.float64))
    return float(sum(w * (a + b) / 2 for w, (a, b) in zip(np.diff(places), itertools.pairwise(height), strict=True)))


def _temperatures(values: Sequence[float]) -> str:
    numbers = ", ".join(f"{value:g}" for value in values)
    return f"temperature{'s' if len(values) > 1 else ''} {numbers}"


def _begun(name: str) -> str:
    return name[:1].upper() + name[1:]
