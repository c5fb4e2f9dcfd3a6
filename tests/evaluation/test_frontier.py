"""Curves of quality and diversity: frontiers and areas by hand, and verdicts where the truth is known."""

import math

import numpy as np
import pytest
import torch

from trivium.errors import DataError
from trivium.evaluation.frontier import Point, compared, diversity_at, frontier, sweep
from trivium.evaluation.oracle import oracle, oracle_scores, oracle_texts


def points(*costs: tuple[float, float], hottest: float = 1.0) -> list[Point]:
    return [Point(temperature=hottest - 0.1 * i, quality=q, diversity=d) for i, (q, d) in enumerate(costs)]


LINE = points((8.0, 4.0), (7.0, 5.0), (6.0, 7.0))


def test_a_sweep():
    found = sweep((1.0, 0.5), lambda temperature: (8 * temperature, 1 / temperature))
    assert found == [
        Point(temperature=1.0, quality=8.0, diversity=1.0),
        Point(temperature=0.5, quality=4.0, diversity=2.0),
    ]


def test_the_frontier_leaves_out_what_is_beaten():
    beaten = points((8.5, 4.0), (7.0, 5.5), (9.0, 9.0), hottest=3.0)
    assert frontier([*LINE, *beaten]) == LINE[::-1]
    assert frontier(points((9.0, 3.0), (9.0, 2.0))) == points((9.0, 3.0), (9.0, 2.0))[1:]


def test_between_its_points_and_beyond():
    edge = frontier(LINE)
    assert diversity_at(edge, 7.5) == pytest.approx(4.5) and diversity_at(edge, 6.25) == pytest.approx(6.5)
    assert diversity_at(edge, 8.0) == 4.0 and diversity_at(edge, 20.0) == 4.0
    assert diversity_at(edge, 5.99) is None


def test_the_area_by_hand():
    """From quality 6.5 to 7.5: the reference is at 6, 5 and 4.5, the system at 5, 4.5 and 4; seed 1 is half as far."""
    system = {
        0: points((7.5, 4.0), (6.5, 5.0)),
        1: points((7.5, 4.25), (7.0, 4.75), (6.5, 5.5)),
    }
    found = compared({0: LINE, 1: LINE}, system)
    first = 0.5 * (1.0 + 0.5) / 2 + 0.5 * (0.5 + 0.5) / 2
    assert found.common == (6.5, 7.5) and found.seeds == 2
    assert found.area is not None and found.area.estimate == pytest.approx((first + first / 2) / 2, abs=1e-12)
    half = math.tan(0.95 * math.pi / 2) * first / 4  # Student's with one degree of freedom is Cauchy's
    assert found.area.high - found.area.estimate == pytest.approx(half, rel=1e-9)
    # The temperatures that both seeds have; at 0.9 they stand at other qualities, 6.5 and 7.0.
    assert [each.temperature for each in found.gaps] == [0.9, 1.0]
    assert found.gaps[0].gap is not None and found.gaps[0].gap.estimate == pytest.approx((1.0 + 0.25) / 2)
    assert found.gaps[0].quality == pytest.approx(6.75)
    # Two temperatures: each has half of the 5 % that both may be wrong.
    half = math.tan(0.975 * math.pi / 2) * (1.0 - 0.25) / 2
    assert found.gaps[0].gap.high - found.gaps[0].gap.estimate == pytest.approx(half, rel=1e-9)


def curve(seed: int, shift: float) -> list[Point]:
    """NLL_test against NLL_oracle as they are measured, with what seeds do to both."""
    chance = np.random.default_rng(seed)
    bend, height = chance.normal(0, 0.01), chance.normal(0, 0.02)
    return [
        Point(temperature=t, quality=4 + 4 * t, diversity=(0.6 + bend) / t + 5 + height - shift)
        for t in (0.6, 0.7, 0.8, 0.9, 1.0)
    ]


SEEDS = (1, 2, 3, 4)


def moved(shift: float) -> dict[int, list[Point]]:
    return {seed: curve(seed + 100, shift) for seed in SEEDS}


REFERENCE = {seed: curve(seed, 0.0) for seed in SEEDS}


