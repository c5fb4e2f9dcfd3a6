"""A filter trained from files is what `prepare` reads, measured on text that it has not seen."""

import csv
import gzip
import json
import pathlib
import random

import pytest

from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.quality.ngrams import NgramConfig, NgramModel
from trivium.data.readers import ReadOptions
from trivium.data.refine import TextConfig, refine
from trivium.errors import ConfigError, DataError, StorageError
from trivium.recipes.filter_texts import Heard, pages
from trivium.recipes.filters import FiltersConfig, filters

SMALL = NgramConfig(order=5, training_characters=200_000)


@pytest.fixture(scope="module")
def articles(shared_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("articles")
    text = (shared_data / "wikitext2" / "valid.txt").read_text(encoding="utf-8")
    (folder / "some.txt").write_text(text[:120_000], encoding="utf-8")
    (folder / "others.txt").write_text(text[120_000:240_000], encoding="utf-8")
    return folder


def document(text: str) -> Document:
    return Document(id="d", text=text, origin="o", kind="text", group="d")


def test_perplexity_from_files_to_the_rule_of_prepare(articles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    sources = (str(articles / "some.txt"), str(articles / "others.txt"))
    config = FiltersConfig(sources=sources, output=tmp_path / "trusted", ngrams=SMALL)
    trained = filters(config, silent=True)
    assert sorted(path.name for path in (tmp_path / "trusted").iterdir()) == [
        "model.json",
        "model.safetensors",
        "report.json",
    ]
    facts = json.loads((tmp_path / "trusted" / "report.json").read_text(encoding="utf-8"))
    assert facts == trained.facts and trained.limit == facts["limit"]
    assert facts["area_under_curve"] > 0.9 and facts["recall"] > 0.5 and facts["precision"] > 0.8
    assert [row["name"] for row in facts["groups"]][-2:] == [f"from {source}" for source in sources]
    assert facts["sources"][sources[0]]["characters"] > 100_000
    assert facts["sources"][sources[0]]["licences"] == {"unknown": 1}
    assert "removed above" in trained.table and "WARNING" in trained.table

    text = TextConfig(perplexity_model=trained.folder, perplexity_limit=trained.limit)
    good = (articles / "some.txt").read_text(encoding="utf-8")[:3000]
    words = good.split()
    random.Random(0).shuffle(words)
    assert refine(document(good), text, Funnel()) is not None
    assert refine(document(" ".join(words)), text, Funnel()) is None

    before = {path.name: path.read_bytes() for path in (tmp_path / "trusted").iterdir()}
    filters(config, silent=True)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "trusted").iterdir()}, "the same bytes"


