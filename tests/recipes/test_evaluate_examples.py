"""What a classifier, a tagger and a translator are measured by, beside figures made by hand and by scikit-learn."""

import json
import math
import pathlib
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
import torch

import trivium
from tests.recipes.labelling import (
    LABELS,
    TAGS,
    TEXTS,
    write_classifier,
    write_language_model,
    write_tagger,
    write_translator,
)
from trivium.data.labelled import LabelledText
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.evaluation.intervals import bootstrap
from trivium.evaluation.metrics import mcc as trivium_mcc
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.lm.protocol import Label
from trivium.recipes import evaluate as recipe
from trivium.recipes.evaluate import EvaluateConfig
from trivium.recipes.evaluate_classification import evaluate_classification, evenly_spread
from trivium.recipes.label_intervals import macro_f1_interval, mcc_interval


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""

    def no_work(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(recipe, "load", no_work)


# Labels --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """A model, and texts with labels of which about half are what it says."""
    folder = tmp_path_factory.mktemp("reviews")
    model = write_classifier(folder / "model")
    texts = [f"{text} {number}" for number in range(8) for text in TEXTS]
    said = [one.label for one in load(model).classify(texts)]
    rows = [(text, label if i % 2 else LABELS[i % 3]) for i, (text, label) in enumerate(zip(texts, said, strict=True))]
    (folder / "test.jsonl").write_text("".join(f"{json.dumps({'text': t, 'label': y})}\n" for t, y in rows))
    return model, folder / "test.jsonl"


def test_a_classifier(reviews, tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    model, data = reviews
    config = EvaluateConfig(model=model, data=data, answers=tmp_path / "a.jsonl", output=tmp_path / "r.json")
    result = trivium.evaluate(config)
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    true, said = [one["target"] for one in answers], [one["label"] for one in answers]
    figures = result["metrics"]
    assert (result["task"], result["count"]) == ("classification", len(answers) or 24)
    assert figures["accuracy"] == metrics.accuracy_score(true, said)
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(true, said, average="macro", zero_division=0))
    assert figures["mcc"] == pytest.approx(metrics.matthews_corrcoef(true, said))
    assert figures["loss"] == pytest.approx(
        metrics.log_loss(true, [[one["probabilities"][y] for y in LABELS] for one in answers], labels=list(LABELS))
    )
    assert figures["per_label"][true[0]]["support"] == true.count(true[0])
    assert 0 <= figures["calibration_error"] <= 1
    assert set(result["intervals"]) == {"accuracy", "macro_f1", "mcc"}
    for name in ("accuracy", "macro_f1"):
        low, high = result["intervals"][name]
        assert low < figures[name] < high
    assert json.loads((tmp_path / "r.json").read_text()) == result == trivium.evaluate(config)


def test_the_interval_of_macro_f1_is_that_of_rows_an_example():
    draw = np.random.default_rng(5)
    targets = draw.integers(0, 4, 240) ** 2
    given = np.where(draw.random(240) < 0.6, targets, draw.integers(0, 3, 240))
    classes = np.unique([targets, given])
    rows = np.concatenate(
        [(some[:, None] == classes) for some in (np.where(targets == given, given, -1), given, targets)], axis=1
    ).astype(float)

    def macro_f1(sums: np.ndarray) -> np.ndarray:
        right, said, true = np.split(sums, 3, axis=-1)
        return (2 * right / np.maximum(said + true, 1)).mean(-1)

    wanted, found = bootstrap(rows, macro_f1), macro_f1_interval(targets, given)
    assert found.estimate == pytest.approx(wanted.estimate)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.006)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_interval_of_a_correlation_is_that_of_rows_an_example(classes: int):
    draw = np.random.default_rng(6)
    targets = draw.integers(0, classes, 200)
    given = np.where(draw.random(200) < 0.6, targets, draw.integers(0, 2, 200))
    table = np.zeros((200, classes, classes))
    table[np.arange(200), targets, given] = 1

    def correlation(sums: np.ndarray) -> np.ndarray:
        counts = sums.reshape(*sums.shape[:-1], classes, classes)
        true, said, total = counts.sum(-1), counts.sum(-2), counts.sum((-1, -2))
        right = np.trace(counts, axis1=-2, axis2=-1)
        spread = (total**2 - (true**2).sum(-1)) * (total**2 - (said**2).sum(-1))
        return (right * total - (true * said).sum(-1)) / np.sqrt(spread)

    wanted, found = bootstrap(table.reshape(200, -1), correlation), mcc_interval(targets, given)
    assert found.estimate == pytest.approx(wanted.estimate) == pytest.approx(trivium_mcc(given, targets)["mcc"])
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.012)
    assert mcc_interval(np.zeros(9, int), np.zeros(9, int)).estimate == 0


