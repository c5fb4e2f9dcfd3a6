"""Pre-training by restoring what is missing: every objective from raw text to a folder that opens, and resumed runs."""

import dataclasses
import json
import pathlib
import random
import warnings
from typing import Any

import pytest
import torch
import transformers

import trivium
from tests.recipes.texts import write_notes
from trivium import tokenizers
from trivium.data.batches import MaskedBatch
from trivium.data.prepared import open_prepared
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, Unsupported
from trivium.models import ARCHITECTURES, architecture
from trivium.objectives.span_corruption import fill_spans
from trivium.recipes.language_model import ModelConfig, special_ids
from trivium.recipes.objectives import ObjectiveConfig, decided, restoring
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, VocabularyConfig, pretrain
from trivium.recipes.training import TrainingConfig
from trivium.runtime.processes import Place
from trivium.tokenizers.special import FILL_IN_THE_MIDDLE, MODES, SENTINELS, for_understanding
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

OBJECTIVES = {
    "bert": "masked",
    "roberta": "masked",
    "ernie": "masked",
    "modernbert": "masked",
    "electra": "replaced",
    "xlnet": "permutation",
    "transformer": "span_corruption",
    "t5": "span_corruption",
    "bart": "denoising",
    "glm": "blank_infilling",
}
"""What each was published with, of all that read a text as a whole."""
ALSO = {
    ("t5", "ul2"),
    ("bart", "prefix"),
    ("gpt2", "prefix"),
    ("gru", "prefix"),
    ("llama", "fill_in_the_middle"),
    ("lstm", "fill_in_the_middle"),
}
EVERY_KIND = [
    *{kind: (name, kind) for name, kind in OBJECTIVES.items()}.values(),
    *sorted(ALSO),
]
IN_TRANSFORMERS = {
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "ernie": "ErnieForMaskedLM",
    "modernbert": "ModernBertForMaskedLM",
    "electra": "ElectraForPreTraining",
    "xlnet": "XLNetLMHeadModel",
    "transformer": "MarianMTModel",
    "t5": "T5ForConditionalGeneration",
    "bart": "BartForConditionalGeneration",
}
"""GLM there is GLM-4, another network."""
WORDS = "the quick brown fox jumps over a lazy dog and sleeps under some old tree near my house by the river"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_notes(tmp_path_factory.mktemp("text") / "notes")


