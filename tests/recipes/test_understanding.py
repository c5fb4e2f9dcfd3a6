"""Looking into a model: what is found, what is left out, and what is refused."""

import json
import pathlib
import re

import pytest
import torch

from tests.cli.tiny import write_model
from tests.recipes.bases import words_of, write_bert, write_t5
from trivium.checkpoints.model_folder import save_folder
from trivium.cli import main as cli
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.evaluation.attention_of import TIGER
from trivium.evaluation.word_in_context import BANK
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.recipes.probing_data import sentences_to_probe, texts_to_probe
from trivium.recipes.understanding import UnderstandConfig, understand

PLACES, OTHERS = [f"rome{n}" for n in range(6)], [f"walk{n}" for n in range(6)]
GOOD, BAD = (
    [f"fine film {n} {m}" for n in range(6) for m in range(3)],
    [f"poor film {n} {m}" for n in range(6) for m in range(3)],
)
KNOWN = [TIGER, *(" ".join(use.words) for use in BANK), *GOOD, *BAD, " ".join(PLACES + OTHERS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Texts, tagged sentences, and three models."""
    folder = tmp_path_factory.mktemp("understanding")
    rows = [f"{text},{label}" for label, texts in (("good", GOOD), ("bad", BAD)) for text in texts]
    (folder / "films.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    sentences = [
        f"{OTHERS[n % 6]} O\n{PLACES[n % 5]} B-place\n{PLACES[(n + m) % 6]} I-place\n"
        for n in range(6)
        for m in range(4)
    ]
    (folder / "places.conll").write_text("\n".join(sentences))
    write_bert(folder / "encoder", KNOWN)
    write_t5(folder / "both", KNOWN)
    return folder


def asked(folder: pathlib.Path, name: str, **settings) -> UnderstandConfig:
    given = {"texts": folder / "films.csv", "sentences": folder / "places.conll", "limit": 16, "device": "cpu"}
    return UnderstandConfig(model=folder / name, output=folder / f"{name}.html", **{**given, **settings})


def test_an_encoder_is_looked_into_and_the_page_shows_it(folder):
    found = understand(asked(folder, "encoder"), silent=True)
    names = ["embeddings", "layer 1", "layer 2"]
    assert found.texts is not None and found.words is not None and found.attention is not None
    for probed in (found.texts, found.words):
        assert [probe.layer.name for probe in probed.probes] == names
    # Each label has words of its own, which random vectors of 32 numbers keep apart.
    assert found.texts.best.accuracy.estimate > 0.9 and found.words.best.f1.estimate > 0.9
    assert found.about == ("tiger", "tree") and found.left_out == ()
    told = json.loads(json.dumps(found.to_json()))
    assert told["texts"]["classes"]["good"]["learnt"] + told["texts"]["classes"]["bad"]["learnt"] == 16
    assert told["texts"]["held_out"] == 8 and told["words"]["classes"].keys() == {"O", "place"}
    assert [each["layer"] for each in told["senses"]["layers"]] == names
    assert torch.tensor(told["attention"]["weights"]).shape == (2, 2, len(told["attention"]["words"]))
    page = (folder / "encoder.html").read_text()
    drawings = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(drawings) == 1 + 2 + 1 + 4 and "Left out" not in page


def test_twice_is_the_same(folder):
    first, second = (understand(asked(folder, "encoder", seed=3, limit=8), silent=True).to_json() for _ in range(2))
    assert first == second


def test_both_stacks_of_an_encoder_decoder_are_looked_into(folder):
    found = understand(asked(folder, "both", texts=None), silent=True)
    assert found.words is not None and found.texts is None and found.attention is not None
    names = ["encoder embeddings", "encoder 1", "decoder embeddings", "decoder 1"]
    assert [probe.layer.name for probe in found.words.probes] == names == [at.layer.name for at in found.distances]
    page = (folder / "both.html").read_text()
    (accuracy, *_) = (json.loads(each) for each in re.findall(r'"application/json">(.*?)</script>', page, re.DOTALL))
    assert accuracy["data"][0]["y"][2] is None and accuracy["layout"]["xaxis"]["tickvals"] == [0, 1, 3, 4]
    assert "encoder 1, head 1" in page


def test_of_a_model_without_attention_that_part_alone_is_left_out(folder):
    tokenizer = words_of(KNOWN)
    network = LSTM(LSTMConfig(vocabulary_size=tokenizer.vocabulary_size, width=16, layers=1))
    save_folder(folder / "lstm", network, tokenizer=tokenizer)
    found = understand(asked(folder, "lstm", sentences=None, texts=None), silent=True)
    assert found.attention is None and len(found.distances) > 1
    (left_out,) = found.to_json()["left_out"]
    assert "has no attention" in left_out
    page = (folder / "lstm.html").read_text()
    assert left_out.split("“")[0] in page and "Where it looks" not in page


def test_a_decoder_and_ones_own_words(folder, tmp_path, capsys):
    write_model(tmp_path / "decoder")
    uses = {"word": "fox", "uses": [{"sentence": f"the {a} fox", "sense": a} for a in ("quick", "quick", "lazy")]}
    (tmp_path / "uses.json").write_text(json.dumps(uses))
    words = ["understand", str(tmp_path / "decoder"), "--uses", str(tmp_path / "uses.json"), "--word", "fox"]
    words += ["--sentence", "the quick brown fox", "--output", str(tmp_path / "page.html"), "--json"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["senses"]["word"] == "fox" and told["senses"]["uses"] == 3 and told["texts"] is None
    assert told["attention"]["sentence"] == "the quick brown fox"
    assert f"written to {tmp_path / 'page.html'}" in said.err
    assert (tmp_path / "page.html").is_file()


def test_what_the_terminal_says(folder, tmp_path, capsys):
    words = ["understand", str(folder / "encoder"), "--texts", str(folder / "films.csv"), "--limit", "16"]
    words += ["--output", str(tmp_path / "page.html")]
    assert cli.main([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["needs"]["texts"]["learnt"] == 16
    assert not (tmp_path / "page.html").exists()
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:4]] == ["embeddings", "layer 1", "layer 2"]
    assert "%" in lines[1] and "always the most frequent label" in lines[4]


def test_the_sides_are_apart_and_their_labels_are_counted(folder):
    texts = texts_to_probe(folder / "films.csv", limit=16, seed=0)
    assert len(texts.train) == 16 and len(texts.held_out) == 8 and not {*texts.train} & {*texts.held_out}
    counted = {label: sum(each[1] == label for each in texts.train) for label in ("good", "bad")}
    assert {label: learnt for label, (learnt, _) in texts.classes.items()} == counted
    words = sentences_to_probe(folder / "places.conll", limit=16, seed=0)
    assert not {each[0] for each in words.train} & {each[0] for each in words.held_out}
    assert words.outside == "O" and words.classes["place"][0] == 2 * words.classes["O"][0]
    other = texts_to_probe(folder / "films.csv", limit=16, seed=1)
    assert other.train != texts.train


def test_a_label_that_nothing_was_learnt_of_is_left_out_and_said(tmp_path):
    tagged = [f"a{n} X\nb{n} {'RARE' if n == 0 else 'Y'}\n" for n in range(30)]
    (tmp_path / "tagged.conll").write_text("\n".join(tagged))
    sides = [sentences_to_probe(tmp_path / "tagged.conll", limit=20, seed=seed) for seed in range(8)]
    assert {each.left_out for each in sides} == {0, 1}
    assert all(("RARE" in each.classes) != bool(each.left_out) and each.outside is None for each in sides)


def test_what_cannot_be_looked_into_is_refused(folder, tmp_path):
    for settings, said in (
        ({"word": "lion"}, "not in the sentence"),
        ({"about": ("lion",)}, "not in the sentence"),
        ({"limit": 1}, "too small"),
        ({"longest_tokens": 1}, "too small"),
        ({"output": tmp_path / "page.json"}, "is a page"),
    ):
        with pytest.raises(ConfigError, match=said):
            UnderstandConfig(model=folder, **settings)  # type: ignore[arg-type]
    (tmp_path / "one.csv").write_text("text,label\n" + "\n".join(f"film {n},good" for n in range(9)) + "\n")
    with pytest.raises(DataError, match="too little to probe"):
        understand(asked(folder, "encoder", texts=tmp_path / "one.csv"), silent=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "trivium-text-cnn"}))
    with pytest.raises(Unsupported, match="one by one"):
        understand(UnderstandConfig(model=tmp_path / "model"), silent=True)
