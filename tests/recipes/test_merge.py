"""Merging through its recipe and verb: the same answers as base and adapter apart, averages by hand, drift told."""

import dataclasses
import json
import pathlib
import shutil

import pytest
import torch
from safetensors.torch import load_file

import trivium
from tests.cli.tiny import write_model
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.combine import CombinationConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.cli import main as cli
from trivium.errors import CheckpointError, ConfigError, Unsupported, UserError
from trivium.lm.trace import trace
from trivium.recipes.merge import MergeConfig, merge

IDS = torch.arange(12).view(2, 6)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return pathlib.Path(write_model(tmp_path_factory.mktemp("base") / "model"))


def adapter(base: pathlib.Path, folder: pathlib.Path, seed: int, rank: int = 2) -> pathlib.Path:
    """A LoRA that says something."""
    network = load_model(base)
    attach(network, "mine", LoRAConfig(rank=rank, targets="all-linear"))
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter_parameters(network, "mine").values():
            parameter.normal_(std=0.2)
    save_adapter(folder, network, "mine", base=str(base))
    return folder


def tuned(base: pathlib.Path, folder: pathlib.Path, seed: int) -> pathlib.Path:
    """The base, each number a little changed."""
    network = load_model(base)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    save_folder(folder, network, tokenizer=trivium.load(base).tokenizer)
    return folder


def test_one_adapter_into_its_model(base: pathlib.Path, tmp_path: pathlib.Path):
    one = adapter(base, tmp_path / "one", 1)
    told = merge(MergeConfig(adapters=(one,), output=tmp_path / "merged"))
    assert told["merged"] == {str(one): 1.0} and told["drift"] is None
    plain, apart = trivium.load(tmp_path / "merged"), trivium.load(base, adapter=one)
    torch.testing.assert_close(plain.logits(IDS), apart.logits(IDS), rtol=0, atol=1e-6)
    assert (plain.logits(IDS) - trivium.load(base).logits(IDS)).abs().max() > 0.01
    assert plain.tokenizer is not None
    said = json.loads((tmp_path / "merged" / "trivium.json").read_text())
    assert said["parent"] == str(base) and said["merged"] == {str(one): 1.0}
    assert trace(tmp_path / "merged").state == "verified"


def test_several_adapters_become_one(base: pathlib.Path, tmp_path: pathlib.Path):
    one, two = adapter(base, tmp_path / "one", 1), adapter(base, tmp_path / "two", 2, rank=3)
    config = MergeConfig(adapters=(one, two), weights=(0.5, -1.0), into="adapter", output=tmp_path / "both")
    assert merge(config)["lost"] == 0
    whole = MergeConfig(adapters=(one, two), weights=(0.5, -1.0), output=tmp_path / "whole")
    merge(whole)
    together = trivium.load(base, adapter=tmp_path / "both").logits(IDS)
    torch.testing.assert_close(trivium.load(tmp_path / "whole").logits(IDS), together, rtol=0, atol=1e-5)


def test_a_quantised_base_tells_its_drift(base: pathlib.Path, tmp_path: pathlib.Path):
    one = adapter(base, tmp_path / "one", 1)
    told = merge(MergeConfig(adapters=(one,), quantised=True, output=tmp_path / "merged"))
    trained = trivium.load(base, adapter=one, quantize="nf4").logits(IDS)
    torch.testing.assert_close(trivium.load(tmp_path / "merged").logits(IDS), trained, rtol=0, atol=1e-5)
    drift = told["drift"]
    assert drift["divergence"] < 1e-7 and drift["agreement"] > 0.99 and drift["tokens"] > 100
    merge(MergeConfig(adapters=(one,), output=tmp_path / "full"))
    assert (trivium.load(tmp_path / "full").logits(IDS) - trained).abs().max() > 1e-3


