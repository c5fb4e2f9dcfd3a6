"""Labelled texts: every form is read alike, what cannot be read is named with its line, no text is on both sides."""

import gzip
import json
import pathlib
import random
import zipfile
from collections import Counter

import pytest

from trivium.data.labelled import (
    LabelledText,
    labels_of,
    read_labelled,
    split_by_text,
    stratified_split,
    without_copies,
)
from trivium.errors import DataError

EXAMPLES = [("a fine film , really", "pos"), ("dull", "neg"), ('he said "no"', "neg")]


def pairs(examples: list[LabelledText]) -> list[tuple[str, str]]:
    return [(example.text, example.label) for example in examples]


def written(path: pathlib.Path, content: str | bytes) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner in sorted(folder.rglob("*")):
            archive.write(inner, f"corpus/{inner.relative_to(folder).as_posix()}")
    return path


# Records --------------------------------------------------------------------------------------------------------------


def test_lines_of_json_and_tables_are_read_alike(tmp_path: pathlib.Path):
    lines = "".join(json.dumps({"text": text, "label": label, "id": 7}) + "\n" for text, label in EXAMPLES)
    quoted = ['"' + text.replace('"', '""') + '"' for text, _ in EXAMPLES]
    table = "label,text\n" + "".join(f"{label},{text}\n" for (_, label), text in zip(EXAMPLES, quoted, strict=True))
    tabs = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in EXAMPLES)
    found = [
        read_labelled(written(tmp_path / "a.jsonl", lines)),
        read_labelled(written(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode()))),
        read_labelled(written(tmp_path / "a.csv", table)),
        read_labelled(written(tmp_path / "a.tsv", tabs)),
    ]
    assert [pairs(examples) for examples in found] == [EXAMPLES] * 4
    assert found[0][1].where == f"{tmp_path}/a.jsonl:2" and found[2][2].where == f"{tmp_path}/a.csv:4"
    assert labels_of(found[0]) == ("neg", "pos")