@pytest.fixture(scope="module")
def data(text: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    run = pretrain(recipe(text, tmp_path_factory.mktemp("first"), "bert", steps=2))
    return run.folder / "data"


def recipe(data: pathlib.Path, output: pathlib.Path, name: str, **changes: Any) -> PretrainConfig:
    heads = None if name in ("gru", "lstm") else 2
    config = PretrainConfig(
        data=data,
        output=output,
        vocabulary=VocabularyConfig(size=420),
        model=ModelConfig(architecture=name, width=32, layers=1, heads=heads),
        batch=BatchConfig(rows=4, context_tokens=32),
        optimiser=OptimiserConfig(learning_rate=3e-3),
        schedule=ScheduleConfig(kind="constant", warmup_steps=0),
        training=TrainingConfig(log_every_steps=5, evaluate_every_steps=20, checkpoint_every_steps=5),
        steps=20,
        device="cpu",
    )
    return dataclasses.replace(config, **changes)


def final_weights(run: Run) -> dict[str, torch.Tensor]:
    return trivium.load(run.checkpoints / "last").network.state_dict()


@pytest.mark.parametrize(("name", "kind"), [*OBJECTIVES.items(), *sorted(ALSO)])
def test_the_loss_falls_and_the_folder_opens_as_what_it_was_trained_on(
    data: pathlib.Path, tmp_path: pathlib.Path, name: str, kind: Any
) -> None:
    asked = ObjectiveConfig(kind="auto" if OBJECTIVES.get(name) == kind else kind)
    run = pretrain(recipe(data, tmp_path, name, objective=asked))
    rows = run.metrics()
    assert rows[-1]["validation_loss"] < rows[0]["loss"]
    folder = run.checkpoints / "last"
    assert json.loads((folder / "trivium.json").read_text())["objective"] == kind
    model = trivium.load(folder)
    assert model.architecture.name == name
    assert model.tokenizer is not None
    if name == "electra":
        generator = trivium.load(folder / "generator")
        assert generator.config.width < model.config.width
        assert generator.architecture.name == "electra"
    if kind == OBJECTIVES.get(name) and name in IN_TRANSFORMERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = getattr(transformers, IN_TRANSFORMERS[name])
            _, told = theirs.from_pretrained(folder, output_loading_info=True)
        assert not any(told[keys] for keys in ("missing_keys", "unexpected_keys", "mismatched_keys")), told


@pytest.mark.parametrize(("name", "kind"), EVERY_KIND)
def test_a_resumed_run_is_the_one_that_was_never_stopped(
    data: pathlib.Path, tmp_path: pathlib.Path, name: str, kind: Any
) -> None:
    config = recipe(data, tmp_path, name, steps=6, objective=ObjectiveConfig(kind=kind))
    training = dataclasses.replace(config.training, checkpoint_every_steps=3)
    config = dataclasses.replace(config, training=training)
    whole = pretrain(dataclasses.replace(config, run="whole"))
    pretrain(dataclasses.replace(config, run="parts", steps=3))
    (tmp_path / "parts" / "config.yaml").write_text((tmp_path / "whole" / "config.yaml").read_text())
    parts = pretrain(dataclasses.replace(config, run="parts", resume=True))
    expected, found = final_weights(whole), final_weights(parts)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def of(name: str, kind: Any = "auto", text: str = (" " + WORDS) * 9, **settings: Any) -> Any:
    special = for_understanding("byte_bpe")
    tokenizer = tokenizers.train([WORDS] * 9, vocabulary_size=420, special=special)
    store = TokenStore.of([tokenizer.encode(text)], vocabulary_size=tokenizer.vocabulary_size)
    objective = decided(ObjectiveConfig(kind=kind, **settings), architecture(name))
    assert objective is not None
    start = special_ids(ModelConfig(architecture=name), tokenizer)["start_id"]
    task = restoring(objective, tokenizer, train=store, context_tokens=34, rows=4, seed=0, start_id=start)
    return task, store, tokenizer


def test_masked_rows_are_whole_texts_with_their_special_tokens() -> None:
    task, store, tokenizer = of("bert")
    batch = next(task.source(store, Place()))
    assert isinstance(batch, MaskedBatch)
    assert batch.tokens.shape == (4, 34)
    assert (batch.targets[:, 0] == tokenizer.cls_id).all() and (batch.targets[:, -1] == tokenizer.sep_id).all()
    assert not batch.mask[:, 0].any() and not batch.mask[:, -1].any()
    unmasked = ~batch.mask
    assert torch.equal(batch.tokens[unmasked], batch.targets[unmasked])
    assert (batch.tokens == tokenizer.mask_id).any()


def test_whole_words_are_masked_together() -> None:
    task, store, tokenizer = of("bert", units="words", rate=0.4)
    source, pieces = task.source(store, Place()), 0
    for _ in range(20):
        batch = next(source)
        for ids, mask in zip(batch.targets.tolist(), batch.mask.tolist(), strict=True):
            for place in range(3, len(ids) - 1):  # the first word may have begun before the window
                begins = tokenizer.decode([ids[place]]).startswith(" ")
                if not begins and 2 not in (place, place - 1):
                    pieces += 1
                    assert mask[place] == mask[place - 1]
    assert pieces > 20, "the vocabulary cuts some words"


def test_what_was_left_out_of_a_span_corrupted_text_can_be_put_back() -> None:
    task, store, tokenizer = of("t5")
    batch = next(task.source(store, Place()))
    sentinels = [tokenizer.id(token) for token in SENTINELS]
    line = store.document(0).tolist()
    for row in range(4):
        source = batch.source[row, : batch.source_lengths[row]].tolist()
        target = batch.targets[row, : batch.lengths[row]].tolist()
        assert (source[0], source[-1], target[-1]) == (tokenizer.cls_id, tokenizer.sep_id, tokenizer.eos_id)
        assert batch.tokens[row, 0] == tokenizer.pad_id
        text = fill_spans(source[1:-1], target[:-1], sentinels)
        assert len(text) == task.window_tokens == 35 and len(source) == 34, "no place of the context is left empty"
        assert any(line[begin : begin + 35] == text for begin in range(len(line)))


def test_the_marks_of_every_objective_stand_where_they_should() -> None:
    task, store, tokenizer = of("t5", "ul2")
    modes = {tokenizer.id(token) for token in MODES}
    source = task.source(store, Place())
    batches = [next(source) for _ in range(12)]
    assert {int(each) for batch in batches for each in batch.source[:, 1]} == modes
    assert max(int(batch.source_lengths.max()) for batch in batches) <= 34
    task, store, tokenizer = of("bart")
    batch = next(task.source(store, Place()))
    assert (batch.tokens[:, 0] == tokenizer.eos_id).all() and batch.lengths.tolist() == [33] * 4
    assert (batch.source == tokenizer.mask_id).any(dim=1).all() and batch.source.shape[1] <= 34
    task, store, tokenizer = of("glm")
    source = task.source(store, Place())
    blanks = [int((row == tokenizer.id("[gMASK]")).sum()) for _ in range(25) for row in next(source).source]
    assert set(blanks) == {0, 1} and 0.3 < sum(blanks) / len(blanks) < 0.7


def test_a_decoder_is_given_half_of_the_texts_in_another_order() -> None:
    task, store, tokenizer = of("llama", "fill_in_the_middle")
    prefix, middle, _ = (tokenizer.id(token) for token in FILL_IN_THE_MIDDLE)
    source, moved = task.source(store, Place()), []
    for _ in range(25):
        batch = next(source)
        assert batch.tokens.shape[1] <= 34 and (batch.tokens[:, 0] == tokenizer.cls_id).all()
        assert torch.equal(batch.tokens[:, 1:][batch.mask[:, 1:]], batch.targets[:, :-1][batch.mask[:, 1:]])
        moved += (batch.tokens[:, 1] == prefix).tolist()
        assert ((batch.targets == middle) & batch.mask).any(dim=1).tolist() == moved[-4:]
    assert 0.3 < sum(moved) / len(moved) < 0.7
    task, store, _ = of("gpt2", "prefix")
    batch = next(task.source(store, Place()))
    assert batch.tokens.shape == (4, 34) and (batch.lengths == 34).all()
    firsts = batch.mask.int().argmax(dim=1)
    assert all(mask[first:].all() and not mask[:first].any() for mask, first in zip(batch.mask, firsts, strict=True))


def test_ernie_masks_the_words_of_a_phrase_together() -> None:
    words, chance = [f" {word}" for word in WORDS.split()], random.Random(0)
    text = "".join(" lazy river" if chance.random() < 0.2 else chance.choice(words) for _ in range(600))
    task, store, tokenizer = of("ernie", text=text, rate=0.3)
    phrase = tokenizer.encode(" lazy river")
    source, seen = task.source(store, Place()), []
    for _ in range(20):
        batch = next(source)
        for ids, mask in zip(batch.targets.tolist(), batch.mask.tolist(), strict=True):
            begins = [place for place in range(len(ids)) if ids[place : place + len(phrase)] == phrase]
            seen += [len(set(mask[place : place + len(phrase)])) for place in begins]
    assert len(seen) > 50 and set(seen) == {1}


def test_the_generator_weighs_as_much_as_is_masked() -> None:
    task, _, _ = of("electra", rate=0.25)
    assert task.loss.keywords == {"masked_share": 0.25}


def test_the_same_validation_is_measured_whatever_the_process() -> None:
    task, store, _ = of("bert")
    first, second = task.validation(store), task.validation(store)
    assert len(first) == round(task.source(store, Place()).batches_per_epoch) > 0
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("name", "usual"), [*OBJECTIVES.items(), ("gpt2", None), ("lstm", None), ("bilm", None)])
def test_every_architecture_is_trained_as_it_was_published(name: str, usual: str | None) -> None:
    found = decided(ObjectiveConfig(), architecture(name))
    assert (found and found.kind) == usual
    assert found is None or found.units == ({"ernie": "phrases"}.get(name, "pieces") if "ed" in found.kind else None)