def test_measuring_takes_no_memory_for_texts_times_labels(reviews, monkeypatch):
    labels = tuple(f"label {number:03}" for number in range(200))
    shares = dict.fromkeys(labels, 0.5 / 199)

    def classify(texts: Sequence[str]) -> list[Label]:
        return [Label(label=text, probability=0.5, probabilities={**shares, text: 0.5}) for text in texts]

    model = load(reviews[0])
    monkeypatch.setattr(LocalModel, "labels", property(lambda _: labels))
    monkeypatch.setattr(model, "classify", classify)
    monkeypatch.setattr("trivium.recipes.evaluate_classification._AT_ONCE", 16)
    monkeypatch.setattr("trivium.recipes.label_intervals._RESAMPLES", 20)
    examples = [LabelledText(text=label, label=label) for label in 2 * labels]
    peaks = []
    for keep in (False, True):
        tracemalloc.start()
        result, answered = evaluate_classification(model, examples, keep=keep)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(answered) == (400 if keep else 0)
        assert result["count"] == 400 and result["metrics"]["macro_f1"] == 1
        assert result["metrics"]["brier"] == pytest.approx(0.25 + 199 * (0.5 / 199) ** 2)
    assert peaks[0] < peaks[1] / 2, "a probability a text and label is what takes the memory"


