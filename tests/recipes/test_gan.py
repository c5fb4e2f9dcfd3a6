"""`trivium pretrain gan` from Python: every method to its end on forty lines, killed anywhere, and asked wrongly."""

import dataclasses
import html
import json
import pathlib
import re
from typing import Any

import pytest

import trivium
from tests.recipes.resuming import final_weights, killed_in_step
from trivium.checkpoints.model_folder import load_model
from trivium.checkpoints.tensors import TensorFile
from trivium.data.grammar import ARITHMETIC
from trivium.data.text_rows import TextRowsSource
from trivium.errors import ConfigError, DataError, UserError
from trivium.objectives.coldgan import ColdConfig
from trivium.objectives.leakgan import LeakGANTraining
from trivium.objectives.relgan import RelGANConfig
from trivium.objectives.seqgan import SeqGANConfig
from trivium.recipes import gan_report
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
from trivium.recipes.gan_game import build_discriminator, build_game, build_generator
from trivium.recipes.gan_texts import read_gan_texts
from trivium.recipes.gan_ways import WAYS
from trivium.training.learners.adversarial import AdversarialLearner
from trivium.training.learners.supervised import SupervisedLearner
from trivium.training.run import Run

_FEW_ROLLOUTS = {
    "seqgan": MethodSettings(seqgan=SeqGANConfig(rollouts=2)),
    "leakgan": MethodSettings(leakgan=LeakGANTraining(rollouts=2)),
}
LINES = ARITHMETIC.sentences(40, longest=7, seed=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("texts") / "sums.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def tiny(data: pathlib.Path, output: pathlib.Path, **settings: Any) -> GANConfig:
    """Two steps of each phase, of networks that are hardly there."""
    usual: dict[str, Any] = {
        "method": "seqgan",
        "networks": NetworksConfig(width=8, filters=0.005),
        "phases": PhasesConfig(likelihood_steps=2, discriminator_steps=2),
        "turns": TurnsConfig(discriminator_updates=2),
        "settings": _FEW_ROLLOUTS.get(settings.get("method", "seqgan"), MethodSettings()),
        "rows": 4,
        "steps": 2,
        "cadence": CadenceConfig(log_every_steps=1, evaluate_every_steps=1, checkpoint_every_steps=1),
        "frontier": FrontierConfig(temperatures=(0.5, 1.0), texts=8, draws=2, order=2, judge_width=4, judge_passes=1),
        "device": "cpu",
    }
    return GANConfig(data=data, output=output, **usual | settings)


@pytest.fixture(scope="module")
def runs(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return _Runs(data, tmp_path_factory.mktemp("runs"))


class _Runs(dict[str, Run]):
    """A finished run of each method, made when it is asked for."""

    def __init__(self, data: pathlib.Path, folder: pathlib.Path) -> None:
        super().__init__()
        self._data, self._folder = data, folder

    def __missing__(self, method: str) -> Run:
        self[method] = gan(tiny(self._data, self._folder, method=method, run=method))
        return self[method]


# Of the dearer ones the games themselves are played in tests/training/adversarial.
SLOW = ("maligan", "leakgan", "relgan", "coldgan")


@pytest.mark.parametrize("method", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WAYS])
def test_every_method_ends_in_a_model_that_writes(runs, method):
    run = runs[method]
    assert [row["step"] for row in run.metrics()] == [1, 2]
    assert all(row["validation_loss"] > 0 and 0 < row["unique"] <= 1 for row in run.metrics())
    assert ("reward_deviation" in run.metrics()[-1]) == (method not in ("textgan", "relgan"))  # they have no rewards
    assert (run.checkpoints / "best").resolve().name == "step-00000002"
    assert [Run.open(run.folder / name).saved_steps()[-1] for name in ("likelihood", "discriminator")] == [2, 2]
    model = trivium.load(run.folder)
    assert model.architecture.name == WAYS[method].architecture
    answers = model.generate("", max_new_tokens=12, n=3, seed=0)
    assert all(answer.settings.temperature == 1.0 for answer in answers)  # a folder that samples unless told otherwise
    words = {word for line in LINES for word in line.split()} | {"<unk>"}
    assert set(" ".join(answer.text for answer in answers).split()) <= words
    learnt = len(read_gan_texts(GANConfig(data=pathlib.Path(run.config["data"]))).training)
    assert (model.origin.described["objective"], model.origin.described["texts"]) == (method, learnt)
    turns, way = run.config["turns"], WAYS[method]  # nothing is left open
    assert (turns["generator_rate"], turns["saturated"]) == (way.generator_rate, way.saturated)


@pytest.mark.parametrize("method", ["seqgan", "textgan"])
def test_the_page_tells_the_course_and_the_frontier_of_both(runs, method):
    page = runs[method].report.read_text(encoding="utf-8")
    assert "Quality and diversity" in page and "Self-BLEU-2" in page
    assert f"This {method} generator" in page and "Another seed of training may say otherwise." in page
    assert "nats a token, and" in page[: page.index("<main>")]  # in words, before all drawings
    for words in ("share of texts that the discriminator tells rightly", "before the game", "after it"):
        assert words in page
    assert ("standard deviation of the rewards" in page) == (method == "seqgan")
    # TextGAN's texts vary by their codes, and so stand at one temperature.
    assert page.count("temperature 0.5") == (2 if method == "seqgan" else 1)
    assert "Judged by its texts alone" in page and "one LSTM layer of width 4, 1 pass)" in page
    assert "(LM score; " in page[: page.index("<main>")]


@pytest.mark.parametrize("method", ["seqgan", "textgan"])
def test_texts_of_both_are_kept_with_the_run(runs, method):
    """Of TextGAN its own, from codes, which the saved generator does not write."""
    run = runs[method]
    lines = [(run.samples / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("before", "after")]
    before, after = ([json.loads(line)["text"] for line in each] for each in lines)
    assert len(before) == len(after) == 8
    page = run.report.read_text(encoding="utf-8")
    assert all(html.escape(text) in page for text in (*before[:2], *after[:2]))
    texts = read_gan_texts(tiny(pathlib.Path(run.config["data"]), run.folder))
    saved = load_model(run.checkpoints / "best")
    sampled = [texts.tokenizer.decode(ids) for ids in gan_report._sampled(saved, texts, 1.0, 8, seed=0)]
    assert (after == sampled) == (method == "seqgan")


def test_the_game_begins_where_held_out_text_was_likeliest(data, tmp_path):
    """Not where training by likelihood ended, at a rate that is too high."""
    phases = PhasesConfig(likelihood_steps=4, likelihood_rate=0.3, discriminator_steps=0)
    turns = TurnsConfig(discriminator_updates=1, generator_rate=1e-12)
    run = gan(tiny(data, tmp_path, phases=phases, turns=turns, steps=1))
    losses = [row["validation_loss"] for row in Run.open(run.folder / "likelihood").metrics()]
    assert losses[-1] > min(losses) + 0.01
    assert run.metrics()[0]["validation_loss"] == pytest.approx(min(losses), abs=1e-4)
    assert f"{min(losses):.3f} where the game began" in run.report.read_text(encoding="utf-8")
    assert not (run.folder / "discriminator").exists()


@pytest.mark.parametrize("method", ["seqgan", pytest.param("leakgan", marks=pytest.mark.slow)])
def test_who_learns_beside_the_discriminator(runs, method):
    """LeakGAN's generator alone: it writes by what the discriminator sees, which is another thing after every step."""
    judging = Run.open(runs[method].folder / "discriminator")
    folders = runs[method].folder / "likelihood" / "checkpoints" / "best", judging.checkpoint(judging.saved_steps()[-1])
    before, after = (load_model(folder).get_parameter("head.weight") for folder in folders)
    assert before.equal(after) == (method == "seqgan")


def test_other_texts_are_not_gone_on_with(data, tmp_path):
    path = tmp_path / "sums.txt"
    path.write_text(data.read_text())
    gan(tiny(path, tmp_path / "runs"))
    path.write_text(data.read_text() + "x + x + x + x\n")
    with pytest.raises(ConfigError, match="started with another configuration"):
        gan(tiny(path, tmp_path / "runs", resume=True))


class TestKilled:
    """Wherever it is killed, the resumed run ends with the weights and the lines of the one that never was."""

    @pytest.mark.parametrize(
        ("learner", "at"),
        [
            pytest.param(SupervisedLearner, 2, id="likelihood"),
            pytest.param(AdversarialLearner, 2, id="discriminator alone", marks=pytest.mark.slow),
            pytest.param(AdversarialLearner, 3, id="between the phases", marks=pytest.mark.slow),
            pytest.param(AdversarialLearner, 4, id="game"),
        ],
    )
    def test_it_ends_as_if_it_had_not_been(self, runs, data, tmp_path, monkeypatch, learner, at):
        whole = runs["seqgan"]
        with killed_in_step(monkeypatch, at, learner):
            gan(tiny(data, tmp_path))
        resumed = gan(tiny(data, tmp_path, resume=True))
        expected, found = final_weights(whole), final_weights(resumed)
        assert expected.keys() == found.keys() and all(expected[name].equal(found[name]) for name in expected)
        assert resume_tensors(whole) == resume_tensors(resumed)
        assert [_kept(row) for row in whole.metrics()] == [_kept(row) for row in resumed.metrics()]


def resume_tensors(run: Run) -> dict[str, Any]:
    """Of the last checkpoint: both networks, their optimisers, what lags, and chance itself."""
    files = list((run.checkpoints / "last" / "resume").glob("*.safetensors"))
    assert files
    return {name: file.read(name).tolist() for file in map(TensorFile, files) for name in file.names}


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("seconds", "tokens_per_second")}


# Texts ----------------------------------------------------------------------------------------------------------------


def test_a_text_is_a_row_that_its_end_token_ends(data):
    texts = read_gan_texts(GANConfig(data=data))
    assert len(texts.training) + len(texts.held_out) == len(LINES)
    assert all(list(ids).index(texts.end) == len(ids) - 1 for ids in (*texts.training, *texts.held_out))
    words = [texts.tokenizer.decode(texts.told(ids)) for ids in (*texts.training, *texts.held_out)]
    assert sorted(words) == sorted(LINES)
    assert not {*map(tuple, texts.training)} & {*map(tuple, texts.held_out)}
    source = TextRowsSource(texts.training, start=texts.start, rows=2)
    for _ in range(len(texts.training) // 2):  # as wide as the longest, also where both are short
        batch = next(source)
        assert batch.tokens.shape == (2, texts.longest) and (batch.tokens[:, 0] == texts.start).all()
        assert all(batch.targets[row, length - 1] == texts.end for row, length in enumerate(batch.lengths.tolist()))


def test_lines_of_json_and_folders(data, tmp_path):
    lines = "".join(json.dumps({"caption": line}) + "\n" for line in LINES)
    (tmp_path / "sums.jsonl").write_text(lines)
    expected = read_gan_texts(GANConfig(data=data))
    found = read_gan_texts(GANConfig(data=tmp_path, texts=TextsConfig(field="caption")))
    assert (found.training, found.held_out) == (expected.training, expected.held_out)


@pytest.mark.parametrize("too_long", ["refuse", "cut", "drop"])
def test_a_text_that_is_too_long(data, capsys, too_long):
    texts = TextsConfig(longest=6, too_long=too_long, validation_fraction=0.4)
    config = GANConfig(data=data, texts=texts)
    longer = [number for number, line in enumerate(LINES, start=1) if len(line.split()) + 1 > 6]
    assert longer
    if too_long == "refuse":
        with pytest.raises(DataError) as caught:
            read_gan_texts(config)
        line = int(str(caught.value.received).partition("line ")[2].partition(":")[0])
        assert line in longer and "set texts.longest to 8" in str(caught.value.fix)
        return
    found = read_gan_texts(config)
    told = capsys.readouterr().err
    assert told.startswith(f"{len(longer)} of 40 texts are longer than 6 tokens") and "texts.longest 8" in told
    kept = [*found.training, *found.held_out]
    assert max(map(len, kept)) <= 6 and len(kept) == (40 if too_long == "cut" else 40 - len(longer))
    # What was cut does not end where it is cut.
    assert sum(found.end not in ids for ids in kept) == (len(longer) if too_long == "cut" else 0)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "the file is empty"),
        (["", "   "], "the file is empty"),
        (["a b", "b a", "a"], "too few different texts"),
        (["one", "one one", "one one one", "one one one one", "one one one one one"], "no choice between texts"),
    ],
)
def test_texts_that_nothing_can_be_learnt_from(tmp_path, lines, said):
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as caught:
        gan(tiny(tmp_path / "t.txt", tmp_path / "runs"))
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()


