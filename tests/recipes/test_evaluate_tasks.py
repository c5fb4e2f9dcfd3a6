"""What answers, numbers, vectors, summaries and labels of pairs are measured by, beside figures made here."""

import json
import pathlib

import numpy as np
import pytest

import trivium
from tests.recipes.tasked import PAIRS, TEXTS, write_encoder, write_short_writer, write_writer
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.evaluation import metrics
from trivium.lm.load import load
from trivium.recipes.evaluate import EvaluateConfig
from trivium.recipes.evaluate_regression import correlation_interval
from trivium.recipes.evaluate_summarisation import read_documents

SCORES = [1.0, 4.5, 3.0, 5.0, 0.5]


def table(folder: pathlib.Path, values: list) -> pathlib.Path:
    rows = [f"{a}\t{b}\t{value}\n" for (a, b), value in zip(PAIRS, values, strict=True)]
    (folder / "pairs.tsv").write_text("sentence1\tsentence2\tscore\n" + "".join(rows))
    return folder / "pairs.tsv"


def pairs_of(model: pathlib.Path, data: pathlib.Path, **settings: object) -> EvaluateConfig:
    fields = {"text_field": "sentence1", "second_field": "sentence2", "label_field": "score"}
    return EvaluateConfig(model=model, data=data, **{**fields, **settings})


def test_labels_of_pairs(tmp_path):
    model = write_encoder(tmp_path / "model", "classification", ("no", "yes"))
    data = table(tmp_path, ["yes", "no", "yes", "yes", "no"])
    result = trivium.evaluate(pairs_of(model, data, answers=tmp_path / "a.jsonl"))
    given = [one.label for one in load(model).classify(PAIRS)]
    right = metrics.accuracy(given, ["yes", "no", "yes", "yes", "no"])["accuracy"]
    assert result["metrics"]["accuracy"] == right and "mcc" in result["metrics"] and result["count"] == 5
    first = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert (first["text"], first["text_pair"], first["label"]) == (*PAIRS[0], given[0])


def test_numbers(tmp_path):
    model = write_encoder(tmp_path / "model", "regression", ("score",))
    result = trivium.evaluate(pairs_of(model, table(tmp_path, SCORES)))
    given = load(model).regress(PAIRS)
    wanted = metrics.correlation(given, SCORES)
    figures, intervals = result["metrics"], result["intervals"]
    assert (figures["pearson"], figures["spearman"]) == pytest.approx((wanted["pearson"], wanted["spearman"]), abs=1e-6)
    assert figures["mse"] == pytest.approx(np.mean((np.array(given) - np.array(SCORES)) ** 2), rel=1e-5)
    assert all(intervals[name][0] <= figures[name] <= intervals[name][1] for name in figures)
    with pytest.raises(DataError, match="this is no number"):
        trivium.evaluate(pairs_of(model, table(tmp_path, [1, 2, "much", 4, 5])))


def test_the_interval_of_a_correlation():
    """By the formula in any textbook: r = 0.5 of 28 examples lies between 0.156 and 0.736."""
    found = correlation_interval(0.5, 28, ranks=False)
    assert (found.low, found.high) == pytest.approx((0.1559, 0.7361), abs=1e-3)
    wider = correlation_interval(0.5, 28, ranks=True)
    assert wider.low < found.low and wider.high > found.high
    assert correlation_interval(1.0, 9, ranks=True).low == 1.0


def test_the_likeness_of_vectors(tmp_path):
    model = write_encoder(tmp_path / "model", "none")
    result = trivium.evaluate(EvaluateConfig(model=model, data=table(tmp_path, SCORES)))
    loaded = load(model)
    cosines = [float(loaded.embed([a])[0] @ loaded.embed([b])[0]) for a, b in PAIRS]
    assert result["task"] == "embedding" and result["settings"]["cut_texts"] == 0
    assert result["metrics"]["spearman"] == pytest.approx(metrics.correlation(cosines, SCORES)["spearman"])
    (tmp_path / "a.csv").write_text("text,score\na,1\nb,2\n")
    with pytest.raises(DataError, match="no field `sentence1`"):
        trivium.evaluate(EvaluateConfig(model=model, data=tmp_path / "a.csv"))