def test_the_fields_of_single_sentences_in_glue_and_named_ones_are_found(tmp_path: pathlib.Path):
    glue = written(tmp_path / "dev.tsv", "sentence\tlabel\na fine film\t1\nno\t0\n")
    assert pairs(read_labelled(glue)) == [("a fine film", "1"), ("no", "0")]
    other = written(tmp_path / "o.jsonl", '{"body": "x", "text": "y", "stars": 5}\n')
    assert pairs(read_labelled(other, text_field="body", label_field="stars")) == [("x", "5")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"\n', r"(?s)not JSON.*a\.jsonl:2"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', r"(?s)no label.*a\.jsonl:2.*field `label`"),
        ("a.jsonl", '{"text": "a", "label": true}\n', r"(?s)no label.*a\.jsonl:1"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n\n{"text": " ", "label": "x"}\n', r"(?s)empty.*a\.jsonl:3"),
        ("a.jsonl", '{"body": "a", "label": "x"}\n', r"(?s)no field `text`.*a\.jsonl:1.*body.*set text_field"),
        ("a.csv", "text,label\na,x\nb\n", r"(?s)another number of fields.*a\.csv:3.*1 for 2"),
        ("a.csv", "words,label\na,x\n", r"(?s)no column `text`.*words"),
        ("a.tsv", b"text\tlabel\ncaf\xe9\tx\n", r"(?s)not encoded in utf-8.*a\.tsv:2"),
        ("a.csv", "text,label\n", "no labelled texts"),
        ("a.jsonl", "", "empty"),
        ("a.txt", "text", "this kind of file holds no labelled texts"),
        ("a.zip", b"PK no archive", "the archive cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: pathlib.Path, name: str, content: str | bytes, message: str):
    with pytest.raises(DataError, match=message):
        read_labelled(written(tmp_path / name, content))


def test_another_encoding_can_be_named(tmp_path: pathlib.Path):
    table = written(tmp_path / "a.csv", "text,label\ncaf\xe9,x\n".encode("latin-1"))
    assert pairs(read_labelled(table, encoding="latin-1")) == [("caf\xe9", "x")]
    with pytest.raises(DataError, match="no such encoding"):
        read_labelled(table, encoding="latin-99")
    with pytest.raises(DataError, match="no such file or folder"):
        read_labelled(tmp_path / "none.csv")


# Folders and archives -------------------------------------------------------------------------------------------------


def test_a_folder_for_each_label(tmp_path: pathlib.Path):
    folder = tmp_path / "corpus"
    for name, text in {"pos/b.txt": "good\nfilm", "neg/a.txt": "bad", "pos/a.txt": "fine"}.items():
        written(folder / name, text)
    for name in ("README", "about.txt", "pos/.hidden", "pos/readme.md"):
        written(folder / name, "about the texts")
    expected = [("bad", "neg"), ("fine", "pos"), ("good\nfilm", "pos")]
    assert pairs(read_labelled(folder)) == expected
    found = read_labelled(zipped(folder, tmp_path / "corpus.zip"))
    assert pairs(found) == expected and found[0].where == f"{tmp_path}/corpus.zip/corpus/neg/a.txt"


def test_a_file_for_each_label(tmp_path: pathlib.Path):
    folder = tmp_path / "corpus"
    written(folder / "films.neg", "dull\r\n\nboring\u2028too\n")
    written(folder / "films.pos", "fine")
    written(folder / "README.txt", "about")
    expected = [("dull", "neg"), ("boring\u2028too", "neg"), ("fine", "pos")]
    found = read_labelled(folder)
    assert pairs(found) == expected and found[1].where == f"{folder}/films.neg:3"
    assert pairs(read_labelled(zipped(folder, tmp_path / "corpus.zip"))) == expected
    for name in ("plot.tok.5000", "quote.tok.5000"):
        written(tmp_path / "other" / name, "x")
    assert labels_of(read_labelled(tmp_path / "other")) == ("plot", "quote")


def test_folders_that_do_not_say_what_is_meant_are_refused(tmp_path: pathlib.Path):
    for name in ("train/pos/1.txt", "train/neg/1.txt", "test/pos/1.txt", "test/neg/1.txt"):
        written(tmp_path / "split" / name, "text")
    with pytest.raises(DataError, match=r"(?s)two folders have the name of one label.*test/neg and .*train/neg"):
        read_labelled(tmp_path / "split")
    written(tmp_path / "files" / "train.jsonl", "{}")
    written(tmp_path / "files" / "dev.jsonl", "{}")
    with pytest.raises(DataError, match=r"(?s)a file of records is read by itself.*dev\.jsonl"):
        read_labelled(tmp_path / "files")
    written(tmp_path / "one" / "pos" / "1.txt", "text")
    with pytest.raises(DataError, match="no labelled texts"):
        read_labelled(tmp_path / "one")
    written(tmp_path / "secret.txt", "secret")
    (tmp_path / "one" / "neg").mkdir()
    (tmp_path / "one" / "neg" / "1.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match=r"(?s)a link in a folder of texts is not followed.*neg/1\.txt"):
        read_labelled(tmp_path / "one")
    written(tmp_path / "odd" / "pos" / "1.txt", b"caf\xe9")
    written(tmp_path / "odd" / "neg" / "1.txt", "no")
    with pytest.raises(DataError, match=r"(?s)not encoded in utf-8.*pos/1\.txt.*set encoding"):
        read_labelled(tmp_path / "odd")


def test_an_archive_that_expands_beyond_all_measure_is_refused(tmp_path: pathlib.Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pos/1.txt", b"a" * (20 << 20))
        archive.writestr("neg/1.txt", b"b")
    with pytest.raises(DataError, match=r"(?s)expands beyond the limit.*a\.zip"):
        read_labelled(tmp_path / "a.zip")


def test_public_sets_are_read(shared_data: pathlib.Path):
    sentences = read_labelled(shared_data / "sentiment_cc" / "sentence_polarity.zip")
    assert Counter(example.label for example in sentences) == {"neg": 5331, "pos": 5331}
    facts = read_labelled(shared_data / "sentiment_cc" / "subjectivity.zip")
    assert Counter(example.label for example in facts) == {"plot": 5000, "quote": 5000}
    reviews = read_labelled(shared_data / "sentiment_cc" / "movie_reviews.zip")
    assert Counter(example.label for example in reviews) == {"neg": 1000, "pos": 1000}
    glue = read_labelled(shared_data / "unclear-glue" / "SST-2" / "dev.tsv")
    assert Counter(example.label for example in glue) == {"1": 444, "0": 428}


# Splits ---------------------------------------------------------------------------------------------------------------


def labelled(count: int) -> list[LabelledText]:
    return [LabelledText(text=f"text {number}", label="b" if number % 4 else "a") for number in range(count)]


def test_a_split_takes_its_share_of_every_label_whatever_the_order():
    examples = labelled(400)
    rest, held = stratified_split(examples, 0.1)
    assert Counter(example.label for example in held) == {"a": 10, "b": 30}
    assert sorted(pairs(rest + held)) == sorted(pairs(examples))
    assert pairs(rest) == [pair for pair in pairs(examples) if pair in set(pairs(rest))]
    shuffled = random.Random(0).sample(examples, len(examples))
    assert set(pairs(stratified_split(shuffled, 0.1)[1])) == set(pairs(held))


def test_copies_of_a_text_are_never_on_both_sides():
    examples = labelled(100)
    copies = [LabelledText(text=f"  {each.text.upper()}\n", label=each.label) for each in examples]
    other = [LabelledText(text=each.text, label="a" if each.label == "b" else "b") for each in examples[:20]]
    rest, held = stratified_split(examples + copies + other, 0.2)
    assert len(held) >= 40 and without_copies(held, rest) == held
    assert without_copies(rest, held) == rest
    assert without_copies(copies, examples[:90]) == copies[90:]


def test_of_few_texts_one_is_held_out_and_one_is_left():
    few = [
        LabelledText(text=f"{label}{number}", label=label)
        for label, count in (("a", 1), ("b", 2))
        for number in range(count)
    ]
    rest, held = stratified_split(few, 0.1)
    assert Counter(each.label for each in rest) == {"a": 1, "b": 1} and [each.label for each in held] == ["b"]


def test_a_link_in_an_archive_is_not_read_as_a_text(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "texts.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("neg/1.txt", "bad")
        link = zipfile.ZipInfo("pos/1.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../neg/1.txt")
    with pytest.raises(DataError, match=r"a link in an archive is not followed\n  received: .*texts.zip: pos/1.txt"):
        read_labelled(path)


# Pairs and numbers ----------------------------------------------------------------------------------------------------


def test_two_texts_with_one_label(tmp_path: pathlib.Path):
    table = written(tmp_path / "rte.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA dog.\tAn animal.\tyes\n")
    found = read_labelled(table, text_field="sentence1", second_field="sentence2")
    assert [(one.read, one.label) for one in found] == [(("A dog.", "An animal."), "yes")]
    assert found[0].where.endswith("rte.tsv:2")
    assert read_labelled(table, second_field="sentence2") == found, "the first goes with the second"
    with pytest.raises(DataError, match=r"(?s)no field `score`.*set label_field"):
        read_labelled(table, second_field="sentence2", label_field="score")
    with pytest.raises(DataError, match=r"(?s)no field `hypothesis`.*set second_field"):
        read_labelled(table, text_field="sentence1", second_field="hypothesis")
    with pytest.raises(DataError, match="pairs are records of one file"):
        read_labelled(tmp_path, second_field="sentence2")


def test_a_table_whose_first_row_is_an_example(tmp_path: pathlib.Path):
    table = written(tmp_path / "cola.tsv", 'gj04\t1\t\tHe "ran.\n')
    found = read_labelled(table, columns=("source", "label", "mark", "sentence"))
    assert pairs(found) == [('He "ran.', "1")] and found[0].number == 1.0 and found[0].read == 'He "ran.'


def test_copies_of_a_pair_stand_on_one_side_and_share_both_texts():
    examples = [LabelledText(text="a", second=str(number % 50), label="x") for number in range(100)]
    training, held_out = split_by_text(examples, 0.2)
    assert training and held_out and {one.read for one in training}.isdisjoint(one.read for one in held_out)
    assert without_copies(examples, held_out) == training
    assert without_copies([LabelledText(text="a", label="x")], held_out) == [LabelledText(text="a", label="x")]


def test_a_label_that_is_no_number_is_told():
    with pytest.raises(DataError, match=r"(?s)no number.*there: 'many'"):
        _ = LabelledText(text="a", label="many", where="there").number
