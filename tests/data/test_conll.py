"""Files of words and tags: columns, comments, schemes, and what is wrong on which line."""

import gzip
import pathlib

import pytest

from trivium.data.conll import TaggedFile, read_conll, tag_labels
from trivium.errors import DataError


def written(folder: pathlib.Path, text: str, name: str = "tagged.conll") -> pathlib.Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def read(folder: pathlib.Path, text: str) -> TaggedFile:
    return read_conll(written(folder, text))


def column(*tags: str) -> str:
    """One sentence with these tags."""
    return "".join(f"w\t{tag}\n" for tag in tags) + "\n"


def tags(file: TaggedFile) -> list[list[str]]:
    return [list(sentence.tags) for sentence in file.sentences]


def test_sentences_with_their_lines(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, "\n\nRome\tB-LOC\nis\tO\n\n\t\nNew\tB-LOC\nYork\tI-LOC")
    assert [(s.words, s.tags, s.line) for s in file.sentences] == [
        (("Rome", "is"), ("B-LOC", "O"), 3),
        (("New", "York"), ("B-LOC", "I-LOC"), 7),
    ]
    assert file.scheme == "iob2"


@pytest.mark.parametrize("space", [" ", "\t", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_first_column_is_the_word_and_the_last_the_tag(tmp_path: pathlib.Path, space: str, end: str) -> None:
    if space == "   ":
        lines = ["Rome   NNP B-LOC", "is  VBZ   O"]  # columns made even
    else:
        lines = [space.join(cells) for cells in (("Rome", "NNP", "B-LOC"), ("is", "VBZ", "O"))]
    (sentence,) = read(tmp_path, end.join([*lines, "", ""])).sentences
    assert (sentence.words, sentence.tags) == (("Rome", "is"), ("B-LOC", "O"))


def test_documents_and_comments_are_passed_over(tmp_path: pathlib.Path) -> None:
    text = "-DOCSTART- -X- O\n\n# text = Rome is old\n# id: 7\nRome NNP B-LOC\n# NN O\n\n-DOCSTART- -X- O\nis VBZ O\n"
    file = read(tmp_path, text)
    assert [s.words for s in file.sentences] == [("Rome", "#"), ("is",)]


def test_a_sign_that_begins_comments_may_be_a_word(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, "#Rome\tB-LOC\n#\tO\n\n#\tO\nis\tO\n")
    assert [s.words for s in file.sentences] == [("#Rome", "#"), ("#", "is")]


def test_a_comment_of_as_many_columns_is_known_by_its_tag(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, "# Document\nRome B-LOC\nis O\n\n# Document\n# O\nold O\n")
    assert [s.words for s in file.sentences] == [("Rome", "is"), ("#", "old")]
    assert [s.line for s in file.sentences] == [2, 6]
    assert read(tmp_path, "# text\nRome NNP B-LOC\n").sentences[0].words == ("Rome",), "columns of later lines count"
    assert read(tmp_path, "#\tB-LOC\nis\tO\n").sentences[0].words == ("#", "is"), "a tab is no comment's"


def test_another_encoding(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "latin.conll"
    path.write_bytes("Zürich\tB-LOC\n".encode("latin-1"))
    assert read_conll(path, encoding="latin-1").sentences[0].words == ("Zürich",)
    with pytest.raises(DataError):
        read_conll(path)


def test_spaces_that_are_no_columns(tmp_path: pathlib.Path) -> None:
    """Within tabs any, between blanks those that do not break a line; a line separator ends no line."""
    file = read(tmp_path, "New York\tB-LOC\na\u2028b\tO\n")
    assert file.sentences[0].words == ("New York", "a\u2028b")
    assert read(tmp_path, "10\u00a0000 O\n").sentences[0].words == ("10\u00a0000",)


def test_a_compressed_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tagged.conll.gz"
    path.write_bytes(gzip.compress(b"Rome\tB-LOC\n"))
    assert tags(read_conll(path)) == [["B-LOC"]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Rome\tB-LOC\nis\n", 2),
        ("Rome\n", 1),
        ("Rome B-LOC\nis VBZ O\n", 2),
        ("Rome NNP B-LOC\n\nis O\n", 3),
        ("Rome\tB-LOC\nis\t\n", 2),
        ("Rome\tB-LOC\n\tO\n", 2),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: pathlib.Path, text: str, line: int) -> None:
    with pytest.raises(DataError, match=f"tagged.conll, line {line}: "):
        read(tmp_path, text)


@pytest.mark.parametrize("text", ["# a comment\n", "-DOCSTART- O\n\n"])
def test_a_file_without_a_word(tmp_path: pathlib.Path, text: str) -> None:
    with pytest.raises(DataError, match="no tagged words"):
        read(tmp_path, text)


def test_a_file_that_is_no_text(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tagged.conll"
    path.write_bytes(b"Rome\tB-LOC\n\xff\xfe")
    with pytest.raises(DataError, match="not encoded in utf-8"):
        read_conll(path)


# Schemes -------------------------------------------------------------------------------------------------------------


def test_iob1_is_rewritten(tmp_path: pathlib.Path) -> None:
    """B- stands only where the word before is of the same type, and stays there."""
    file = read(tmp_path, column("I-x", "I-x", "O", "I-y", "B-y", "I-y", "I-x"))
    assert tags(file) == [["B-x", "I-x", "O", "B-y", "B-y", "I-y", "B-x"]]
    assert file.scheme == "iob2"


def test_iob2_and_iobes_stay(tmp_path: pathlib.Path) -> None:
    for scheme, given in (("iob2", ["B-x", "I-x", "B-x", "O", "B-y"]), ("iobes", ["B-x", "I-x", "E-x", "S-x", "O"])):
        file = read(tmp_path, column(*given))
        assert (file.scheme, tags(file)) == (scheme, [given])


def test_tags_that_mark_no_spans(tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, column("NN", "VB", "O", "-LRB-"))
    assert (file.scheme, tags(file)) == (None, [["NN", "VB", "O", "-LRB-"]])
    assert tag_labels([file]) == (("-LRB-", "NN", "O", "VB"), None)


def test_neither_iob1_nor_iob2(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"line 2: 'B-x', line 5: 'I-y'(.|\n)*write B- on line 5"):
        read(tmp_path, column("O", "B-x") + "\n" + column("I-y"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["S-x", "I-x"], "line 2: 'I-x' with no span to go on with"),
        (["O", "E-x"], "line 2: 'E-x' with no span"),
        (["B-x", "O"], "line 2: 'O' inside a x"),
        (["B-x", "I-y", "E-y"], "line 2: 'I-y' inside a x"),
        (["B-x", "S-x"], "line 2: 'S-x' inside a x"),
        (["S-x", "B-x", "I-x"], "line 4: the sentence ends inside a x"),
    ],
)
def test_iobes_that_is_broken(tmp_path: pathlib.Path, given: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, column(*given) + column("S-x"))


def test_spans_and_others_in_one_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="line 1: 'B-x', line 3: 'NN'"):
        read(tmp_path, column("B-x", "O", "NN"))


def test_labels_are_all_that_a_type_may_need(tmp_path: pathlib.Path) -> None:
    first, second = read(tmp_path, column("B-y", "O")), read(tmp_path, column("B-x", "I-x"))
    assert tag_labels([first, second]) == (("O", "B-x", "I-x", "B-y", "I-y"), "iob2")
    iobes, nothing = read(tmp_path, column("S-x")), read(tmp_path, column("O", "O"))
    assert tag_labels([iobes, nothing]) == (("O", "B-x", "I-x", "E-x", "S-x"), "iobes")
    for other in (iobes, read(tmp_path, column("NN"))):
        with pytest.raises(DataError, match="do not mark spans in the same way"):
            tag_labels([first, other])


def test_the_entities_of_wnut17(shared_data: pathlib.Path) -> None:
    file = read_conll(shared_data / "ner_wnut17" / "emerging.dev.conll")
    assert (len(file.sentences), file.scheme) == (1009, "iob2")
    assert sum(tag.startswith("B-") for sentence in file.sentences for tag in sentence.tags) == 836
    labels, _ = tag_labels([file])
    assert len(labels) == 13
