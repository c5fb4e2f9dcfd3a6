"""Looks at a policy, when reward and gold score are said to have parted, and how often that is false."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from trivium.errors import ConfigError, DataError
from trivium.evaluation.best_of import frontier
from trivium.recipes.align import watch
from trivium.recipes.align.looks import WATCH, Look, add_look, forget_after, look, read_looks
from trivium.recipes.align.watch import WatchConfig, parted, suspicions, watch_sections

PROMPTS = ["What?", "Why?", "Who?", "When?"]
ANSWERS = ["a b a b a b", "one two three", "x", "a b a b a b"]


def seen(step: int = 1, **changes: Any) -> Look:
    given: dict[str, Any] = {
        "proxies": [4.0, 2.0, 1.0, 3.0],
        "golds": [0.0, 1.0, 2.0, 1.0],
        "kls": [1.0, 2.0, -1.0, 4.0],
        "lengths": [60, 30, 10, 59],
        "ended": [True, True, False, True],
    }
    return look(step, PROMPTS, ANSWERS, **(given | changes))


def test_figures_of_a_look_by_hand() -> None:
    found = seen(7, samples=2)
    assert (found.step, found.proxy, found.gold, found.kl) == (7, 2.5, 1.0, 1.5)
    assert found.length_tokens == 39.75 and found.ended == 0.75 and found.unique == 0.75
    assert found.length_correlation == pytest.approx(1.0)
    # Of the pairs of words 3/5, 0, none and 3/5 stood there before: ranks 3.5, 1.5, 1.5, 3.5 beside 4, 2, 1, 3.
    assert found.repetition_correlation == pytest.approx(4 / math.sqrt(4 * 5))
    assert found.distinct2 == pytest.approx(4 / 12)
    assert found.self_similarity is not None and 0.4 < found.self_similarity < 0.6
    assert [(s.prompt, s.answer, s.proxy, s.gold) for s in found.samples] == [
        ("What?", "a b a b a b", 4.0, 0.0),
        ("Why?", "one two three", 2.0, 1.0),
    ]
    assert found.proxies == (4.0, 2.0, 1.0, 3.0) and found.golds == (0.0, 1.0, 2.0, 1.0)


def test_what_a_reward_left_out_is_left_out_of_means_and_correlations() -> None:
    found = seen(proxies=[4.0, None, 1.0, 3.0], golds=[None, 1.0, 2.0, None], lengths=[10, 99, 30, 20])
    assert found.proxy == pytest.approx(8 / 3) and found.gold == 1.5
    assert found.length_correlation == pytest.approx(-1.0)
    assert seen(proxies=[1.0, None, 3.0, 4.0]).repetition_correlation == pytest.approx(0.0)
    assert found.proxies == (4.0, None, 1.0, 3.0) and found.golds == (None, 1.0, 2.0, None)


def test_without_a_gold_scorer_there_is_no_gold() -> None:
    found = seen(golds=None)
    assert found.gold is None and found.golds is None and found.samples[0].gold is None


def test_what_does_not_vary_correlates_with_nothing() -> None:
    assert seen(lengths=[5, 5, 5, 5]).length_correlation is None
    assert seen(proxies=[1.0, 1.0, 1.0, 1.0]).length_correlation is None
    assert seen(proxies=[1.0, None, None, None]).repetition_correlation is None


def test_a_divergence_that_is_no_number_is_none() -> None:
    assert seen(kls=[1.0, math.nan, 1.0, 1.0]).kl is None
    assert seen(kls=[1.0, math.inf, 1.0, 1.0]).kl is None


def test_answers_without_words_and_a_single_one() -> None:
    columns: dict[str, Any] = {"proxies": [0.0], "golds": None, "kls": [0.0], "lengths": [1], "ended": [True]}
    found = look(0, ["?"], [". . ."], **columns)
    assert found.self_similarity is None and found.distinct2 == 0.0 and found.unique == 1.0


@pytest.mark.parametrize("column", ["proxies", "golds", "kls", "lengths", "ended"])
def test_a_column_of_another_length_is_refused(column: str) -> None:
    with pytest.raises(DataError, match=column):
        seen(7, **{column: [True, True, True]})


def test_a_look_without_a_reward_is_refused() -> None:
    with pytest.raises(DataError, match="at least one answer with a reward"):
        seen(proxies=[None, None, None, None])
    with pytest.raises(DataError):
        look(1, [], [], proxies=[], golds=None, kls=[], lengths=[], ended=[])


CALM = dataclasses.replace(seen(), length_correlation=0.1, repetition_correlation=None)


def course(proxies: np.ndarray, golds: np.ndarray | None) -> list[Look]:
    """A look every ten steps, with these scores [looks, prompts]."""
    return [
        dataclasses.replace(
            CALM,
            step=10 * at,
            proxy=float(row.mean()),
            proxies=tuple(row.tolist()),
            gold=None if golds is None else float(golds[at].mean()),
            golds=None if golds is None else tuple(golds[at].tolist()),
        )
        for at, row in enumerate(proxies)
    ]


def scores(means: Sequence[float], *, prompts: int = 40, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Prompts that differ far more than looks do, and chance in every answer."""
    chance = np.random.default_rng(seed)
    hard = chance.normal(size=prompts)
    return np.array([mean + hard + noise * chance.normal(size=prompts) for mean in means])


