"""What `predict` answers with each kind of head, and what it reads for it."""

import io
import itertools
import json
import pathlib

import pytest

from tests.recipes.tasked import PAIRS, TEXTS, write_encoder, write_short_writer, write_writer
from trivium.cli import predict as shown
from trivium.cli import recipe
from trivium.cli.terminal import console
from trivium.errors import ConfigError, DataError
from trivium.lm.load import load
from trivium.recipes.predict import PredictConfig, predict

QUESTIONS = [("was it cold", TEXTS[2]), ("the tree", TEXTS[0])]


def lines(folder: pathlib.Path, *records: dict, name: str = "a.jsonl") -> str:
    (folder / name).write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return str(folder / name)


def squad(folder: pathlib.Path) -> str:
    asked = [
        {
            "context": context,
            "qas": [{"id": f"q{n}", "question": q, "answers": [{"text": context[:3], "answer_start": 0}]}],
        }
        for n, (q, context) in enumerate(QUESTIONS)
    ]
    (folder / "squad.json").write_text(json.dumps({"data": [{"title": "x", "paragraphs": asked}]}))
    return str(folder / "squad.json")


def printed(found: dict) -> str:
    file = io.StringIO()
    shown._show(console(file), found)
    return file.getvalue()


def test_pairs_have_labels_and_numbers(tmp_path):
    model = write_encoder(tmp_path / "labels", "classification", ("no", "yes"))
    forms = [("sentence1", "sentence2"), ("premise", "hypothesis"), ("text", "text_pair"), ("question", "sentence")]
    source = lines(tmp_path, *(dict(zip(names, PAIRS[0], strict=True)) for names in forms))
    found = list(predict(PredictConfig(model=model, input=source)))
    assert [(one["text"], one["text_pair"]) for one in found] == [PAIRS[0]] * 4
    wanted = load(model).classify([PAIRS[0]])[0]
    assert all(one["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-6) for one in found)
    assert PAIRS[0][1] in printed(found[0])
    numbers = write_encoder(tmp_path / "numbers", "regression", ("score",))
    found = list(predict(PredictConfig(model=numbers, input=source)))
    assert [one["score"] for one in found] == pytest.approx(load(numbers).regress([PAIRS[0]]) * 4, abs=1e-6)
    assert f"{found[0]['score']:.3f}" in printed(found[0])


def test_questions_of_lines_and_of_squad(tmp_path):
    model = write_encoder(tmp_path / "model", "span")
    of_lines = lines(tmp_path, *({"question": q, "context": c, "id": f"q{n}"} for n, (q, c) in enumerate(QUESTIONS)))
    found = list(predict(PredictConfig(model=model, input=of_lines, longest_answer=2)))
    assert list(predict(PredictConfig(model=model, input=squad(tmp_path), longest_answer=2))) == found
    for one, (question, context) in zip(found, QUESTIONS, strict=True):
        assert set(one) == {"id", "question", "context", "answer", "start", "end", "probability"}
        assert (one["question"], one["context"]) == (question, context)
        assert one["answer"] == context[one["start"] : one["end"]] and len(one["answer"].split()) <= 2
        assert one["answer"] in printed(one)
    perhaps = list(predict(PredictConfig(model=model, input=of_lines, no_answer=True)))
    assert all(one["probability"] <= 1 for one in perhaps) and "(no answer)" in printed({**perhaps[0], "answer": ""})
    (tmp_path / "a.txt").write_text("what?\n")
    with pytest.raises(DataError, match=r"not read from this kind of file[\s\S]*SQuAD"):
        predict(PredictConfig(model=model, input=str(tmp_path / "a.txt")))
    with pytest.raises(DataError, match=r"no question with its context[\s\S]*line 1"):
        predict(PredictConfig(model=model, input=lines(tmp_path, {"question": "x"}, name="b.jsonl")))
    with pytest.raises(ConfigError, match="beams means nothing for answering"):
        predict(PredictConfig(model=model, input=of_lines, beams=2))


def test_what_a_run_is_used_by_is_what_its_model_is_for(tmp_path):
    usual = "trivium generate {run}"
    masked = write_encoder(tmp_path / "masked", "language", objective="masked")
    assert recipe._then(usual, masked) == "trivium predict {run} --input texts.txt"
    assert recipe._then(usual, tmp_path) == usual, "where there is no model, nothing is known"
    pairs = write_encoder(tmp_path / "pairs", "classification", ("no", "yes"), pairs=True)
    assert recipe._then("trivium predict {run} --input texts.txt", pairs).endswith("pairs.jsonl")


def test_questions_need_no_answers(tmp_path):
    model = write_encoder(tmp_path / "model", "span")
    asked = [{"context": context, "qas": [{"question": q}]} for q, context in QUESTIONS]
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"paragraphs": asked}]}))
    found = list(predict(PredictConfig(model=model, input=str(tmp_path / "squad.json"))))
    assert [one["question"] for one in found] == [q for q, _ in QUESTIONS]
    (tmp_path / "empty.json").write_text("")
    with pytest.raises(DataError, match="the file is empty") as told:
        predict(PredictConfig(model=model, input=str(tmp_path / "empty.json")))
    assert str(told.value).count("received") == 1


