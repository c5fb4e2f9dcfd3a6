"""Learning-rate schedules against values computed by hand."""

import math

import pytest

from trivium.errors import ConfigError
from trivium.training.schedules import ScheduleConfig, noam_peak, schedule


def values(steps: int, at: list[int], **settings: object) -> list[float]:
    factor = schedule(ScheduleConfig(**settings), steps)
    return [factor(step) for step in at]


def test_constant() -> None:
    assert values(10, [0, 1, 3, 4, 9, 99], kind="constant", warmup_steps=4) == [0.25, 0.5, 1, 1, 1, 1]
    assert values(10, [0, 9], kind="constant", warmup_steps=0) == [1, 1]


def test_cosine() -> None:
    got = values(110, [4, 9, 10, 35, 60, 110, 200], kind="cosine", warmup_steps=10, floor=0.1)
    quarter = 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2
    assert got == pytest.approx([0.5, 1, 1, quarter, 0.55, 0.1, 0.1], abs=1e-12)


def test_linear() -> None:
    got = values(110, [0, 10, 60, 85, 110, 111], kind="linear", warmup_steps=10)
    assert got == pytest.approx([0.1, 1, 0.5, 0.25, 0, 0], abs=1e-12)


def test_wsd() -> None:
    got = values(100, [0, 9, 50, 79, 80, 90, 95, 100], kind="wsd", warmup_steps=10, decay_fraction=0.2, floor=0.2)
    assert got == pytest.approx([0.1, 1, 1, 1, 1, 0.6, 0.4, 0.2], abs=1e-12)
    # The decay begins after the warm-up at the earliest.
    assert values(20, [9, 10, 15], kind="wsd", warmup_steps=10, decay_fraction=1.0) == pytest.approx([1, 1, 0.5])


def test_inverse_square_root_is_noam() -> None:
    """Vaswani et al. 2017, equation 3, at d_model 512 and 4000 steps of warm-up."""
    at = [0, 999, 3999, 4000, 15999]
    factors = values(10**5, at, kind="inverse_sqrt", warmup_steps=4000)
    paper = [512**-0.5 * min((step + 1) ** -0.5, (step + 1) * 4000**-1.5) for step in at]
    assert [factor * noam_peak(512, 4000) for factor in factors] == pytest.approx(paper, rel=1e-12)
    assert values(10, [0, 3], kind="inverse_sqrt", warmup_steps=0) == [1.0, 0.5]
    with pytest.raises(ConfigError, match="warm-up"):
        noam_peak(512, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"floor": 1.5}, "floor"),
        ({"decay_fraction": -0.1}, "decay_fraction"),
        ({"warmup_steps": 10}, "set warmup_steps to"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        schedule(ScheduleConfig(**settings), 10)
