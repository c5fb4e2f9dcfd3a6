"""A datastore against all keys at once, and what it makes of a network's texts."""

import importlib.util
import json
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trivium.data.shards import TokenStore
from trivium.errors import DataError, Unsupported
from trivium.generation.knn import KnnSettings, retrieving
from trivium.lm import datastore as module
from trivium.lm.datastore import Datastore, build, build_from_prepared, build_from_texts, log_probs, perplexity
from trivium.lm.local import LocalModel
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.xlnet import XLNet, XLNetConfig

_spec = importlib.util.spec_from_file_location("small", pathlib.Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

V, D, ROOM = 13, 8, 8
DOCUMENTS = [[1, 2, 3, 4, 5], [7], [], [i % V for i in range(30)], [2, 2]]


def network() -> GPT2:
    torch.manual_seed(0)
    config = GPT2Config(vocabulary_size=V, width=D, layers=1, heads=2, context_tokens=ROOM)
    return GPT2(config).eval()


def test_every_token_has_a_place(tmp_path: pathlib.Path) -> None:
    model = network()
    store = build(tmp_path / "store", model, DOCUMENTS, dtype="float32")
    assert store.places == 4 + 29 + 1
    assert store.tokens.tolist() == [token for document in DOCUMENTS for token in document[1:]]
    with torch.no_grad():
        first = model(torch.tensor([DOCUMENTS[0][:-1]])).hidden[0]
    assert torch.allclose(torch.tensor(np.array(store.keys[:4])), first, atol=1e-5)
    # of a text that is too long each place was read with at least half a window before it: the ninth is in the second
    with torch.no_grad():
        second, last = (model(torch.tensor([DOCUMENTS[3][i : i + ROOM]])).hidden[0] for i in (4, 29 - ROOM))
    assert torch.allclose(torch.tensor(np.array(store.keys[4 + 8])), second[4], atol=1e-5)
    assert torch.allclose(torch.tensor(np.array(store.keys[4 + 28])), last[-1], atol=1e-5)
    assert Datastore.open(tmp_path / "store").places == store.places


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_search_is_exact(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr(module, "_KEYS_AT_ONCE", 7)
    monkeypatch.setattr(module, "_COMPARED_AT_ONCE", 100)
    torch.manual_seed(1)
    keys, tokens = torch.randn(50, D).numpy().astype(dtype), np.arange(50, dtype=np.int32) % V
    store, queries = Datastore(keys, tokens, vocabulary_size=V), torch.randn(5, D)
    every = (torch.from_numpy(keys).float()[None] - queries[:, None]).square().sum(-1)
    wanted, places = every.topk(6, largest=False)
    distances, found = store.search(queries, 6)
    assert torch.allclose(distances, wanted, atol=1e-5)
    assert torch.equal(found, torch.from_numpy(tokens.astype(np.int64))[places])
    assert store.search(queries, 1000)[0].shape == (5, 50)


def test_scores_are_those_of_the_head(tmp_path: pathlib.Path) -> None:
    """What `log_probs` and `perplexity` say is what the network says within `retrieving`."""
    model, settings = network(), KnnSettings(neighbours=5, weight=0.4)
    store = build(tmp_path / "store", model, DOCUMENTS)
    own, found = log_probs(model, store, [DOCUMENTS[0]], settings)
    with torch.no_grad(), retrieving(model, store, settings):
        told = model.head(model(torch.tensor([DOCUMENTS[0]])).hidden[0, :-1])
    wanted = -told.gather(-1, torch.tensor(DOCUMENTS[0][1:])[:, None]).mean()
    assert perplexity(own, found, 0.4) == pytest.approx(wanted.exp().item(), rel=1e-5)
    assert perplexity(own, found, 0.4) < perplexity(own, found, 0.0)  # these very texts are in it


def test_refusals(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Unsupported, match="left to right"):
        build(tmp_path / "a", XLNet(XLNetConfig(vocabulary_size=V, width=D, layers=1, heads=2)), DOCUMENTS)
    with pytest.raises(DataError, match="two tokens"):
        build(tmp_path / "b", network(), [[1], []])
    with pytest.raises(DataError, match="no datastore"):
        Datastore.open(tmp_path / "b")
    store = build(tmp_path / "c", network(), DOCUMENTS)
    with pytest.raises(DataError, match="another network"):
        store.search(torch.zeros(1, D + 1), 2)
    with pytest.raises(DataError, match=rf"not of the network's vocabulary[\s\S]*id {V}[\s\S]*own tokenizer"):
        build(tmp_path / "d", network(), [[1, 2, V]])  # the last is fed to nothing
    tokens = np.load(tmp_path / "c" / "tokens.npy", mmap_mode="r+")
    tokens[:] = -1
    tokens.flush()
    with pytest.raises(DataError, match=r"id -1[\s\S]*build it again"):
        store.search(torch.zeros(1, D), 2)
    header = tmp_path / "c" / "datastore.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "places": 3}))
    with pytest.raises(DataError, match="not those"):
        Datastore.open(tmp_path / "c")
    header.write_text("[]")
    with pytest.raises(DataError, match=r"no datastore[\s\S]*build it again"):
        Datastore.open(tmp_path / "c")


def test_a_text_that_was_read_is_said_again(tmp_path: pathlib.Path) -> None:
    """With nothing but neighbours a network repeats the one text that it may look at."""
    tokenizer = small.byte_tokenizer()
    model = LocalModel(small.network("llama", tokenizer.vocabulary_size), tokenizer)
    store = build_from_texts(tmp_path / "store", model, ["to be or"], dtype="float32")
    with retrieving(model.network, store, KnnSettings(neighbours=1, weight=1.0)):
        assert model.generate("to b", max_new_tokens=4)[0].text.startswith("e or")


def test_a_prepared_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepared(_: object) -> SimpleNamespace:
        return SimpleNamespace(train=TokenStore.of(DOCUMENTS, vocabulary_size=vocabulary))

    monkeypatch.setattr(module, "open_prepared", prepared)
    vocabulary = V
    assert build_from_prepared(tmp_path / "store", network(), tmp_path).places == 34
    vocabulary = V + 1
    with pytest.raises(DataError, match="another vocabulary"):
        build_from_prepared(tmp_path / "other", network(), tmp_path)
