"""How a folder says that vectors are made, and how they are."""

import importlib.util
import json
import pathlib
from typing import Any

import pytest
import torch

from trivium.errors import CheckpointError, NonFiniteError, Unsupported
from trivium.lm.embedding import EmbeddingFacts, sentence_facts
from trivium.lm.load import load, save
from trivium.lm.local import LocalModel
from trivium.nn.classification_head import pool

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

STEPS = ("sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling")


def write(folder: pathlib.Path, steps: tuple[str, ...] = STEPS, pooling: Any = None, **files: Any) -> pathlib.Path:
    paths = ["", *(f"{number}_{step.rpartition('.')[2]}" for number, step in enumerate(steps) if number)]
    modules = [{"idx": i, "path": path, "type": step} for i, (path, step) in enumerate(zip(paths, steps, strict=True))]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {"pooling_mode_cls_token": True}))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("pooling", "wanted"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"pooling_mode_mean_tokens": True, "word_embedding_dimension": 8}, "mean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "cls"}, "first"),
    ],
)
def test_the_pooling_of_a_folder(tmp_path: pathlib.Path, pooling: dict, wanted: str) -> None:
    read = {"max_seq_length": 9, "do_lower_case": True}
    facts = sentence_facts(write(tmp_path, pooling=pooling, sentence_bert_config=read))
    assert facts == EmbeddingFacts(pooling=wanted, context_tokens=9, lower_case=True)
    assert EmbeddingFacts.of(facts.to_json()) == facts
    assert sentence_facts(write(tmp_path, (*STEPS, "sentence_transformers.models.Normalize"), pooling)) == facts


def test_what_is_not_made_here_is_refused(tmp_path: pathlib.Path) -> None:
    assert sentence_facts(tmp_path) is None
    with pytest.raises(Unsupported, match=r"Transformer, Pooling, Dense"):
        sentence_facts(write(tmp_path, (*STEPS, "sentence_transformers.models.Dense")))
    with pytest.raises(Unsupported, match="weightedmean_tokens"):
        sentence_facts(write(tmp_path, pooling={"pooling_mode_weightedmean_tokens": True}))
    both = {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}
    with pytest.raises(Unsupported, match="cls_token and max_tokens"):
        sentence_facts(write(tmp_path, pooling=both))
    with pytest.raises(Unsupported, match="default_prompt_name 'query'"):
        sentence_facts(write(tmp_path, config_sentence_transformers={"default_prompt_name": "query"}))
    (tmp_path / "config_sentence_transformers.json").unlink()
    (tmp_path / "modules.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="of another form"):
        sentence_facts(tmp_path)
    write(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[1]["path"] = "../elsewhere"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="leads out of its folder"):
        sentence_facts(tmp_path)
    with pytest.raises(CheckpointError, match="how texts are embedded"):
        EmbeddingFacts.of({"objective": "embedding", "pooling": "sum"})


@pytest.mark.parametrize("pooling", ["first", "last", "mean", "max"])
def test_vectors_are_what_the_pooling_says(pooling: Any) -> None:
    tokenizer = small.masked_tokenizer()
    facts = EmbeddingFacts(pooling=pooling, context_tokens=6)
    model = LocalModel(small.network("bert", tokenizer.vocabulary_size), tokenizer, embedding=facts)
    found = model.embeddings(["the cat", "the dog ran to the cat"])
    assert found.cut_tokens == [0, 2]
    read = ["the cat", "the dog ran to"]
    for text, vector in zip(read, found.vectors, strict=True):
        row = [2, *tokenizer.encode(text), 3]
        pooled = pool(model.network(torch.tensor([row])).hidden, None, pooling)[0]
        torch.testing.assert_close(vector, pooled / pooled.norm(), rtol=0, atol=1e-10)
    model.network.norm.bias.data[0] = float("nan")
    with pytest.raises(NonFiniteError, match="nothing can be embedded"):
        model.embed(["the cat"])


def test_a_folder_of_sentence_transformers_is_loaded_and_saved(tmp_path: pathlib.Path) -> None:
    tokenizer = small.masked_tokenizer()
    model = LocalModel(small.network("bert", tokenizer.vocabulary_size).float(), tokenizer)
    save(model, tmp_path / "plain")
    folder = write(tmp_path / "plain", pooling={"pooling_mode_max_tokens": True})
    (folder / "manifest.json").unlink()
    (folder / "trivium.json").write_text(json.dumps({"objective": "embedding"}))
    loaded = load(folder)
    assert loaded.embedding.pooling == "max" and loaded.purpose == "embedding"
    save(loaded, tmp_path / "again")
    again = load(tmp_path / "again")
    assert again.embedding == loaded.embedding
    assert torch.equal(again.embed(["the cat"]), loaded.embed(["the cat"]))