@pytest.mark.parametrize("unanswered", [False, True])
def test_answers(tmp_path, unanswered):
    model = write_encoder(tmp_path / "model", "span")
    right = load(model).answer("was it cold", TEXTS[2], no_answer=unanswered).text
    answers = [{"text": right, "answer_start": TEXTS[2].index(right)}] if right else []
    other = [] if unanswered else [{"text": "the", "answer_start": 0}]
    qas = [{"question": "was it cold", "answers": answers}, {"question": "the tree", "answers": other}]
    (tmp_path / "squad.json").write_text(
        json.dumps({"data": [{"paragraphs": [{"context": TEXTS[2], "qas": qas}]}], "version": "2"})
    )
    config = EvaluateConfig(model=model, data=tmp_path / "squad.json", answers=tmp_path / "a.jsonl")
    result = trivium.evaluate(config)
    said = [json.loads(line)["answer"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    wanted = [[right], ["" if unanswered else "the"]]
    assert result["metrics"]["exact_match"] == metrics.exact_match(said, wanted, normalisation="squad")["exact_match"]
    assert result["metrics"]["f1"] == pytest.approx(metrics.f1(said, wanted)["f1"]) and said[0] == right
    assert result["settings"]["no_answer"] is (unanswered or not right) and set(result["intervals"]) == {
        "exact_match",
        "f1",
    }


def test_summaries(tmp_path):
    model = write_writer(tmp_path / "model", "summarisation")
    said = load(model).generate([" ".join(TEXTS[:2])], max_new_tokens=4)[0].text.strip()
    records = [{"source": TEXTS[:2], "target": [TEXTS[1], said]}, {"source": TEXTS[2], "target": TEXTS[0]}]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    assert read_documents(tmp_path / "a.jsonl")[0].summaries == (TEXTS[1], said)
    result = trivium.evaluate(EvaluateConfig(model=model, data=tmp_path / "a.jsonl", answers=tmp_path / "b.jsonl"))
    answered = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert answered[0]["summary"] == said
    scores = metrics.rouge(
        [one["summary"] for one in answered],
        [one["target"] for one in answered],
        tokenizer="rouge_score",
        stemmer=True,
    )
    assert result["metrics"] == {name: scores[name] for name in ("rouge1", "rouge2", "rougeL")}
    assert result["settings"]["max_new_tokens"] == 4 and set(result["intervals"]) == set(result["metrics"])


def test_long_sources_are_cut(tmp_path):
    rows = [{"source": TEXTS[1], "target": "it"}, {"source": TEXTS[2], "target": TEXTS[2]}]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for task in ("summarisation", "translation"):
        model = write_short_writer(tmp_path / task, task)
        result = trivium.evaluate(EvaluateConfig(model=model, data=tmp_path / "a.jsonl"))
        assert (result["count"], result["settings"]["cut_texts"]) == (2, 1)
    assert result["settings"]["target_tokens"] == 2, "of the target that fits, with its end"


def test_what_is_written_for_a_text_may_be_its_label(tmp_path):
    model = write_writer(tmp_path / "model", "text_to_text", prefix="the tree : ")
    said = load(model).generate([f"the tree : {text}" for text in TEXTS], max_new_tokens=4)
    labels = [said[0].text.strip(), "another", said[2].text.strip()]
    rows = [f"{text}\t{label}\n" for text, label in zip(TEXTS, labels, strict=True)]
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    fields = {"text_field": "sentence", "label_field": "label"}
    result = trivium.evaluate(EvaluateConfig(model=model, data=tmp_path / "dev.tsv", **fields))
    assert result["metrics"]["exact_match"] == 2 / 3
    assert result["intervals"]["exact_match"][0] < 2 / 3 < result["intervals"]["exact_match"][1]
    (tmp_path / "dev.jsonl").write_text(json.dumps({"sentence": TEXTS[0], "label": 1}))
    assert read_documents(tmp_path / "dev.jsonl", text_field="sentence", summary_field="label")[0].summaries == ("1",)


def test_which_model_is_measured_on_what(tmp_path):
    writer = write_writer(tmp_path / "writer", "text_to_text")
    (tmp_path / "a.jsonl").write_text(json.dumps({"source": TEXTS[0], "target": TEXTS[1]}) + "\n")
    result = trivium.evaluate(EvaluateConfig(model=writer, data=tmp_path / "a.jsonl", task="summarisation"))
    assert result["task"] == "summarisation" and result["count"] == 1
    with pytest.raises(Unsupported, match="not for tagging"):
        trivium.evaluate(EvaluateConfig(model=writer, data=tmp_path / "a.jsonl", task="tagging"))
    with pytest.raises(ConfigError, match="filling is not measured"):
        EvaluateConfig(model=writer, data=tmp_path / "a.jsonl", task="filling")
    masked = write_encoder(tmp_path / "masked", "language", objective="masked")
    (tmp_path / "text.txt").write_text(" ".join(TEXTS))
    assert trivium.evaluate(EvaluateConfig(model=masked, data=tmp_path / "text.txt", task="perplexity"))["count"] > 0
