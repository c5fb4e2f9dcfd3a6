"""The chain from an adapter back to its texts: every step checked by its hash, every alteration found."""

import json
import pathlib
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import trivium
from tests.data.prepared_folder import write_prepared
from tests.lm.small import network
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.model_folder import save_folder
from trivium.checkpoints.provenance import parent_facts, weights_sha256
from trivium.data.forget import forget
from trivium.data.prepared import Prepared
from trivium.data.provenance import data_facts, file_sha256
from trivium.errors import CheckpointError, StorageError
from trivium.lm.trace import Chain, trace


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """data -> runs/base -> runs/tuned (on pairs.jsonl) -> style (LoRA): paths as a user in this folder would give."""
    monkeypatch.chdir(tmp_path)
    prepared = write_prepared(pathlib.Path("data"))
    checkpoint(pathlib.Path("runs/base"), prepared, {"objective": "causal", **data_facts(prepared)}, 0.0)
    pathlib.Path("pairs.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    told = parent_facts(pathlib.Path("runs/base/checkpoints/best"), named="runs/base")
    told |= {"data": "pairs.jsonl", "data_fingerprint": file_sha256(pathlib.Path("pairs.jsonl"))}
    checkpoint(pathlib.Path("runs/tuned"), prepared, told, 0.5)
    model = trivium.load("runs/tuned")
    attach(model.network, "style", LoRAConfig(rank=2, targets=("q_proj",)))
    save_adapter("style", model.network, "style", base="runs/tuned/checkpoints/best")
    return tmp_path


def checkpoint(run: pathlib.Path, prepared: Prepared, metadata: dict[str, Any], shift: float) -> None:
    model = network("llama", prepared.tokenizer.vocabulary_size).float()
    model.embedding.weight.data += shift
    save_folder(run / "checkpoints" / "step-00000010", model, tokenizer=prepared.tokenizer, metadata=metadata)
    (run / "checkpoints" / "best").symlink_to("step-00000010")


def states(chain: Chain) -> dict[str, str]:
    return {f"{link.kind} {link.path}": link.state for link in chain.links if link.state != "verified"}


def test_the_whole_chain_is_verified(place: pathlib.Path) -> None:
    chain = trace("style")
    kinds = [link.kind for link in chain.links if link.kind != "tokenizer"]
    assert kinds == ["corpus", "base", "corpus", "tuned", "adapter"]
    assert chain.state == "verified", states(chain)
    assert all(link.found for link in chain.links)
    assert all(link.recorded == link.found for link in chain.links)
    assert chain.root.kind == "adapter"
    base = next(link for link in chain.links if link.kind == "base")
    assert base.path == "runs/base"
    assert base.recorded == file_sha256(place / "runs/base/checkpoints/best/model.safetensors")
    corpus = next(link for link in base.made_from if link.kind == "corpus")
    assert corpus.details == ("notes: CC0-1.0, abababababab, 15 documents",)


@pytest.mark.parametrize("folder", ["runs/tuned", "runs/tuned/checkpoints/best", "runs/base", "data"])
def test_any_folder_of_it_may_be_asked(place: pathlib.Path, folder: str) -> None:
    assert trace(folder).state == "verified"
    assert trace(place / folder).state == "verified"


def test_from_another_folder_the_paths_are_still_found(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert trace("../style").state == "verified"
    (place / "moved").mkdir()
    for name in ("data", "runs", "style", "pairs.jsonl"):
        (place / name).rename(place / "moved" / name)
    assert trace(place / "moved" / "style").state == "verified"


def alter_weights(folder: pathlib.Path, *, tell: bool) -> None:
    """Changes a weight; with ``tell`` the manifest as well, as someone would who wants it not to be seen."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, path)
    if tell:
        (folder / "manifest.json").unlink()


def alter_text(path: pathlib.Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_every_alteration_is_found(place: pathlib.Path) -> None:
    base = pathlib.Path("runs/base/checkpoints/step-00000010")
    cases = [
        (lambda: alter_weights(base, tell=False), "base runs/base"),
        (lambda: alter_weights(base, tell=True), "base runs/base"),
        (lambda: alter_text(base / "tokenizer.json", "<|pad|>", "<|pod|>"), f"tokenizer {base}/tokenizer.json"),
        (lambda: alter_text(base / "trivium.json", '"causal"', '"masked"'), "base runs/base"),
        (lambda: alter_text(pathlib.Path("pairs.jsonl"), "b", "c"), "corpus pairs.jsonl"),
        (lambda: alter_text(pathlib.Path("data/tokenizer.json"), "<|pad|>", "<|pod|>"), "corpus data"),
        (lambda: (place / "data/train/tokens-00000.bin").write_bytes(b"\0\0"), "corpus data"),
        (lambda: forget(pathlib.Path("data"), "3.txt", ()), "corpus data"),
    ]
    kept = {path: path.read_bytes() for path in place.rglob("*") if path.is_file() and not path.is_symlink()}
    for alter, where in cases:
        alter()
        chain = trace("style")
        found = states(chain)
        assert chain.state == "altered"
        assert where in {name.replace("checkpoints/best", "checkpoints/step-00000010") for name in found}
        for path, content in kept.items():
            path.write_bytes(content)
        assert trace("style").state == "verified"


def test_data_that_forgot_says_so(place: pathlib.Path) -> None:
    forget(pathlib.Path("data"), "3.txt", ())
    corpus = next(link for link in trace("runs/base").links if link.kind == "corpus")
    assert corpus.note == "1 document has been forgotten since: what was trained on it saw it"


def test_what_is_not_on_this_machine_is_told(place: pathlib.Path) -> None:
    pathlib.Path("pairs.jsonl").unlink()
    pathlib.Path("data").rename("moved")
    chain = trace("runs/tuned")
    assert chain.state == "not found"
    assert states(chain) == {"corpus pairs.jsonl": "not found", "corpus data": "not found"}
    alter_text(pathlib.Path("style/adapter_config.json"), "runs/tuned/checkpoints/best", "some/model")
    alter_text(pathlib.Path("style/trivium.json"), "runs/tuned/checkpoints/best", "some/model")
    (pathlib.Path("style") / "manifest.json").unlink()
    base = trace("style").links[0]
    assert (base.path, base.state) == ("some/model", "not found")


def test_a_circle_is_refused(place: pathlib.Path) -> None:
    told = pathlib.Path("runs/base/checkpoints/step-00000010/trivium.json")
    facts = json.loads(told.read_text())
    told.write_text(json.dumps({**facts, "parent": "runs/tuned"}))
    with pytest.raises(CheckpointError, match="leads back to itself"):
        trace("runs/tuned")


def test_an_earlier_step_that_cannot_be_read_is_altered(place: pathlib.Path) -> None:
    pathlib.Path("runs/base/checkpoints/step-00000010/trivium.json").write_text("{")
    assert states(trace("style")) == {"base runs/base": "altered"}
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        trace("runs/base")


def test_what_is_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        trace(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="nothing to trace"):
        trace(tmp_path / "empty")


def test_folders_of_others_have_a_base_without_a_hash(place: pathlib.Path) -> None:
    """PEFT writes no trivium.json: the base is found and hashed, and there is nothing to compare it with."""
    for name in ("trivium.json", "manifest.json"):
        (place / "style" / name).unlink()
    chain = trace("style")
    tuned = next(link for link in chain.links if link.kind == "tuned")
    assert chain.state == "verified"
    assert tuned.found == weights_sha256(place / "runs/tuned/checkpoints/best", read=True)
    assert torch.is_tensor(next(iter(load_file(place / "style/adapter_model.safetensors").values())))
