"""Folders of the peft package, both ways: the same logits from the same files."""

import json
import pathlib

import peft
import pytest
import torch
from torch import nn

from tests.adapters.prompted_peft import TOKENS, logits, ours, theirs
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import CheckpointError, Unsupported


def randomise(parameters: dict[str, nn.Parameter]) -> None:
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.normal_(std=0.3)


LORAS = [
    ("llama", ("q_proj", "v_proj")),
    ("llama", ("k_proj", "o_proj", "up_proj", "down_proj")),
    ("llama", r".*\.1\..*(gate_proj|q_proj)"),
    ("llama", "all-linear"),
    ("gpt2", ("c_attn",)),
    ("gpt2", ("attn.c_proj", "mlp.c_fc")),
    ("gpt2", "all-linear"),
]


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize(("kind", "targets"), LORAS)
def test_lora(kind: str, targets: tuple[str, ...] | str, stabilised: bool, tmp_path: pathlib.Path):
    theirs_config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=3,
        lora_alpha=5,
        use_rslora=stabilised,
        target_modules=targets if isinstance(targets, str) else list(targets),
        fan_in_fan_out=kind == "gpt2",
    )
    published = peft.get_peft_model(theirs(kind), theirs_config).eval()
    randomise({name: p for name, p in published.named_parameters() if p.requires_grad})
    with torch.no_grad():
        expected = published(TOKENS).logits
    published.save_pretrained(tmp_path / "theirs")
    model = ours(kind)
    load_adapter(tmp_path / "theirs", model, "a")
    near = {"rtol": 0, "atol": 1e-4 * expected.abs().max().item()}
    torch.testing.assert_close(logits(model, "a"), expected, **near)

    model = ours(kind)
    own = LoRAConfig(rank=3, alpha=5, rank_stabilised=stabilised, targets=targets)
    attach(model, "b", own)
    randomise(adapter_parameters(model, "b"))
    save_adapter(tmp_path / "ours", model, "b", base="somewhere")
    opened = peft.PeftModel.from_pretrained(theirs(kind), str(tmp_path / "ours")).eval()
    with torch.no_grad():
        torch.testing.assert_close(opened(TOKENS).logits, logits(model, "b"), **near)
    assert opened.peft_config["default"].base_model_name_or_path == "somewhere"
    merged = opened.merge_and_unload()
    with torch.no_grad():
        torch.testing.assert_close(merged(TOKENS).logits, logits(model, "b"), **near)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_prefix(kind: str, tmp_path: pathlib.Path):
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    published = peft.get_peft_model(theirs(kind), config).eval()
    with torch.no_grad():
        expected = published(TOKENS).logits
    published.save_pretrained(tmp_path / "theirs")
    model = ours(kind)
    load_adapter(tmp_path / "theirs", model, "a")
    torch.testing.assert_close(logits(model, "a"), expected, rtol=0, atol=1e-4 * expected.abs().max().item())

    model = ours(kind)
    attach(model, "b", PrefixConfig(tokens=4))
    randomise(adapter_parameters(model, "b"))
    save_adapter(tmp_path / "ours", model, "b")
    opened = peft.PeftModel.from_pretrained(theirs(kind), str(tmp_path / "ours")).eval()
    with torch.no_grad():
        torch.testing.assert_close(opened(TOKENS).logits, logits(model, "b"), rtol=0, atol=1e-4)


def test_what_does_not_fit_is_refused(tmp_path: pathlib.Path):
    model = ours("llama")
    attach(model, "a", LoRAConfig(rank=2))
    save_adapter(tmp_path / "a", model, "a")
    other = ours("gpt2")
    with pytest.raises(ValueError, match=r"matches no linear layer(.|\n)*attn.c_attn"):
        load_adapter(tmp_path / "a", other, "a")
    folder = _plain_copy(tmp_path / "a", tmp_path / "changed", {"r": 3})
    with pytest.raises(CheckpointError, match=r"does not fit(.|\n)*\[2, 16\], the model(.|\n)*\[3, 16\]"):
        load_adapter(folder, ours("llama"), "a")
    folder = _plain_copy(tmp_path / "a", tmp_path / "more", {"target_modules": ["q_proj"]})
    fresh = ours("llama")
    with pytest.raises(CheckpointError, match=r"unexpected: base_model\.model\.model.layers.0.self_attn.v_proj"):
        load_adapter(folder, fresh, "a")
    assert all(parameter.requires_grad for parameter in fresh.parameters()), "nothing was attached"
    for changed in ({"bias": "all"}, {"use_qalora": True}, {"peft_type": "LOHA"}):
        folder = _plain_copy(tmp_path / "a", tmp_path / "-".join(changed), changed)
        with pytest.raises(Unsupported, match="PEFT adapter"):
            load_adapter(folder, ours("llama"), "a")
    folder = _plain_copy(tmp_path / "a", tmp_path / "less", {"r": None})
    with pytest.raises(CheckpointError, match="no r"):
        load_adapter(folder, ours("llama"), "a")
    with pytest.raises(CheckpointError, match="no adapter in this folder"):
        load_adapter(tmp_path, ours("llama"), "a")


def _plain_copy(source: pathlib.Path, target: pathlib.Path, changes: dict[str, object]) -> pathlib.Path:
    """The folder as PEFT would have written it, without a manifest, with other options."""
    target.mkdir()
    config = json.loads((source / "adapter_config.json").read_text()) | changes
    (target / "adapter_config.json").write_text(json.dumps(config))
    (target / "adapter_model.safetensors").write_bytes((source / "adapter_model.safetensors").read_bytes())
    return target