RISING = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
HUMP = [0.0, 1.0, 2.0, 1.5, 1.0, 0.5]


def test_reward_up_and_gold_down_is_parting() -> None:
    looks = course(scores(RISING), scores(HUMP, seed=1))
    config = WatchConfig()
    first = next(n for n in range(1, 7) if parted(looks[:n], config))
    assert first == 5  # best at the third, worse at the fourth and the fifth
    found = parted(looks[:5], config)
    assert found is not None and (found.best_step, found.step) == (20, 40)
    assert found.gold.estimate == pytest.approx(-1, abs=0.2) and found.gold.high < 0
    assert found.proxy.estimate == pytest.approx(2, abs=0.2) and found.proxy.low > 0
    for told in ("have parted", "step 20 to step 40", f"{found.gold.estimate:+.3g}", "each of the last 2 looks"):
        assert told in found.reason


def test_patience_is_counted_in_looks() -> None:
    looks = course(scores(RISING), scores(HUMP, seed=1))
    for patience, first in ((1, 4), (2, 5), (3, 6)):
        config = WatchConfig(patience=patience)
        assert next(n for n in range(1, 7) if parted(looks[:n], config)) == first
    assert not parted(looks, WatchConfig(patience=4))
    once = parted(looks[:4], WatchConfig(patience=1))
    assert once is not None and "at the last look" in once.reason


