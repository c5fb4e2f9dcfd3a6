"""UL2's mixture: nothing is lost, each denoiser does what the table says, and each comes equally often."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import ConfigError, DataError
from trivium.objectives.span_corruption import fill_spans
from trivium.objectives.ul2 import DENOISERS, MODE_TOKENS, Denoiser, corrupt_by_mixture, denoised, raw_tokens

SENTINELS = list(range(1000, 1600))
MODES = {"R": 1700, "S": 1701, "X": 1702}


@settings(max_examples=120)
@given(length=st.integers(2, 600), seed=st.integers(0, 2**32 - 1), modes=st.booleans())
def test_filling_gives_the_text_back(length: int, seed: int, modes: bool) -> None:
    rng = np.random.default_rng(seed)
    text = rng.integers(0, 1000, length).tolist()
    source, target = corrupt_by_mixture(text, SENTINELS, rng, mode_ids=MODES if modes else None)
    if modes:
        assert source[0] in MODES.values()
    assert fill_spans(source[modes:], target, SENTINELS) == text
    again = np.random.default_rng(seed)
    again.integers(0, 1000, length)
    assert corrupt_by_mixture(text, SENTINELS, again, mode_ids=MODES if modes else None) == (source, target)


def test_table_1() -> None:
    rows = {(denoiser.mode, denoiser.mean_span, denoiser.rate) for denoiser in DENOISERS}
    few, many = {("R", 3, 0.15), ("R", 8, 0.15), ("S", None, 0.25)}, {("X", 3, 0.5), ("X", 8, 0.5)}
    assert rows == few | many | {("X", 64, 0.15), ("X", 64, 0.5)}
    assert MODE_TOKENS == {"R": "[NLU]", "S": "[S2S]", "X": "[NLG]"}


@pytest.mark.parametrize("denoiser", [each for each in DENOISERS if each.mean_span is not None], ids=str)
def test_shares_of_spans(denoiser: Denoiser) -> None:
    source, target = denoised(range(600), SENTINELS, np.random.default_rng(0), denoiser)
    spans = sum(token >= 1000 for token in source)
    assert 600 - len(source) + spans == round(600 * denoiser.rate) == len(target) - spans - 1
    assert spans == round(600 * denoiser.rate / denoiser.mean_span)


def test_the_end_of_a_text() -> None:
    """One span, always the last, a quarter of the text on average and at most a half: the target sees no future."""
    (end_of,) = (each for each in DENOISERS if each.mode == "S")
    rng = np.random.default_rng(0)
    sizes = []
    for _ in range(2000):
        source, target = denoised(range(400), SENTINELS, rng, end_of)
        assert source == [*range(len(source) - 1), 1000]
        assert target == [1000, *range(len(source) - 1, 400), 1001]
        sizes.append(len(target) - 2)
    assert np.mean(sizes) == pytest.approx(100, abs=4)
    assert min(sizes) < 5
    assert 195 < max(sizes) <= 200
    assert np.histogram(sizes, bins=4, range=(0, 200))[0] == pytest.approx(500, abs=80)  # uniform


def test_each_is_equally_frequent() -> None:
    rng = np.random.default_rng(3)
    modes = Counter(corrupt_by_mixture(range(64), SENTINELS, rng, mode_ids=MODES)[0][0] for _ in range(1750))
    for mode, seventh in (("R", 2), ("S", 1), ("X", 4)):
        assert modes[MODES[mode]] == pytest.approx(250 * seventh, abs=70)
    assert MODES["X"] not in {
        corrupt_by_mixture(range(64), SENTINELS, rng, denoisers=DENOISERS[:3], mode_ids=MODES)[0][0] for _ in range(50)
    }


@pytest.mark.parametrize("modes", [True, False])
def test_texts_fit_whichever_denoiser_has_them(modes: bool) -> None:
    length = raw_tokens(128, with_modes=modes)
    rng = np.random.default_rng(0)
    given = MODES if modes else None
    longest = max(len(corrupt_by_mixture(range(length), SENTINELS, rng, mode_ids=given)[0]) for _ in range(1000))
    assert longest + 1 == 128
    assert raw_tokens(513, denoisers=DENOISERS[:1]) == 568


def test_impossible() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="at least two tokens"):
        denoised([1], SENTINELS, rng, Denoiser(mode="S", rate=0.25))
    with pytest.raises(DataError, match="more spans than there are sentinels"):
        denoised(range(64), SENTINELS[:1], rng, Denoiser(mode="S", rate=0.25))
    with pytest.raises(ConfigError, match="mean length"):
        Denoiser(mode="S", rate=0.25, mean_span=3.0)
    with pytest.raises(ConfigError, match="mean length"):
        Denoiser(mode="R", rate=0.15)
    with pytest.raises(ConfigError, match="twice its mean"):
        Denoiser(mode="S", rate=0.75)
