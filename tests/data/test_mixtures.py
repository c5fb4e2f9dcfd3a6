"""Plans of mixtures, against figures computed by hand, and which documents a fraction of a pass has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.mixtures import Mixture, plan, repeats
from trivium.errors import ConfigError, DataError, UserError

SIZES = {"web": 1000, "books": 100, "code": 10}
EQUAL = {"web": 1.0, "books": 1.0, "code": 1.0}
NAMES = st.text("abcdef", min_size=1, max_size=3)


def passes(mixture: Mixture, sizes: dict[str, int] = SIZES) -> dict[str, float]:
    return {name: part.passes for name, part in plan(sizes, mixture).parts.items()}


def test_without_a_total_the_corpus_keeps_its_size() -> None:
    assert passes(Mixture()) == pytest.approx({"web": 1, "books": 1, "code": 1})
    assert passes(Mixture(), {"alone": 12_345}) == {"alone": 1.0}
    # Wanted 370 of 1,110 each. Code has 40 at most, then books 400: 670 for the web.
    assert passes(Mixture(weights=EQUAL)) == pytest.approx({"web": 0.67, "books": 4, "code": 4})
    whole = plan({"web": 500, "books": 500, "code": 200}, Mixture(weights={"web": 5, "books": 4, "code": 1}))
    assert whole.tokens == pytest.approx(1200)
    assert [part.share for part in whole.parts.values()] == pytest.approx([0.5, 0.4, 0.1])
    assert whole.capped == ()
    # Less than one pass is no contradiction to it.
    assert passes(Mixture(most_passes=0.5)) == pytest.approx({"web": 0.5, "books": 0.5, "code": 0.5})
    assert Mixture().passes_over_all == 1 and Mixture(total_tokens=9).passes_over_all is None


def test_with_a_total_the_rest_flows_to_the_others() -> None:
    # Wanted 300 each. Code has 40 at most: 860 for two. Books have 400 at most: 460 for the web.
    found = plan(SIZES, Mixture(weights=EQUAL, total_tokens=900))
    assert {name: part.tokens for name, part in found.parts.items()} == pytest.approx(
        {"web": 460, "books": 400, "code": 40}
    )
    assert found.capped == ("books", "code")
    assert [part.capped for part in found.parts.values()] == [False, True, True]
    assert passes(Mixture(weights=EQUAL, total_tokens=30)) == pytest.approx({"web": 0.01, "books": 0.1, "code": 1})
    assert passes(Mixture(total_tokens=4440)) == pytest.approx({"web": 4, "books": 4, "code": 4})


def test_the_exponent_lifts_the_small() -> None:
    # 100**0.5 : 1**0.5 is 10 : 1.
    found = plan({"en": 10_000, "sw": 100}, Mixture(exponent=0.5, total_tokens=1100))
    assert {name: part.tokens for name, part in found.parts.items()} == pytest.approx({"en": 1000, "sw": 100})


def test_a_temperature_that_keeps_the_size_by_hand() -> None:
    sizes = {"en": 900, "sw": 100}
    # 0.9**0.5 : 0.1**0.5 is 3 : 1; equal shares are 500 each.
    assert passes(Mixture(exponent=0.5, total_passes=1), sizes) == pytest.approx({"en": 0.75 / 0.9, "sw": 2.5})
    assert passes(Mixture(exponent=0, total_passes=1, most_passes=5), sizes) == pytest.approx({"en": 5 / 9, "sw": 5})
    assert passes(Mixture(exponent=0, total_passes=1), sizes) == pytest.approx({"en": 600 / 900, "sw": 4})
    weighed = Mixture(weights={"sw": 1, "en": 3}, total_passes=1)
    assert passes(weighed, sizes) == pytest.approx({"en": 0.75 / 0.9, "sw": 2.5})
    with pytest.raises(ConfigError, match="said twice"):
        Mixture(total_passes=1, total_tokens=1000)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (Mixture(weights={**EQUAL, "boks": 1.0}), "did you mean books"),
        (Mixture(weights={**EQUAL, "code": 0.0}), "must be above 0"),
        (Mixture(weights={**EQUAL, "code": float("nan")}), "must be above 0"),
        (Mixture(weights={"web": 1.0, "books": 1.0}), "one for code too"),
        (Mixture(total_tokens=4441), "at most 4,440"),
        (Mixture(total_tokens=0), "not enough text for the total"),
        (Mixture(by="language", weights={"web": 1.0, "books": 1.0}), "a language has no weight"),
        (Mixture(most_passes=0), "most passes"),
        (Mixture(exponent=-1), "exponent"),
    ],
)
def test_what_is_impossible_is_refused(mixture: Mixture, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(SIZES, mixture)


def test_sources_of_nothing_are_refused() -> None:
    for sizes in ({"web": 0, "books": 1}, {}):
        with pytest.raises(DataError, match="cannot be mixed"):
            plan(sizes, Mixture())
    assert issubclass(DataError, UserError)


@given(
    st.dictionaries(NAMES, st.tuples(st.integers(1, 10**9), st.floats(0.01, 100)), min_size=1, max_size=7),
    st.floats(0.001, 1),
    st.floats(0.1, 8),
)
def test_shares_sum_to_one_and_caps_hold(sources: dict, fraction: float, most: float) -> None:
    sizes = {name: size for name, (size, _) in sources.items()}
    total = max(1, int(sum(sizes.values()) * most * fraction))
    if total > sum(sizes.values()) * most:
        return
    mixture = Mixture(weights={n: w for n, (_, w) in sources.items()}, total_tokens=total, most_passes=most)
    found = plan(sizes, mixture)
    assert sum(part.share for part in found.parts.values()) == pytest.approx(1)
    assert found.tokens == pytest.approx(total)
    assert all(part.passes <= most * (1 + 1e-9) for part in found.parts.values())
    free = [part.tokens / part.wanted for name, part in found.parts.items() if name not in found.capped]
    assert free == pytest.approx([free[0]] * len(free) if free else [])
    # Nobody who is held back gets more than the others by weight.
    assert all(found.parts[n].tokens / found.parts[n].wanted <= f * (1 + 1e-6) for n in found.capped for f in free[:1])


@given(st.dictionaries(NAMES, st.integers(1, 10**12), min_size=1, max_size=8), st.floats(0, 2), st.floats(1.5, 8))
def test_a_temperature_keeps_the_whole_under_any_cap(sizes: dict[str, int], exponent: float, most: float) -> None:
    found = plan(sizes, Mixture(exponent=exponent, total_passes=1, most_passes=most))
    assert found.tokens == pytest.approx(sum(sizes.values()))
    assert all(part.passes <= most * (1 + 1e-9) for part in found.parts.values())


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_more_weight_never_gives_less(one: float, two: float) -> None:
    low, high = sorted((one, two))
    found = [
        plan(SIZES, Mixture(weights={**EQUAL, "books": weight}, total_tokens=900)).parts["books"].tokens
        for weight in (low, high)
    ]
    assert found[0] <= found[1] * (1 + 1e-9)


@given(st.text(max_size=20), st.floats(0, 20), st.floats(0, 20), st.integers(0, 5))
def test_a_larger_fraction_contains_the_smaller(identifier: str, one: float, two: float, seed: int) -> None:
    low, high = sorted((one, two))
    assert repeats(identifier, low, seed=seed) <= repeats(identifier, high, seed=seed)
    assert int(low) <= repeats(identifier, low, seed=seed) <= int(low) + 1
    assert repeats(identifier, float(int(low)), seed=seed) == int(low)


def test_a_fraction_has_about_its_share_of_the_documents_and_another_seed_others() -> None:
    names = [f"document {n}" for n in range(10_000)]
    chosen = [name for name in names if repeats(name, 2.3) == 3]
    assert len(chosen) == pytest.approx(3000, abs=4 * (10_000 * 0.3 * 0.7) ** 0.5)
    assert chosen != [name for name in names if repeats(name, 2.3, seed=1) == 3]
    # A fixed outcome: the same on every machine, in every process and release.
    assert [n for n in range(40) if repeats(f"document {n}", 0.25)] == [3, 5, 6, 18, 19, 26, 29]