def test_none_is_forgotten() -> None:
    known = {row.name for row in ARCHITECTURES if row.kind in ("encoder", "encoder-decoder")}
    assert known == OBJECTIVES.keys()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gpt2", {"kind": "masked"}, "fill_in_the_middle or prefix"),
        ("bilm", {"kind": "prefix"}, "it predicts the next token"),
        ("glm", {"kind": "ul2"}, "expected: blank_infilling"),
        ("t5", {"kind": "ul2", "rate": 0.3}, "ul2 has no rate"),
        ("bert", {"mean_span": 2.0}, "masked has no mean_span"),
        ("t5", {"units": "words"}, "span_corruption has no units"),
        ("llama", {"rate": 0.3}, "next token has no rate"),
    ],
)
def test_what_an_architecture_is_not_trained_on_is_refused(name: str, settings: Any, message: str) -> None:
    with pytest.raises((Unsupported, ConfigError), match=message):
        decided(ObjectiveConfig(**settings), architecture(name))


def test_what_cannot_be_is_refused_before_any_work(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Unsupported, match="not trained this way"):
        recipe(data, tmp_path, "gpt2", objective=ObjectiveConfig(kind="masked"))
    with pytest.raises(ConfigError, match="texts for masked are windows"):
        recipe(data, tmp_path, "bert", batch=BatchConfig(reading="packed"))
    with pytest.raises(ConfigError, match="rate is a share"):
        ObjectiveConfig(rate=1.5)
    with pytest.raises(ConfigError, match="at least one token"):
        ObjectiveConfig(mean_span=0.5)
    plain = tokenizers.train([WORDS] * 9, vocabulary_size=300)
    store = TokenStore.of([plain.encode(WORDS * 9)], vocabulary_size=300)
    for name in ("bert", "t5", "bart", "glm"):
        objective = decided(ObjectiveConfig(), architecture(name))
        assert objective is not None
        with pytest.raises(ConfigError, match="--masks"):
            restoring(objective, plain, train=store, context_tokens=32, rows=4, seed=0, start_id=0)
    prepared = open_prepared(data)
    objective = decided(ObjectiveConfig(kind="ul2"), architecture("t5"))
    assert objective is not None
    with pytest.raises(ConfigError, match="more spans than"):
        restoring(objective, prepared.tokenizer, train=prepared.train, context_tokens=900, rows=4, seed=0, start_id=0)
