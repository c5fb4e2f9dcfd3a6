"""`trivium pretrain gan` on pairs: an encoder-decoder plays ColdGANs to its end, killed too, and asked wrongly."""

import json
import pathlib
import random
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.resuming import final_weights, killed_in_step
from trivium.cli import main as cli
from trivium.data.text_rows import TextRowsSource
from trivium.errors import ConfigError, DataError, UserError
from trivium.lm.purpose import purpose_of_folder
from trivium.objectives.coldgan import ColdConfig
from trivium.recipes.gan import gan
from trivium.recipes.gan_config import (
    CadenceConfig,
    FrontierConfig,
    GANConfig,
    MethodSettings,
    NetworksConfig,
    PhasesConfig,
    TextsConfig,
    TurnsConfig,
)
from trivium.recipes.gan_game import build_game, build_networks
from trivium.recipes.gan_texts import read_gan_texts
from trivium.recipes.translator import WRITERS
from trivium.training.adversarial.texts import Texts
from trivium.training.learners.adversarial import AdversarialLearner
from trivium.training.run import Run

WORDS = ["red", "blue", "green", "gold", "black"]
T5 = NetworksConfig(architecture="t5", width=8, heads=2, filters=0.005)


def written(path: pathlib.Path, count: int = 40) -> pathlib.Path:
    """Words and the same words backwards, each source twice."""
    chance = random.Random(3)
    sources = [" ".join(chance.choices(WORDS, k=chance.randint(2, 4))) for _ in range(count // 2)]
    pairs = [(source, " ".join([*reversed(source.split())][:keep])) for source in sources for keep in (4, 1)]
    path.write_text("".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in pairs))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return written(tmp_path_factory.mktemp("pairs") / "pairs.jsonl")


def tiny(data: pathlib.Path, output: pathlib.Path, **settings: Any) -> GANConfig:
    """Two steps of each phase."""
    usual: dict[str, Any] = {
        "method": "coldgan",
        "networks": T5,
        "phases": PhasesConfig(likelihood_steps=2, discriminator_steps=2),
        "turns": TurnsConfig(discriminator_updates=2),
        "settings": MethodSettings(coldgan=ColdConfig(replayed_texts=6, longest_replayed=1)),
        "rows": 4,
        "steps": 2,
        "cadence": CadenceConfig(log_every_steps=1, evaluate_every_steps=1, checkpoint_every_steps=1),
        "frontier": FrontierConfig(temperatures=(1.0,), texts=6, draws=2, order=2),
        "device": "cpu",
    }
    return GANConfig(data=data, output=output, **usual | settings)


@pytest.fixture(scope="module")
def run(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return gan(tiny(data, tmp_path_factory.mktemp("runs")))


def test_it_ends_in_a_model_that_writes_for_a_source(run):
    assert [row["step"] for row in run.metrics()] == [1, 2]
    for row in run.metrics():
        assert row["validation_loss"] > 0 and 0 < row["reward"] < 1 and 0 < row["unique"] <= 1
    assert run.config["turns"]["generator_rate"] == 1e-4  # ten times as much makes it forget its sources
    model = trivium.load(run.folder)
    assert model.architecture.name == "t5"
    assert purpose_of_folder(run.checkpoints / "best") == "text_to_text"
    assert model.origin.described["learnt_by"] == "coldgan"
    answers = model.generate(["red blue", "gold"], max_new_tokens=6, n=2, seed=0)
    assert {word for answer in answers for word in answer.text.split()} <= {*WORDS, "<unk>"}
    page = run.report.read_text(encoding="utf-8")
    assert "This coldgan generator" in page and "nats a token, and" in page


def test_the_loss_of_held_out_pairs_is_that_of_each_target_for_its_source(run, data):
    """Also on the page, where it is measured once more."""
    texts = read_gan_texts(tiny(data, data.parent))
    model = trivium.load(run.folder).network
    total = 0.0
    with torch.no_grad():
        for ids, source in zip(texts.held_out, texts.held_out_sources, strict=True):
            tokens = torch.tensor([[model.config.start_id, *ids[:-1]]])
            hidden = model(tokens, state=model.encode(torch.tensor([source]))).hidden
            chosen = torch.log_softmax(model.head.logits(hidden)[0], -1).gather(-1, torch.tensor(ids)[:, None])
            total -= float(chosen.sum())
    mean = total / sum(map(len, texts.held_out))
    assert run.metrics()[-1]["validation_loss"] == pytest.approx(mean, rel=1e-4)
    assert f"Held-out text costs {mean:.3f} nats" in run.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_killed_in_the_game_it_ends_as_if_it_had_not_been(run, data, tmp_path, monkeypatch):
    with killed_in_step(monkeypatch, 4, AdversarialLearner):
        gan(tiny(data, tmp_path))
    resumed = gan(tiny(data, tmp_path, resume=True))
    expected, found = final_weights(run), final_weights(resumed)
    assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)


# Pairs ----------------------------------------------------------------------------------------------------------------


def test_pairs_of_one_source_are_on_one_side(data):
    texts = read_gan_texts(tiny(data, data.parent))
    tokenizer = texts.tokenizer
    sides = [(texts.sources, texts.training), (texts.held_out_sources, texts.held_out)]
    found = [{tokenizer.decode(source) for source in sources} for sources, _ in sides]
    assert not found[0] & found[1] and len(texts.training) + len(texts.held_out) == 40
    for sources, targets in sides:
        for source, ids in zip(sources, targets, strict=True):
            words = tokenizer.decode(texts.told(ids)).split()
            assert words == tokenizer.decode(source).split()[::-1][: len(words)] and ids[-1] == texts.end
            assert texts.separator not in [*source, *ids]
    assert (texts.longest, texts.longest_source, texts.longest_read) == (5, 4, 10)
    batch = next(TextRowsSource(texts.training, start=9, rows=3, sources=texts.sources))
    assert batch.source.shape == (3, 4) and batch.targets.shape == (3, 5) and batch.tokens[:, 0].tolist() == [9] * 3
    known = list(zip(texts.sources, texts.training, strict=True))
    for row in range(3):
        source, ids = batch.source[row, : batch.source_lengths[row]], batch.targets[row, : batch.lengths[row]]
        assert (source.tolist(), ids.tolist()) in known


def test_room_is_over_the_held_out_sources_in_turn(data):
    texts = read_gan_texts(tiny(data, data.parent))
    count = len(texts.held_out_sources)
    room = texts.room(count + 3, first=1)
    found = [row[:length].tolist() for row, length in zip(room.source, room.source_lengths, strict=True)]
    assert found == [list(texts.held_out_sources[(1 + row) % count]) for row in range(count + 3)]
    assert room.targets.shape == (count + 3, texts.longest)


def test_a_source_that_is_too_long_is_shown(tmp_path):
    lines = [{"source": " ".join(WORDS[first:]), "target": WORDS[first]} for first in range(5)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = tiny(tmp_path / "t.jsonl", tmp_path, texts=TextsConfig(longest=4, validation_fraction=0.1))
    with pytest.raises(DataError, match="a text is too long") as caught:
        read_gan_texts(config)
    assert "t.jsonl, line 1: 5 tokens of its source: 'red blue green gold black'" in str(caught.value)
    assert caught.value.fix == "set texts.longest to 5, or texts.too_long to drop or cut"


@pytest.mark.parametrize("too_long", ["cut", "drop"])
def test_sources_that_are_too_long_are_cut_or_left_out(data, capsys, too_long):
    config = tiny(data, data.parent, texts=TextsConfig(longest=3, too_long=too_long, validation_fraction=0.4))
    texts = read_gan_texts(config)
    assert "texts.longest 5 would keep them all" in capsys.readouterr().err
    sources, targets = [*texts.sources, *texts.held_out_sources], [*texts.training, *texts.held_out]
    assert max(map(len, sources)) <= 3 and max(map(len, targets)) <= 3
    assert len(sources) == len(targets) and (len(targets) == 40) == (too_long == "cut")


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
def test_every_encoder_decoder_may_be_the_generator(data, kind):
    """It starts as it was built to, and writes up to its end token for each source."""
    heads = 2 if kind in ("t5", "bart", "transformer") else None
    networks = NetworksConfig(architecture=kind, width=8, heads=heads, filters=0.005)
    config = tiny(data, data.parent, networks=networks)
    texts = read_gan_texts(config)
    generator, discriminator = build_networks(config, texts)
    game = build_game(config, generator, discriminator, end_id=texts.end, separator_id=texts.separator)
    source = TextRowsSource(texts.training, start=generator.config.start_id, rows=6, sources=texts.sources)
    batch: Any = next(source)
    (loss,) = game.written(batch, 0)
    assert torch.isfinite(loss.total) and float(loss.count) == 6
    found: Texts = game.sampled(batch, 0)
    ends = [ids.index(texts.end) + 1 if texts.end in ids else texts.longest for ids in found.tokens.tolist()]
    assert found.lengths.tolist() == ends
    assert 0 <= float(game.against(batch, found).metrics["correct"]) <= 12


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "seqgan"}, "t5 cannot be the generator of seqgan"),
        ({"networks": NetworksConfig(architecture="glm")}, "glm cannot be the generator of coldgan"),
        ({"networks": NetworksConfig(architecture="t5", embedding_width=4)}, "t5 has no embedding_width"),
        ({"texts": TextsConfig(field="caption")}, "and no other field"),
    ],
)
def test_settings_that_do_not_fit_leave_no_run(data, tmp_path, changed, said):
    changed = {"settings": MethodSettings(), **changed}
    with pytest.raises(ConfigError, match=said):
        gan(tiny(data, tmp_path / "runs", **changed))
    assert not (tmp_path / "runs").exists()


