"""Rows of every task, from every kind of file that it comes in; what is wrong with one is told with its line."""

import json
import pathlib

import pytest

from trivium.data.task_rows import UNANSWERED, TaskData, read_task_rows
from trivium.errors import ConfigError, DataError


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    return path


def test_a_table_with_columns_and_labels_by_name(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "r.csv", "review,stars,user\nGood,1,ann\nBad,0,ann\nGood ,1,bob\n")
    columns = {"text": "review", "label": "stars"}
    data = read_task_rows("sentiment", path, columns=columns, labels={"0": "negative", "1": "positive"})
    assert data.options == ("negative", "positive")
    assert dict(data.rows[0].fields) == {"text": "Good", "label": "positive"}
    assert data.rows[0].where == f"{path}, line 2" and data.rows[1].label == "negative"
    assert data.rows[0].group == data.rows[2].group != data.rows[1].group  # of one text
    grouped = read_task_rows("sentiment", path, columns={**columns, "group": "user"})
    assert grouped.rows[0].group == grouped.rows[1].group != grouped.rows[2].group


def test_translations_of_every_form_are_the_same_rows(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "a.de", "eins\nzwei\n"), write(tmp_path / "a.en", "one\ntwo\n")
    write(tmp_path / "a.tsv", "eins\tone\nzwei\ttwo\n")
    write(tmp_path / "a.csv", "source,target\neins,one\nzwei,two\n")
    write(tmp_path / "b.jsonl", '{"de": "eins", "en": "one"}\n{"de": "zwei", "en": "two"}\n')

    def read(name: str, **options) -> TaskData:
        return read_task_rows("translation", tmp_path / name, languages=("German", "English"), **options)

    expected = read("a.de", target=tmp_path / "a.en").rows
    assert dict(expected[1].fields) == {
        "source": "zwei",
        "target": "two",
        "source_language": "German",
        "target_language": "English",
    }
    columns = {"source": "de", "target": "en"}
    for rows in (read("a.tsv").rows, read("a.csv").rows, read("b.jsonl", columns=columns).rows):
        assert [(row.fields, row.group) for row in rows] == [(row.fields, row.group) for row in expected]


def test_entities_of_conll_and_questions_of_squad(tmp_path: pathlib.Path) -> None:
    tagged = write(tmp_path / "n.conll", "Ann\tB-person\nLee\tI-person\nleft\tO\nRome\tB-place\n\nNobody\tO\n")
    data = read_task_rows("entities", tagged)
    assert data.options == ("person", "place")
    assert data.rows[0].fields["text"] == "Ann Lee left Rome"
    assert data.rows[0].fields["entities"] == [{"name": "Ann Lee", "type": "person"}, {"name": "Rome", "type": "place"}]
    assert data.rows[1].fields["entities"] == [] and data.rows[1].where.endswith("n.conll, line 6")
    asked = [
        {"id": "1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]},
        {"id": "2", "question": "When?", "answers": [], "is_impossible": True},
    ]
    squad = {"data": [{"paragraphs": [{"context": "Ann left.", "qas": asked}]}]}
    rows = read_task_rows("question_answering", write(tmp_path / "q.json", json.dumps(squad))).rows
    assert [row.fields["answer"] for row in rows] == ["Ann", UNANSWERED]
    assert rows[0].group == rows[1].group
    flat = [{"context": "Ann left.", "question": "Who?", "answer": "Ann"}]
    again = read_task_rows("question_answering", write(tmp_path / "f.json", json.dumps(flat))).rows
    assert again[0].fields == rows[0].fields and again[0].group == rows[0].group


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("sentiment", {}, r"(?s)no field `text`.*r.csv:2: review, stars.*set columns"),
        ("sentiment", {"columns": {"txt": "review"}}, r"(?s)does not read.*did you mean text"),
        ("sentiment", {"columns": {"text": "review", "label": "stars"}, "labels": {"1": "good"}}, r"line 3: '0'"),
        ("sentiment", {"columns": {"text": "empty", "label": "stars"}}, "holds no text"),
        ("summarisation", {"labels": {"1": "good"}}, "has no labels"),
        ("sentiment", {"languages": ("German", "English")}, "are for translations"),
        ("translation", {}, "languages of a translation are not named"),
        ("entities", {"columns": {"text": "review"}}, "a CoNLL file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: pathlib.Path, task, options: dict, message: str) -> None:
    path = write(tmp_path / "r.csv", "review,stars,empty\nGood,1,x\nBad,0,\n")
    with pytest.raises((DataError, ConfigError), match=message):
        read_task_rows(task, path, **options)


def test_tags_without_entities_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="mark no entities"):
        read_task_rows("entities", write(tmp_path / "p.conll", "Ann\tNOUN\nleft\tVERB\n"))


def test_public_sets(shared_data: pathlib.Path) -> None:
    talks = read_task_rows(
        "summarisation", shared_data / "nc-dialogsum" / "dialogsum.dev.jsonl", columns={"text": "dialogue"}
    )
    assert len(talks.rows) == 500
    images = shared_data / "nc-multi30k"
    pairs = read_task_rows(
        "translation", images / "val.de.gz", target=images / "val.en.gz", languages=("German", "English")
    )
    assert len(pairs.rows) == 1014
    assert len(read_task_rows("question_answering", shared_data / "xquad" / "xquad.en.json").rows) == 1190
    names = read_task_rows("entities", shared_data / "ner_wnut17" / "emerging.dev.conll")
    assert len(names.options) == 6
    glue = shared_data / "unclear-glue"
    pairs = read_task_rows(
        "entailment", next((glue / "RTE").glob("*dev*")), columns={"premise": "sentence1", "hypothesis": "sentence2"}
    )
    assert pairs.options == ("entailment", "not_entailment")