def test_a_limit_takes_labels_from_everywhere():
    texts = [LabelledText(text=str(number), label=str(number // 5)) for number in range(20)]
    assert [one.label for one in evenly_spread(texts, 4)] == ["0", "1", "2", "3"]
    assert evenly_spread(texts, None) == evenly_spread(texts, 50) == texts


def test_the_columns_of_a_table_can_be_named(reviews, tmp_path):
    model, _ = reviews
    table = tmp_path / "table.csv"
    table.write_text(f"review,stars\nsome words,{LABELS[0]}\n")
    config = EvaluateConfig(model=model, data=table, text_field="review", label_field="stars")
    result = trivium.evaluate(config)
    assert result["count"] == 1 and list(result["intervals"]) == ["accuracy"], "nothing is drawn from one example"


def test_a_table_without_a_header(reviews, tmp_path):
    """As CoLA is."""
    model, _ = reviews
    table = tmp_path / "dev.tsv"
    table.write_text(f"gj04\t{LABELS[0]}\t*\tsome words\ngj04\t{LABELS[1]}\t\tothers\n")
    config = EvaluateConfig(model=model, data=table, columns=("source", "label", "mark", "sentence"))
    assert trivium.evaluate(config)["count"] == 2
    with pytest.raises(ConfigError, match="columns means nothing for perplexity"):
        replace(config, task="perplexity")


def test_labels_that_cannot_be_measured(reviews, tmp_path):
    model = reviews[0]
    strange = tmp_path / "strange.jsonl"
    strange.write_text('{"text": "a", "label": "calm"}\n{"text": "b", "label": "angry"}\n')
    with pytest.raises(DataError, match=r"does not know a label[\s\S]*strange.jsonl[\s\S]*angry[\s\S]*calm"):
        trivium.evaluate(EvaluateConfig(model=model, data=strange))
    strange.write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match="has no label"):
        trivium.evaluate(EvaluateConfig(model=model, data=strange))
    strange.write_text("")
    with pytest.raises(DataError):
        trivium.evaluate(EvaluateConfig(model=model, data=strange))
    plain = tmp_path / "plain.txt"
    plain.write_text("a text\n")
    with pytest.raises(DataError, match="holds no labelled texts"):
        trivium.evaluate(EvaluateConfig(model=model, data=plain))


# Tags ----------------------------------------------------------------------------------------------------------------


def conll(path: pathlib.Path, sentences: list[tuple[list[str], list[str]]]) -> pathlib.Path:
    blocks = ["".join(f"{word}\t{tag}\n" for word, tag in zip(*one, strict=True)) for one in sentences]
    path.write_text("\n".join(blocks))
    return path


def test_a_tagger(tmp_path):
    model = write_tagger(tmp_path / "model")
    words = [["Anna", "lives", "in", f"Rome{number}"] for number in range(12)]
    said = [one.tags for one in load(model).tag(words)]
    true = [tags if number % 2 else ["B-person", "I-person", "O", "B-city"] for number, tags in enumerate(said)]
    sentences = list(zip(words, [_whole(tags) for tags in true], strict=True))
    data = conll(tmp_path / "test.conll", sentences)
    result = trivium.evaluate(EvaluateConfig(model=model, data=data, answers=tmp_path / "a.jsonl"))
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [one["tags"] for one in answers] == said
    assert [one["target"] for one in answers] == [tags for _, tags in sentences]
    right = sum(a == b for one in answers for a, b in zip(one["tags"], one["target"], strict=True))
    figures = result["metrics"]
    assert (result["task"], result["count"], result["settings"]["words"]) == ("tagging", 12, 48)
    assert figures["token_accuracy"] == pytest.approx(right / 48)
    assert figures["f1"] == pytest.approx(_strict_f1(answers))
    low, high = result["intervals"]["f1"]
    assert low <= figures["f1"] <= high
    assert set(figures["per_type"]["person"]) == {"precision", "recall", "f1", "support"}
    assert trivium.evaluate(EvaluateConfig(model=model, data=data, limit=3))["count"] == 3


def _whole(tags: list[str]) -> list[str]:
    """As IOB2 has them: what goes on with nothing begins."""
    fixed: list[str] = []
    for tag in tags:
        before = fixed[-1] if fixed else "O"
        begins = tag[0] == "I" and before[2:] != tag[2:]
        fixed.append(f"B-{tag[2:]}" if begins else tag)
    return fixed


def _strict_f1(answers: list[dict]) -> float:
    seqeval = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme").IOB2
    true, said = [one["target"] for one in answers], [one["tags"] for one in answers]
    return seqeval.f1_score(true, said, mode="strict", scheme=scheme)


def test_tags_of_single_words(tmp_path):
    model = write_tagger(tmp_path / "model", labels=("NOUN", "VERB"))
    data = conll(tmp_path / "test.conll", [(["dogs", "run"], ["NOUN", "VERB"]), (["run"], ["VERB"])])
    result = trivium.evaluate(EvaluateConfig(model=model, data=data))
    assert set(result["metrics"]) == {"token_accuracy", "macro_f1", "per_tag"}
    assert result["settings"]["scheme"] is None and list(result["intervals"]) == ["token_accuracy"]


def test_tags_that_cannot_be_measured(tmp_path):
    model = write_tagger(tmp_path / "model")
    data = conll(tmp_path / "a.conll", [(["Rome"], ["B-city"]), (["the", "Po"], ["O", "B-river"])])
    with pytest.raises(DataError, match=r"does not know a tag[\s\S]*line 4: 'B-river'"):
        trivium.evaluate(EvaluateConfig(model=model, data=data))
    with pytest.raises(DataError, match=r"marks spans in another way[\s\S]*iobes[\s\S]*iob2"):
        trivium.evaluate(EvaluateConfig(model=model, data=conll(tmp_path / "b.conll", [(["Rome"], ["S-city"])])))
    with pytest.raises(DataError, match=r"does not know a tag[\s\S]*NOUN"):
        trivium.evaluate(EvaluateConfig(model=model, data=conll(tmp_path / "c.conll", [(["Rome"], ["NOUN"])])))
    (tmp_path / "empty.conll").write_text("")
    with pytest.raises(DataError):
        trivium.evaluate(EvaluateConfig(model=model, data=tmp_path / "empty.conll"))
    outside = trivium.evaluate(EvaluateConfig(model=model, data=conll(tmp_path / "d.conll", [(["so"], ["O"])])))
    assert outside["settings"]["scheme"] == "iob2", "a file without entities has no scheme of its own"
    assert TAGS[0] == "O"


# Translations --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_translator(tmp_path_factory.mktemp("translator") / "model")


def parallel(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    (folder / "test.de").write_text("\n".join(TEXTS))
    (folder / "test.en").write_text("\n".join(reversed(TEXTS)))
    return folder / "test.de", folder / "test.en"


def test_a_translator(translator, tmp_path):
    data, references = parallel(tmp_path)
    config = EvaluateConfig(model=translator, data=data, references=references, answers=tmp_path / "a.jsonl")
    result = trivium.evaluate(config)
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(one["text"], one["target"]) for one in answers] == list(zip(TEXTS, reversed(TEXTS), strict=True))
    said = [one["translation"] for one in answers]
    figures, settings = result["metrics"], result["settings"]
    assert figures["bleu"] == pytest.approx(sacrebleu.corpus_bleu(said, [TEXTS[::-1]]).score)
    assert figures["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said, [TEXTS[::-1]]).score)
    assert settings["bleu_signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert (settings["beams"], settings["max_new_tokens"]) == (2, 6)
    low, high = result["intervals"]["chrf"]
    assert low <= figures["chrf"] <= high and low < high
    assert (result["task"], result["count"]) == ("translation", 3)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]))
    assert settings["target_tokens"] == sum(map(len, TEXTS)) + 3, "a letter a token, and an end"
    assert trivium.evaluate(replace(config, limit=1, beams=1))["settings"]["beams"] == 1


def test_what_it_costs_to_foretell_a_translation_by_hand(translator, tmp_path):
    data, references = parallel(tmp_path)
    result = trivium.evaluate(EvaluateConfig(model=translator, data=data, references=references))
    model = load(translator)
    tokenizer, total, count = model.tokenizer, 0.0, 0
    assert tokenizer is not None
    for source, target in zip(TEXTS, reversed(TEXTS), strict=True):
        ids = tokenizer.encode(target)
        read = torch.tensor([[model.config.start_id, *ids]])
        source_ids = [*tokenizer.prefix_ids, *tokenizer.encode(source), *tokenizer.suffix_ids]
        log_probs = model.logits(torch.tensor([source_ids]), decoder_ids=read)[0].log_softmax(-1)
        wanted = torch.tensor([*ids, tokenizer.eos_id])
        total -= float(log_probs[torch.arange(len(wanted)), wanted].sum())
        count += len(wanted)
    assert result["metrics"]["loss"] == pytest.approx(total / count, rel=1e-5)


def test_one_file_of_both_sides(translator, tmp_path):
    data, references = parallel(tmp_path)
    table = tmp_path / "pairs.tsv"
    table.write_text("".join(f"{a}\t{b}\n" for a, b in zip(TEXTS, reversed(TEXTS), strict=True)))
    of_two = trivium.evaluate(EvaluateConfig(model=translator, data=data, references=references))
    of_one = trivium.evaluate(EvaluateConfig(model=translator, data=table))
    assert of_one["metrics"] == of_two["metrics"]
    with pytest.raises(ConfigError, match="holds both sides"):
        trivium.evaluate(EvaluateConfig(model=translator, data=table, references=references))


def test_translations_that_cannot_be_measured(translator, tmp_path, untouched):
    data, references = parallel(tmp_path)
    with pytest.raises(ConfigError, match=r"nothing to compare the translations with[\s\S]*--references"):
        trivium.evaluate(EvaluateConfig(model=translator, data=data))
    references.write_text("one line\n")
    with pytest.raises(DataError, match="not parallel"):
        trivium.evaluate(EvaluateConfig(model=translator, data=data, references=references))


@pytest.mark.parametrize("purpose", ["tagging", "translation"])
def test_files_in_another_encoding(purpose, translator, tmp_path):
    data = tmp_path / ("a.conll" if purpose == "tagging" else "a.tsv")
    tag = "O" if purpose == "tagging" else "is"
    data.write_bytes(f"Zürich\t{tag}\n".encode("latin-1"))
    model = write_tagger(tmp_path / "tagger") if purpose == "tagging" else translator
    config = EvaluateConfig(model=model, data=data, encoding="latin-1", answers=tmp_path / "a.jsonl")
    assert trivium.evaluate(config)["count"] == 1
    assert "Zürich" in (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    with pytest.raises(DataError):
        trivium.evaluate(replace(config, encoding="utf-8"))


# Which task ----------------------------------------------------------------------------------------------------------


def test_what_is_measured_is_what_the_model_is_for(translator, tmp_path, untouched):
    text = tmp_path / "text.txt"
    text.write_text("words\n")
    language_model = write_language_model(tmp_path / "lm")
    assert recipe.chosen_task(EvaluateConfig(model=language_model, data=text)) == "bits_per_byte"
    assert recipe.chosen_task(EvaluateConfig(model=translator, data=text)) == "translation"
    assert recipe.chosen_task(EvaluateConfig(model=language_model, data=text, task="cola")) == "cola"
    reads = write_classifier(tmp_path / "reads", "discriminative")
    assert recipe.chosen_task(EvaluateConfig(model=reads, data=text)) == "classification"
    assert recipe.chosen_task(EvaluateConfig(model=reads, data=text, task="perplexity")) == "perplexity"
    with pytest.raises(Unsupported, match=r"not for classification[\s\S]*a language model"):
        trivium.evaluate(EvaluateConfig(model=language_model, data=text, task="classification"))
    with pytest.raises(Unsupported, match=r"not for tagging[\s\S]*made for translation"):
        trivium.evaluate(EvaluateConfig(model=translator, data=text, task="tagging"))


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("classification", {"context_tokens": 8}, "context_tokens means nothing for classification"),
        ("tagging", {"beams": 2}, "beams means nothing for tagging"),
        ("translation", {"label_field": "y"}, "label_field means nothing for translation"),
        ("bits_per_byte", {"references": pathlib.Path("x")}, "references means nothing for bits_per_byte"),
        ("cola", {"text_field": "x"}, "text_field means nothing for cola"),
        ("taging", {}, "did you mean tagging"),
    ],
)
def test_settings_that_mean_nothing_are_refused(task, settings, said):
    with pytest.raises(ConfigError, match=said):
        EvaluateConfig(model=pathlib.Path("m"), data=pathlib.Path("d"), task=task, **settings)


def test_they_are_refused_where_the_model_says_the_task_too(translator, tmp_path, untouched):
    with pytest.raises(ConfigError, match="stride_tokens means nothing for translation"):
        trivium.evaluate(EvaluateConfig(model=translator, data=tmp_path, stride_tokens=4))
