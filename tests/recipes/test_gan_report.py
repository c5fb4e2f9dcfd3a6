"""What is said of a game: signs of a collapse, and whether copies can pass for diversity."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from trivium.data.grammar import ARITHMETIC
from trivium.evaluation.frontier import compared
from trivium.evaluation.text_scores import RealTexts
from trivium.recipes import gan_report
from trivium.recipes.gan_config import FrontierConfig, GANConfig, NetworksConfig
from trivium.recipes.gan_game import build_discriminator, build_game, build_generator
from trivium.recipes.gan_report import Measured, signs, swept, told
from trivium.recipes.gan_scores import scored, section
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
    sure = [{**row, "discriminator_correct": 0.97} for row in rows]  # RelGAN's often is, and never waits
    assert told(config, sure, found(config, texts, real(texts)))[2].endswith("tells nearly all of them rightly.")


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


def test_texts_are_judged_beside_those_of_the_start_and_real_ones(config, texts):
    """One text again and again: likely, and a model of it knows nothing of the language."""
    judging = dataclasses.replace(config, frontier=dataclasses.replace(FRONTIER, judge_width=16, judge_passes=4))
    start, end = ([write(1.0, 20, seed) for seed in (0, 1)] for write in (real(texts), of_one(texts, "x + y")))
    measured = found(judging, texts, real(texts), scored=scored(judging, texts, start, end))
    both = measured.scored
    assert both is not None and (both.learnt_texts, both.draw_texts) == (40, 20)
    assert both.end.reverse.estimate > both.start.reverse.estimate + 0.5
    assert both.start.forward.estimate == pytest.approx(both.real.forward.estimate, abs=0.5)
    said = told(judging, [], measured)[2]
    assert f"gives its texts {both.end.forward.estimate:.3f} nats a token (LM score; " in said
    assert f"{both.start.forward.estimate:.3f} where the game began)" in said
    assert f"held-out text {both.end.reverse.estimate:.3f} (reverse LM score; {both.start.reverse.estimate:.3f}" in said
    assert said.endswith(f"with real texts both are {both.real.forward.estimate:.3f}.")
    page = section(judging, texts, both, "its start").body
    assert "one LSTM layer of width 16, 4 passes) that learnt from 40 real texts" in page
    assert page.index(">real texts<") < page.index(">its start<") < page.index(">seqgan<")


def test_the_end_of_a_text_counts(config, texts, monkeypatch):
    """Draws are without their end tokens; a text that fills the room had none."""
    seen: list[Any] = []
    monkeypatch.setattr(RealTexts, "scores", lambda self, draws: seen.extend(draws))
    full = [2] * texts.longest
    brief = dataclasses.replace(config, frontier=dataclasses.replace(FRONTIER, judge_width=2, judge_passes=1))
    scored(brief, texts, [[[3], full]] * 2, [[[], full]] * 2)
    assert seen == [[[3, texts.end], full]] * 2 + [[[texts.end], full]] * 2


def test_what_is_not_judged(config, texts):
    draws = [[[3], [4]]] * 2
    off = dataclasses.replace(config, frontier=dataclasses.replace(FRONTIER, judge_passes=0))
    assert scored(off, texts, draws, draws) is None
    assert scored(config, dataclasses.replace(texts, training=texts.training[:1]), draws, draws) is None


def test_a_sample_stands_with_its_source(texts):
    """Texts are written for the held-out sources in turn."""
    sources = [[*texts.tokenizer.encode(words), texts.end] for words in ("x + y", "( x )")]
    of_pairs = dataclasses.replace(texts, held_out_sources=sources)
    lines = [json.loads(gan_report._record(of_pairs, number, "y")) for number in range(3)]
    assert lines == [{"source": source, "text": "y"} for source in ("x + y", "( x )", "x + y")]
    assert gan_report._record(texts, 0, "“y”") == '{"text": "“y”"}\n'


def test_soft_texts_are_not_written_all_at_once(config, texts, monkeypatch):
    monkeypatch.setattr(gan_report, "_ROWS", 10)
    torch.manual_seed(0)
    by_code = dataclasses.replace(config, method="textgan", networks=NetworksConfig(width=8, filters=0.01))
    generator = build_generator(by_code, texts.tokenizer.vocabulary_size, texts.longest)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter)  # so that a code decides
    discriminator = build_discriminator(by_code, generator, texts.tokenizer.vocabulary_size, texts.longest)
    game = build_game(by_code, generator, discriminator, end_id=texts.end)
    rows: list[int] = []
    sampled = game.sampled
    monkeypatch.setattr(game, "sampled", lambda real, step: rows.append(real.rows) or sampled(real, step))
    state = torch.get_rng_state()
    written = gan_report._by_codes(game, texts, 1.0, 25, seed=1)
    assert rows == [10, 10, 5] and torch.equal(torch.get_rng_state(), state)
    assert written == gan_report._by_codes(game, texts, 1.0, 25, 1) != gan_report._by_codes(game, texts, 1.0, 25, 2)
    assert written[:10] != written[10:20]  # each part has codes of its own


def test_of_textgan_it_is_said_how_it_writes(config, texts):
    assert "of a code" in told(dataclasses.replace(config, method="textgan"), [], found(config, texts, real(texts)))[-1]


def test_a_text_ends_where_its_end_token_stands(texts):
    ids = texts.tokenizer.encode("x + y")
    assert texts.words([*ids, texts.end, *ids], 2) == " ".join(map(str, ids))
    assert texts.words(ids, 5) == " ".join(map(str, [*ids, texts.end, texts.end]))
    assert texts.words([texts.end], 2) == f"{texts.end} {texts.end}"