NOT_PARTED = {
    "both rise": (RISING, RISING),
    "both fall": (RISING[::-1], HUMP),
    "gold falls, reward stays": ([1.0] * 6, HUMP),
    "gold recovers": (RISING, [0.0, 1.0, 2.0, 1.0, 1.0, 2.0]),
    "gold stays": (RISING, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    "gold is best at the end": (RISING, [2.0, 1.0, 0.5, 0.0, 1.0, 3.0]),
}


@pytest.mark.parametrize(("proxy", "gold"), NOT_PARTED.values(), ids=NOT_PARTED)
def test_what_is_no_parting(proxy: list[float], gold: list[float]) -> None:
    looks = course(scores(proxy), scores(gold, seed=1))
    assert parted(looks, WatchConfig()) is None


def test_noise_is_that_of_the_prompts_in_pairs() -> None:
    """A fall of 0.2 is less than prompts differ, and more than the same prompt does from look to look."""
    fall = [0.0, 1.0, 0.8, 0.8]
    assert parted(course(scores(RISING[:4]), scores(fall, noise=0.05, seed=1)), WatchConfig())
    assert not parted(course(scores(RISING[:4]), scores(fall, noise=2.0, seed=1)), WatchConfig())


def test_a_good_run_is_seldom_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reward rises and the gold score stays: the luckiest of 16 looks must not make all others look bad."""
    monkeypatch.setattr(watch, "_RESAMPLES", 4000)
    stopped = 0
    for seed in range(40):
        golds = scores([0.0] * 16, prompts=24, seed=seed + 1000)
        looks = course(scores(range(16), prompts=24), golds)
        stopped += any(parted(looks[:n], WatchConfig()) for n in range(2, 17))
    assert stopped <= 3


def test_too_little_to_say_anything() -> None:
    config = WatchConfig()
    looks = course(scores(RISING), scores(HUMP, seed=1))
    assert parted([], config) is None and parted(looks[:1], config) is None
    assert parted(course(scores(RISING), None), config) is None
    lonely = [dataclasses.replace(one, golds=(one.golds or ())[:1] + (None,) * 39) for one in looks]
    assert parted(lonely, config) is None


def test_looks_without_a_gold_score_are_passed_over() -> None:
    looks = course(scores(RISING), scores(HUMP, seed=1))
    looks[3] = dataclasses.replace(looks[3], gold=None, golds=None)
    assert parted(looks[:5], WatchConfig()) is None
    assert parted(looks, WatchConfig()) is not None


def test_other_prompts_cannot_be_compared() -> None:
    looks = course(scores(RISING), scores(HUMP, seed=1))
    looks[4] = dataclasses.replace(looks[4], asked="others")
    with pytest.raises(DataError, match="different prompts"):
        parted(looks, WatchConfig())


SIGNS: dict[str, tuple[dict[str, Any], str]] = {
    "far away": ({"kl": 51.0}, "51.0 nats"),
    "no distance": ({"kl": None}, "no finite number"),
    "long": ({"length_tokens": 80.0}, "80 tokens long, at first 40"),
    "short": ({"length_tokens": 20.0}, "20 tokens long"),
    "goes with length": ({"length_correlation": 0.75}, "length of an answer: rank correlation 0.75"),
    "goes with repetition": ({"repetition_correlation": 0.6}, "repeats itself: rank correlation 0.60"),
    "all the same": ({"unique": 0.25}, "of the answers 25 % are different, at first 75 %"),
    "the same words": ({"distinct2": 0.1}, "of the pairs of words 10 % are different, at first 33 %"),
    "without an end": ({"ended": 0.25}, "25 % come to their end, at first 75 %"),
}


@pytest.mark.parametrize(("change", "told"), SIGNS.values(), ids=SIGNS)
def test_each_sign_is_told(change: dict[str, Any], told: str) -> None:
    found = suspicions([CALM, dataclasses.replace(CALM, **change)], WatchConfig())
    assert len(found) == 1 and told in found[0]


def test_nothing_odd_is_nothing_told() -> None:
    near = dataclasses.replace(CALM, kl=50.0, length_tokens=50.0, length_correlation=0.59, unique=0.5, ended=0.5)
    assert suspicions([CALM, near], WatchConfig()) == suspicions([CALM], WatchConfig()) == []
    assert suspicions([], WatchConfig()) == []
    never = dataclasses.replace(CALM, ended=0.0, length_tokens=0.0)
    assert suspicions([never, never], WatchConfig()) == []  # that was so before anything was learnt


def test_looks_are_kept_and_read(tmp_path: pathlib.Path) -> None:
    looks = [seen(10), seen(20, golds=None), seen(30, proxies=[1.0, None, 2.0, 3.0], kls=[math.nan] * 4)]
    assert read_looks(tmp_path) == []
    for one in looks:
        add_look(tmp_path, one)
    assert read_looks(tmp_path) == looks
    lines = (tmp_path / WATCH).read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[2])["kl"] is None


def test_a_torn_line_is_left_out_and_gone_after_resuming(tmp_path: pathlib.Path) -> None:
    for step in (10, 20, 30):
        add_look(tmp_path, seen(step))
    path = tmp_path / WATCH
    path.write_text(path.read_text()[:-40])
    assert [one.step for one in read_looks(tmp_path)] == [10, 20]
    forget_after(tmp_path, 10)
    add_look(tmp_path, seen(20))
    assert [one.step for one in read_looks(tmp_path)] == [10, 20]


def test_looks_after_the_checkpoint_are_forgotten(tmp_path: pathlib.Path) -> None:
    forget_after(tmp_path, 5)
    assert not (tmp_path / WATCH).exists()
    for step in (10, 20, 30):
        add_look(tmp_path, seen(step))
    forget_after(tmp_path, 20)
    assert [one.step for one in read_looks(tmp_path)] == [10, 20]


def test_any_text_is_kept(tmp_path: pathlib.Path) -> None:
    odd = look(
        1, ["\ud800 ü\u2028"], ["\x00\n\ud83d"], proxies=[1], golds=[2], kls=[0.0], lengths=[1], ended=[False]
    )  # fmt: skip
    add_look(tmp_path, odd)
    assert read_looks(tmp_path) == [odd]


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompts": 0},
        {"patience": 0},
        {"confidence": 1.0},
        {"diversity_factor": 0.0},
        {"correlation": 1.1},
        {"ended_share": -0.1},
        {"samples": -1},
        {"kl_nats": 0.0},
        {"length_factor": 1.0},
    ],
)
def test_an_impossible_watch_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        WatchConfig(**wrong)


def test_sections_of_the_report() -> None:
    config = WatchConfig()
    looks = course(scores(RISING), scores(HUMP, seed=1))
    parting = parted(looks, config)
    assert parting is not None
    points = frontier(scores([0.0] * 4).T, scores([0.0] * 4, seed=1).T, resamples=100)
    found = watch_sections(looks, config, frontier=points, parting=parting, rolled_back_to=20)
    body = found[0].body
    assert parting.reason[1:] in body and "went back to step 20" in body and "best of 4" in body
    assert watch_sections([], config) == []