def test_verdicts_of_curves():
    better, worse, same = (compared(REFERENCE, moved(shift)) for shift in (0.3, -0.3, 0.0))
    assert better.leaves and len(better.beyond) == 5 and not better.behind
    assert not worse.leaves and len(worse.behind) == 5 and not worse.beyond
    assert not same.leaves and not same.beyond and not same.behind
    said = better.words("the GAN", "maximum likelihood")
    assert said.startswith("The GAN leaves the frontier of maximum likelihood: by +0.") and "over 4 seeds" in said
    assert "beyond it at temperatures 0.6, 0.7, 0.8, 0.9, 1." in said
    assert "stays behind the frontier of maximum likelihood: by -0." in worse.words("a", "maximum likelihood")
    assert "cannot be told from the frontier of b" in same.words("a", "b")


def test_cooling_is_no_gain():
    """A generator that is the reference at other temperatures has a better quality and lies on the same curve."""
    cooled = {seed: [p for p in run if p.temperature < 0.75] for seed, run in REFERENCE.items()}
    found = compared(REFERENCE, cooled)
    assert all(p.quality < 7 for run in cooled.values() for p in run)
    assert not found.leaves and found.area is not None and found.area.estimate == pytest.approx(0, abs=1e-12)


def test_a_single_point():
    """As a GAN is published: one temperature, and more quality than the reference has there."""

    def at(quality: float, diversity: float) -> dict[int, list[Point]]:
        return {seed: [Point(temperature=1.0, quality=quality, diversity=diversity + 0.01 * seed)] for seed in SEEDS}

    beyond, behind, early = compared(REFERENCE, at(7.0, 5.4)), compared(REFERENCE, at(7.0, 9.0)), at(6.0, 5.0)
    assert beyond.area is None and beyond.leaves and "leaves the frontier of b: by +0.3" in beyond.words("a", "b")
    assert not behind.leaves and "stays behind" in behind.words("a", "b")
    found = compared(REFERENCE, early)
    assert found.gaps[0].gap is None and not found.leaves
    assert found.words("a", "b") == (
        "A and b have no range of quality in common. "
        "At temperature 1 it has a quality that b was not cooled or heated to."
    )
    # Worse in quality than all of the reference, and worse in diversity: behind, and not out of range.
    assert compared(REFERENCE, at(12.0, 7.0)).behind == [1.0]
    # Worse in quality and more diverse than all of it: so might the reference be where it is heated further.
    assert compared(REFERENCE, at(12.0, 0.5)).gaps[0].gap is None


def test_many_temperatures_are_no_many_chances():
    """Without any difference, hardly any run has a temperature that is beyond the frontier or behind it."""
    told = 0
    for trial in range(60):
        one, other = ({seed: curve(1000 * trial + 10 * seed + at, 0.0) for seed in SEEDS} for at in (1, 2))
        found = compared(one, other)
        told += bool(found.beyond or found.behind)
    assert told <= 8


def test_of_a_real_generator():
    """The oracle against itself, swept: its own samples lie on its own frontier, and NLL_oracle falls with cooling."""
    language = oracle(30, 0)
    held_out = oracle_texts(language, 150, 5, seed=9)

    def run(seed: int) -> list[Point]:
        def measured(temperature: float) -> tuple[float, float]:
            scores = oracle_scores(language, language, held_out, seed=seed, temperature=temperature)
            return scores.oracle.estimate, scores.test.estimate

        return sweep((1.0, 0.8, 0.6), measured)

    runs = [run(seed) for seed in range(4)]
    qualities = [point.quality for point in runs[0]]
    assert qualities == sorted(qualities, reverse=True)
    assert not compared({0: runs[0], 1: runs[1]}, {0: runs[2], 1: runs[3]}).leaves
    assert torch.is_grad_enabled()


def test_what_is_refused():
    with pytest.raises(DataError, match="by seed"):
        compared({0: LINE, 1: LINE}, {0: LINE, 2: LINE})
    with pytest.raises(DataError, match="by seed"):
        compared({0: LINE}, {0: LINE})
    with pytest.raises(DataError, match="finite"):
        frontier(points((math.nan, 1.0)))
    with pytest.raises(DataError, match="finite"):
        frontier([])