def test_what_is_unwanted_may_be_given(articles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    chance = random.Random(0)
    noise = " ".join("".join(chance.choices("abcdefgh", k=6)) for _ in range(3000))
    (tmp_path / "noise.txt").write_text(noise)
    config = FiltersConfig(
        sources=(str(articles),), unwanted=(str(tmp_path / "noise.txt"),), output=tmp_path / "out", ngrams=SMALL
    )
    trained = filters(config, silent=True)
    assert trained.facts["recall"] == 1.0 and trained.facts["area_under_curve"] == 1.0
    assert str(tmp_path / "noise.txt") in trained.facts["sources"]


def test_every_source_has_its_share(articles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "greek.txt").write_text("αβγδε ζηθικ λμνξο\n" * 4000, encoding="utf-8")
    sources = (str(articles), str(tmp_path / "greek.txt"))
    trained = filters(FiltersConfig(sources=sources, output=tmp_path / "out", ngrams=SMALL), silent=True)
    model = NgramModel.load(trained.folder)
    assert model.perplexity("ζηθικ λμνξο αβγδε") < 3 and model.perplexity("the history of the town") < 10


def test_pages_are_all_of_a_text_cut_between_words(tmp_path: pathlib.Path) -> None:
    text = "".join(f"word{n} " if n % 7 else f"word{n}\n" for n in range(3000)).strip()
    (tmp_path / "a.txt").write_text(text)
    found = [page for _, page in pages(str(tmp_path / "a.txt"), ReadOptions(), Heard())]
    assert " ".join(found).split() == text.split()
    assert all(1000 < len(page) <= 5000 for page in found) and len(found) > 5
    (tmp_path / "b.txt").write_text("x" * 20_000)
    assert sum(len(page) for _, page in pages(str(tmp_path / "b.txt"), ReadOptions(), Heard())) == 20_000


def test_harm_from_a_table_to_the_rule_of_prepare(shared_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("sklearn")
    with gzip.open(shared_data / "hate_offensive" / "labeled_data.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:1500]
    with (tmp_path / "tweets.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"body": row["tweet"], "class": int(row["class"])}) + "\n" for row in rows)
    config = FiltersConfig(
        sources=(str(tmp_path / "tweets.jsonl"),),
        kind="harm",
        reading=ReadOptions(text_field="body", label_field="class"),
        harmful=("0", "1"),
        output=tmp_path / "harm",
    )
    trained = filters(config, silent=True)
    facts = trained.facts
    assert facts["precision"] > 0.95 and facts["recall"] > 0.6 and 0 < trained.limit < 1
    assert {row["label"] for row in facts["classes"]} == {"0", "1", "2"}
    assert any(row["name"] == "African-American English" and row["texts"] > 20 for row in facts["groups"])
    text = TextConfig(harm_model=trained.folder, harm_threshold=trained.limit)
    harmless = "The museum opened a new room on the history of the town today."
    assert refine(document(harmless), text, Funnel()) is not None
    removed = [refine(document(row["tweet"]), text, Funnel()) is None for row in rows[:60] if row["class"] != "2"]
    assert sum(removed) > 0.6 * len(removed)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "a"}\n', "no text has a label"),
        ('{"text": "a", "class": 1}\n', "no text has a label"),
        ("".join(f'{{"text": "a", "label": {n}}}\n' for n in range(60)), "too many labels"),
        ('{"text": "a", "label": 1}\n{"text": "b", "label": 2}\n', "do not tell harmful"),
        ('{"text": "a", "label": "hate"}\n', "do not tell harmful"),
        ('{"body": "a", "label": "hate"}\n', "no text has a label"),
        ("", "no text has a label"),
        ('{"text": "a", "label": "hate"}\n{"text": "b", "label": "ok"}\n', "too few labelled texts"),
        ('{"text": "a", "label": "hate"}\n{"text": "b", "label": "ok"}\n' * 99, "too few labelled texts"),
    ],
)
def test_labels_that_teach_nothing_are_clear_errors(tmp_path: pathlib.Path, content: str, expected: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    config = FiltersConfig(sources=(str(tmp_path / "a.jsonl"),), kind="harm", output=tmp_path / "out")
    with pytest.raises(DataError, match=expected) as raised:
        filters(config, silent=True)
    assert raised.value.fix is not None
    assert not (tmp_path / "out").exists()


def test_too_little_text_is_a_clear_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_text("only a little text " * 100)
    with pytest.raises(DataError, match="too little text"):
        filters(FiltersConfig(sources=(str(tmp_path / "a.txt"),), output=tmp_path / "out"), silent=True)
    (tmp_path / "b.txt").write_bytes(b"\x00\x01" * 100)
    with pytest.raises(DataError, match="binary"):
        filters(FiltersConfig(sources=(str(tmp_path / "b.txt"),), output=tmp_path / "out"), silent=True)
    with pytest.raises(DataError, match="no such file"):
        filters(FiltersConfig(sources=(str(tmp_path / "c.txt"),), output=tmp_path / "out"), silent=True)


def test_a_folder_of_other_things_is_not_replaced(articles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="something else than a filter"):
        filters(FiltersConfig(sources=(str(articles),), output=tmp_path / "mine"), silent=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "wrong",
    [{"sources": ()}, {"held_out_fraction": 1.0}, {"keep_percent": 100.0}, {"kind": "harm", "unwanted": ("x",)}],
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        FiltersConfig(**{"sources": ("a",), **wrong})