def test_models_are_averaged(base: pathlib.Path, tmp_path: pathlib.Path):
    one, two = tuned(base, tmp_path / "one", 1), tuned(base, tmp_path / "two", 2)
    merge(MergeConfig(models=(one, two), output=tmp_path / "soup"))
    merge(MergeConfig(models=(one, two), base=base, weights=(1.0, -0.5), output=tmp_path / "vectors"))
    first, second, start, soup, vectors = (
        load_file(folder / "model.safetensors") for folder in (one, two, base, tmp_path / "soup", tmp_path / "vectors")
    )
    for name in start:
        torch.testing.assert_close(soup[name], (first[name] + second[name]) / 2)
        expected = start[name] + (first[name] - start[name]) - 0.5 * (second[name] - start[name])
        torch.testing.assert_close(vectors[name], expected)
    assert trivium.load(tmp_path / "soup").tokenizer is not None
    ties = CombinationConfig(kind="ties", density=0.5)
    merge(MergeConfig(models=(one, two), base=base, combination=ties, output=tmp_path / "ties"))
    assert not torch.equal(load_file(tmp_path / "ties" / "model.safetensors")[name], vectors[name])


def test_what_is_refused(base: pathlib.Path, tmp_path: pathlib.Path):
    one = adapter(base, tmp_path / "one", 1)
    other = pathlib.Path(write_model(tmp_path / "other", context_tokens=64))
    shutil.rmtree(tmp_path / "other")
    for settings, said in (
        ({}, "either adapters or models"),
        ({"adapters": (one,), "models": (base,)}, "either adapters or models"),
        ({"adapters": (one,), "weights": (1.0, 2.0)}, "needs its weight"),
        ({"models": (base,), "into": "adapter"}, "into a model"),
        ({"models": (base,), "combination": CombinationConfig(kind="ties")}, "differences from the model"),
        ({"adapters": (one,), "into": "adapter", "quantised": True}, "nothing of its base"),
    ):
        with pytest.raises(ConfigError, match=said):
            MergeConfig(**settings)
    with pytest.raises(CheckpointError, match="no adapter in this folder"):
        merge(MergeConfig(adapters=(base,), output=tmp_path / "out"))
    with pytest.raises(UserError, match="there is no such folder"):
        merge(MergeConfig(adapters=(other,), output=tmp_path / "out"))
    small = load_model(base)
    save_folder(tmp_path / "deep", type(small)(dataclasses.replace(small.config, layers=2)))
    with pytest.raises(CheckpointError, match="not of one architecture"):
        merge(MergeConfig(models=(base, tmp_path / "deep"), output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_merged_into_no_other_base(base: pathlib.Path, tmp_path: pathlib.Path):
    """By the hash of the weights, in 4 bits too (unsloth-zoo #810, peft #2321), unless it is said that they will do."""
    one, other = adapter(base, tmp_path / "one", 1), tuned(base, tmp_path / "other", 2)
    for quantised in (False, True):
        with pytest.raises(CheckpointError, match=r"made for other weights[\s\S]*--any-base"):
            merge(MergeConfig(adapters=(one,), base=other, quantised=quantised, output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    merge(MergeConfig(adapters=(one,), base=other, any_base=True, output=tmp_path / "out"))
    assert trivium.load(tmp_path / "out").tokenizer is not None


def test_what_weights_cannot_hold_is_named_by_its_folder(base: pathlib.Path, tmp_path: pathlib.Path):
    network = load_model(base)
    attach(network, "mine", PrefixConfig(tokens=2))
    save_adapter(tmp_path / "prefix", network, "mine", base=str(base))
    with pytest.raises(Unsupported, match=r"prefix cannot be merged[\s\S]*received: .*prefix[\s\S]*trivium chat"):
        merge(MergeConfig(adapters=(tmp_path / "prefix",), output=tmp_path / "out"))
    one = adapter(base, tmp_path / "one", 1)
    with pytest.raises(Unsupported, match=r"only plain LoRAs[\s\S]*received: .*prefix: prefix"):
        merge(MergeConfig(adapters=(one, tmp_path / "prefix"), into="adapter", output=tmp_path / "out"))


def test_on_the_command_line(base: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    one = adapter(base, tmp_path / "one", 1)
    assert cli.main(["merge", str(one), "--output", str(tmp_path / "merged"), "--quantised"]) == 0
    said = capsys.readouterr().out
    assert f"1 x {one}" in said and "drift from base and adapter apart" in said and "saved to" in said
    assert cli.main(["merge", str(one), "--output", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["merged"] == {str(one): 1.0}
    assert cli.main(["merge", "--output", str(tmp_path / "none")]) == 2
    assert "either adapters or models" in capsys.readouterr().err
