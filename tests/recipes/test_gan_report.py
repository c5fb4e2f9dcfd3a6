"""What is said of a game: signs of a collapse, and whether copies can pass for diversity."""

import dataclasses
from typing import Any

import pytest

from trivium.data.grammar import ARITHMETIC
from trivium.evaluation.frontier import compared
from trivium.recipes.gan_config import FrontierConfig, GANConfig
from trivium.recipes.gan_report import Measured, signs, swept, told
from trivium.recipes.gan_texts import GANTexts, read_gan_texts

FRONTIER = FrontierConfig(temperatures=(1.0,), texts=20, draws=2, order=4)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> GANConfig:
    path = tmp_path_factory.mktemp("texts") / "sums.txt"
    path.write_text("\n".join(ARITHMETIC.sentences(200, longest=7, seed=3)) + "\n")
    return GANConfig(data=path, method="seqgan", frontier=FRONTIER)


@pytest.fixture(scope="module")
def texts(config: GANConfig) -> GANTexts:
    return read_gan_texts(config)


def real(texts: GANTexts) -> Any:
    """Writes what it has read."""
    return lambda _, count, seed: [texts.told(ids) for ids in texts.training[seed * count : (seed + 1) * count]]


def of_one(texts: GANTexts, words: str) -> Any:
    """Writes the same text again and again."""
    return lambda _, count, __: [texts.tokenizer.encode(words)] * count


def found(config: GANConfig, texts: GANTexts, write: Any, **changed: Any) -> Measured:
    start, end = (swept(config, texts, each, (1.0,)) for each in (real(texts), write))
    verdict = compared(start.points, end.points)
    usual = Measured(
        start=start,
        end=end,
        verdict=verdict,
        started_at=1.5,
        ended_at=1.75,
        unique_at_start=0.8,
        written=[],
        real=[],
    )
    return dataclasses.replace(usual, **changed)


@pytest.mark.parametrize("words", ["x", "x + y", "( x + 1 ) * y"])
def test_one_text_again_and_again_is_never_beyond_the_frontier(config, texts, words):
    """Also where it is so short that it has no n-gram of the order that is counted."""
    measured = found(config, texts, of_one(texts, words))
    assert all(point.diversity == pytest.approx(1.0) for points in measured.end.points.values() for point in points)
    assert not measured.verdict.beyond and not measured.verdict.leaves
    assert measured.end.unique == {1.0: 1 / 20}
    assert any(
        sign.startswith("Of the texts that it writes in the end 5.0% are different") for sign in signs([], measured)
    )


def test_nothing_is_said_against_a_sound_game(config, texts):
    rows = [{"step": step, "unique": 0.7, "reward_deviation": 0.1, "discriminator_waits": 0.0} for step in (5, 10)]
    said = told(config, rows, found(config, texts, real(texts)))
    assert said[0].startswith("This seqgan generator cannot be told from the frontier")
    assert "over 2 draws of texts" in said[0]
    assert said[1] == "Held-out text costs 1.750 nats a token, and 1.500 where the game began."
    assert said[2:] == ["There is no sign of a collapse: its texts differ, and the discriminator is in doubt."]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"unique": 0.7}, {"unique": 0.39}, {"unique": 0.3}], "It repeats itself: from step 2 on"),
        (
            [{"reward_deviation": 0.2}, {"reward_deviation": 0.009}],
            "The rewards say nothing: at the end they differ by",
        ),
        ([{"discriminator_waits": 0.4}, {"discriminator_waits": 0.8}], "The discriminator waited in 60% of the steps"),
    ],
)
def test_each_sign_is_a_sentence(config, texts, rows, said):
    numbered = [{"step": step, **row} for step, row in enumerate(rows, start=1)]
    told_of = signs(numbered, found(config, texts, real(texts)))
    assert len(told_of) == 1 and told_of[0].startswith(said)
    # Just before it is one there is none.
    assert signs(numbered[:1], found(config, texts, real(texts)))[0].startswith("There is no sign")


def test_of_textgan_it_is_said_how_it_writes(config, texts):
    assert "of a code" in told(dataclasses.replace(config, method="textgan"), [], found(config, texts, real(texts)))[-1]


def test_a_text_ends_where_its_end_token_stands(texts):
    ids = texts.tokenizer.encode("x + y")
    assert texts.words([*ids, texts.end, *ids], 2) == " ".join(map(str, ids))
    assert texts.words(ids, 5) == " ".join(map(str, [*ids, texts.end, texts.end]))
    assert texts.words([texts.end], 2) == f"{texts.end} {texts.end}"