def test_another_method_is_refused_before_the_data_is_read(tmp_path):
    """Who has the right texts for it is not told to make pairs of them."""
    with pytest.raises(ConfigError) as caught:
        gan(tiny(tmp_path / "nowhere.txt", tmp_path, method="relgan", settings=MethodSettings()))
    assert caught.value.fix == "set method to coldgan, or leave it out"
    assert "for coldgan, on pairs of source and target: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.txt", "red blue\n" * 9, "plain text"),
        ("t.jsonl", '{"text": "red blue"}\n' * 9, "line 1: text"),
        ("t.jsonl", '{"source": "", "target": "red"}\n' * 9, "the field `source` holds no text"),
    ],
)
def test_texts_without_a_source_are_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        gan(tiny(tmp_path / name, tmp_path / "runs"))
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_what_is_foretold_is_what_is_built(capsys, data, tmp_path):
    words = ["--data", str(data), "--method", "coldgan", "--output", str(tmp_path / "runs"), "--rows", "10"]
    sizes = ["--networks.architecture", "t5", "--networks.width", "8", "--networks.heads", "2"]
    assert cli.main(["pretrain", "gan", *words, *sizes, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["needs"]
    assert not (tmp_path / "runs").exists()
    config = GANConfig(data=data, method="coldgan", networks=NetworksConfig(architecture="t5", width=8, heads=2))
    texts = read_gan_texts(config)
    for name, network in zip(("generator", "discriminator"), build_networks(config, texts), strict=True):
        parameters = sum(parameter.numel() for parameter in network.parameters())
        assert found[name].endswith(f"{parameters:,} parameters")
    assert found["generator"].startswith("t5, ")
    assert (found["longest"], found["longest_source"]) == (5, 4)
    assert found["data"] == f"{len(texts.training)} pairs to learn from, {len(texts.held_out)} to measure on"
    assert found["texts_a_step"].startswith("50 real ones")
