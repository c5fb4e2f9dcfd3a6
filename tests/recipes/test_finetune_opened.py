"""What a run of an adapter left is opened: on its base and no other, packed or not, merged, from where it moved."""

import pathlib
import shutil

import pytest
import torch

import trivium
from tests.recipes.tuning import said, tuned
from trivium.errors import CheckpointError, Unsupported


def test_what_was_learnt_is_the_same_however_it_is_opened(
    gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
):
    run = tuned(gpt2, pairs, tmp_path, "lora", steps=20)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    own = trivium.load(run.folder)
    assert torch.equal(own.logits(ids), trivium.load(gpt2, adapter=run.folder).logits(ids))
    assert not torch.allclose(own.logits(ids), trivium.load(gpt2).logits(ids), atol=1e-3)
    trivium.save(own, tmp_path / "merged", merge=True)
    torch.testing.assert_close(trivium.load(tmp_path / "merged").logits(ids), own.logits(ids), atol=1e-5, rtol=0)
    assert own.generation == trivium.load(tmp_path / "merged").generation


def test_a_packed_base_is_opened_packed_unless_told_otherwise(
    gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
):
    run = tuned(gpt2, pairs, tmp_path, "qlora")
    assert said(run)["quantize"] == "nf4"
    ids = torch.tensor([[5, 6, 7]])
    packed, whole = (trivium.load(run.folder, quantize=how) for how in (None, "none"))
    assert torch.equal(packed.logits(ids), trivium.load(gpt2, adapter=run.folder, quantize="nf4").logits(ids))
    assert not torch.equal(packed.logits(ids), whole.logits(ids))
    with pytest.raises(Unsupported, match='quantize="none"'):
        trivium.save(packed, tmp_path / "merged", merge=True)
    trivium.save(whole, tmp_path / "merged", merge=True)


def test_another_base_is_refused(gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path):
    """By its weights: where it lies does not matter, unless it is said that other weights will do."""
    run = tuned(gpt2, pairs, tmp_path / "runs", "lora")
    other = trivium.load(gpt2)
    with torch.no_grad():
        other.network.embedding.weight += 1
    trivium.save(other, tmp_path / "other")
    with pytest.raises(CheckpointError, match="made for other weights"):
        trivium.load(tmp_path / "other", adapter=run.folder)
    assert trivium.load(tmp_path / "other", adapter=run.folder, any_base=True).generate("a", max_new_tokens=1)
    shutil.copytree(gpt2, tmp_path / "copy")
    assert trivium.load(tmp_path / "copy", adapter=run.folder).generate("a", max_new_tokens=1)


def test_a_base_that_is_not_there_is_told_and_one_that_moved_along_is_found(
    gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "here").mkdir()
    shutil.copytree(gpt2, tmp_path / "here" / "model")
    monkeypatch.chdir(tmp_path / "here")
    run = tuned(pathlib.Path("model"), pairs, pathlib.Path("runs"), "lora")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / run.folder
    assert trivium.load(moved).generate("a", max_new_tokens=1)
    shutil.rmtree(tmp_path / "there" / "model")
    with pytest.raises(CheckpointError, match=r"is not here[\s\S]*--model BASE --adapter"):
        trivium.load(moved)
    assert trivium.load(gpt2, adapter=moved).generate("a", max_new_tokens=1)