# Settings -------------------------------------------------------------------------------------------------------------


def test_a_method_that_there_is_not():
    with pytest.raises(ConfigError) as caught:
        GANConfig(data=pathlib.Path("t.txt"), method="relgam")  # pyright: ignore[reportArgumentType]
    assert caught.value.fix == "did you mean relgan?"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"settings": MethodSettings(relgan=RelGANConfig(largest_beta=5))}, "settings of relgan, and the method is"),
        ({"networks": NetworksConfig(architecture="leakgan")}, "leakgan cannot be the generator of seqgan"),
        ({"networks": NetworksConfig(architecture="bert")}, "bert cannot be the generator of seqgan"),
        ({"method": "leakgan", "networks": NetworksConfig(layers=2)}, "two layers of its own"),
        ({"method": "textgan", "turns": TurnsConfig(parts=2)}, "cannot be computed in parts"),
    ],
)
def test_settings_that_do_not_fit_leave_no_run(data, tmp_path, changed, said):
    with pytest.raises(ConfigError, match=said):
        gan(dataclasses.replace(tiny(data, tmp_path / "runs", **{"method": "seqgan", **changed})))
    assert not (tmp_path / "runs").exists()


def test_the_published_networks():
    """Widths, vocabulary and rates where nothing is said; longer texts than twenty tokens make LeakGAN wider."""

    def config_of(longest: int, **settings: Any) -> Any:
        config = GANConfig(data=pathlib.Path("t.txt"), networks=NetworksConfig(filters=1), **settings)
        return build_generator(config, 100, longest).config

    assert (config_of(20, method="seqgan").width, config_of(20, method="seqgan").tied) == (32, False)
    relgan = config_of(20, method="relgan")
    assert (relgan.width, relgan.heads, relgan.embedding_width) == (512, 2, 32)
    assert [config_of(longest, method="leakgan").width for longest in (20, 40)] == [32, 64]
    assert sum(config_of(20, method="leakgan").filters) == 1720
    assert max(config_of(12, method="leakgan").windows) == 10  # no text fills the wider ones