def test_words_in_columns_are_known_by_their_tabs(tmp_path):
    model = write_encoder(tmp_path / "model", "tagging", ("O", "B-x"))
    (tmp_path / "test.annotated").write_text("the\tO\ntiger\tB-x\n\nit\tO\n")
    found = list(predict(PredictConfig(model=model, input=str(tmp_path / "test.annotated"))))
    assert [one["words"] for one in found] == [["the", "tiger"], ["it"]]


def test_one_text_is_not_taken_for_two(tmp_path):
    for head, labels in (("classification", ("no", "yes")), ("regression", ("score",))):
        model = write_encoder(tmp_path / head, head, labels)
        told = {"objective": head, "method": "head", "labels": list(labels), "pairs": True}
        (model / "trivium.json").write_text(json.dumps(told))
        (model / "manifest.json").unlink()
        (tmp_path / "a.txt").write_text(TEXTS[0])
        assert list(predict(PredictConfig(model=model, input=lines(tmp_path, {"premise": "a", "hypothesis": "b"}))))
        with pytest.raises(DataError, match="trained on pairs of texts, and here is one alone"):
            list(predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"))))


def test_the_sentences_of_a_text_to_be_summed_up(tmp_path):
    model = write_writer(tmp_path / "model", "summarisation")
    together = lines(tmp_path, {"source": TEXTS}, {"article": " ".join(TEXTS)})
    first, second = predict(PredictConfig(model=model, input=together))
    assert first == second


def test_vectors_and_what_was_cut(tmp_path):
    model = write_encoder(tmp_path / "model", "none")
    texts = [TEXTS[0], " ".join([*TEXTS[0].split()] * 6)]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    found = list(predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"))))
    assert [one["cut_tokens"] for one in found] == [0, 42 + 2 - 32]
    assert all(sum(x * x for x in one["vector"]) == pytest.approx(1, abs=1e-5) for one in found)
    assert found[0]["vector"] == pytest.approx(load(model).embed([texts[0]])[0].tolist(), abs=1e-6)
    assert "..." in printed(found[0]) and TEXTS[0] in printed(found[0])


def test_blanks_of_a_masked_model(tmp_path):
    model = write_encoder(tmp_path / "model", "language", objective="masked")
    text = "the [MASK] was old"
    (tmp_path / "a.txt").write_text(text)
    (found,) = predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"), top=2))
    (blank,) = found["blanks"]
    assert (blank["start"], blank["end"], len(blank["candidates"])) == (4, 10, 2)
    assert found["filled"] == f"the {blank['candidates'][0]['text']} was old"
    assert "[MASK]" in printed(found) and f"{blank['candidates'][1]['probability']:.0%}" in printed(found)
    with pytest.raises(ConfigError, match="longest_answer means nothing for filling"):
        predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"), longest_answer=2))


def test_a_text_that_cannot_be_answered_is_told_by_its_number_in_the_file(tmp_path):
    model = write_encoder(tmp_path / "model", "language", objective="masked")
    (tmp_path / "a.txt").write_text("the [MASK] was old\n" * 5 + "the tree was old\n")
    found = predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"), rows=2))
    assert len(list(itertools.islice(found, 4))) == 4
    with pytest.raises(DataError, match=r"nothing to fill[\s\S]*text 6 of .*a\.txt"):
        next(found)


@pytest.mark.parametrize(
    ("objective", "name"), [("summarisation", "summary"), ("translation", "translation"), ("text_to_text", "output")]
)
def test_texts_that_are_written_for_texts(tmp_path, objective, name):
    model = write_writer(tmp_path / "model", objective, prefix="the tree : ")
    (tmp_path / "a.txt").write_text(f"{TEXTS[0]}\n\n{TEXTS[1]}\n")
    found = list(predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"))))
    asked = [f"the tree : {text}" for text in TEXTS[:2]]
    wanted = [one.text.strip() for one in load(model).generate(asked, max_new_tokens=4)]
    assert [one[name] for one in found] == [wanted[0], "", wanted[1]]
    assert printed(found[0]) == f"{wanted[0]}\n"


def test_a_source_that_is_too_long_is_cut_and_that_is_told(tmp_path):
    model = write_short_writer(tmp_path / "model", "summarisation", prefix="the ")
    (tmp_path / "a.txt").write_text(f"{TEXTS[1]}\n{TEXTS[2]}\n")
    short, long = predict(PredictConfig(model=model, input=str(tmp_path / "a.txt")))
    loaded = load(model)
    ids = loaded.prompt_ids(f"the {TEXTS[2]}")
    assert "cut_tokens" not in short and long["cut_tokens"] == len(ids) - 8 > 0
    after = loaded.tokenizer.suffix_ids
    read = [*ids[: 8 - len(after)], *after]
    assert long["summary"] == loaded.generate([read], max_new_tokens=4)[0].text.strip()


def test_no_more_of_a_source_is_read_than_was_in_training(tmp_path):
    model = write_writer(tmp_path / "model", "summarisation", source_tokens=5)
    (tmp_path / "a.txt").write_text(TEXTS[0])
    (found,) = predict(PredictConfig(model=model, input=str(tmp_path / "a.txt")))
    assert found["cut_tokens"] == len(load(model).prompt_ids(TEXTS[0])) - 5


def test_no_more_of_a_text_is_read_at_once_than_was_in_training(tmp_path, monkeypatch):
    seen = []
    for head, labels in (("span", ()), ("tagging", ("O", "B-x"))):
        model = load(write_encoder(tmp_path / head, head, labels, objective=head, context_tokens=9))
        forward = type(model.network).forward
        monkeypatch.setattr(
            type(model.network),
            "forward",
            lambda self, tokens, f=forward, **how: seen.append(tokens) or f(self, tokens, **how),
        )
        _ = model.answer("it", TEXTS[2]) if head == "span" else model.tag([TEXTS[2]])
        monkeypatch.undo()
    assert seen and max(tokens.shape[1] for tokens in seen) <= 9


def test_a_span_corrupted_writer_fills(tmp_path):
    model = write_writer(tmp_path / "model", "span_corruption")
    (tmp_path / "a.txt").write_text("the <extra_id_0> was old")
    (found,) = predict(PredictConfig(model=model, input=str(tmp_path / "a.txt"), top=1))
    assert "<extra_id_0>" not in found["filled"] and len(found["blanks"]) == 1