def test_any_decoder_may_be_the_generator(data, tmp_path):
    networks = NetworksConfig(architecture="gpt2", width=8, heads=2, filters=0.005)
    cold = ColdConfig(replayed_texts=8, longest_replayed=2, temperature=0.01, epsilon=0.01)
    settings = MethodSettings(coldgan=cold)
    run = gan(tiny(data, tmp_path, method="coldgan", networks=networks, settings=settings, rows=20))
    assert trivium.load(run.folder).architecture.name == "gpt2"
    # What it is compared with is as a step of the game writes: so cold that nearly all are the same.
    drawn = re.search(r'"name": "share of different texts[^"]*", "x": [^]]*], "y": \[([^,]*)', run.report.read_text())
    assert drawn is not None and float(drawn[1]) < 0.5
    assert all(row["unique"] < 0.5 for row in run.metrics())


@pytest.mark.parametrize("method", list(WAYS))
def test_texts_of_every_game_end_with_their_end_token(data, method):
    config = tiny(data, data.parent, method=method)
    texts = read_gan_texts(config)
    size, longest = texts.tokenizer.vocabulary_size, texts.longest
    generator = build_generator(config, size, longest)
    discriminator = build_discriminator(config, generator, size, longest)
    game = build_game(config, generator, discriminator, end_id=texts.end)
    written = game.sampled(next(TextRowsSource(texts.training, start=texts.start, rows=30)), 0)
    ends = [ids.index(texts.end) + 1 if texts.end in ids else longest for ids in written.tokens.tolist()]
    assert written.lengths.tolist() == ends


def test_minutes_end_the_game(data, tmp_path):
    run = gan(tiny(data, tmp_path, steps=None, minutes=0.001))
    assert run.saved_steps()[-1] >= 1 and run.config["steps"] is None
