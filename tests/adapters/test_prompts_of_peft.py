"""PROMPT_TUNING, P_TUNING and PREFIX_TUNING of the peft package: folders both ways, and one step of training."""

import json
import pathlib
from collections.abc import Mapping

import peft
import pytest
import torch
from torch import Tensor, nn

from tests.adapters.prompted_peft import (
    KINDS,
    greedy,
    logits,
    loss,
    ours,
    published_greedy,
    published_logits,
    theirs,
)
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.methods import AdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import CheckpointError, Unsupported

CAUSAL = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 3}
PAIRS: dict[str, tuple[peft.PeftConfig, AdapterConfig]] = {
    "prompt": (peft.PromptTuningConfig(**CAUSAL), SoftPromptConfig(tokens=3)),
    "lstm": (
        peft.PromptEncoderConfig(**CAUSAL, encoder_reparameterization_type="LSTM", encoder_hidden_size=6),
        PTuningConfig(tokens=3, hidden_width=6),
    ),
    "mlp": (peft.PromptEncoderConfig(**CAUSAL), PTuningConfig(tokens=3, encoder="mlp")),
    "prefix": (peft.PrefixTuningConfig(**CAUSAL), PrefixConfig(tokens=3)),
    "projected": (
        peft.PrefixTuningConfig(**CAUSAL, prefix_projection=True, encoder_hidden_size=5),
        PrefixConfig(tokens=3, projection=True, projection_width=5),
    ),
}
NAMES = {"lstm_head": "encoder.lstm", "mlp_head": "encoder.mlp", "transform": "projection"}
"""What PEFT calls the parts of a prompt, and what we call them."""


def near(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1.0, b.abs().max().item()))


def wrapped(kind: str, config: peft.PeftConfig) -> peft.PeftModel:
    """A fresh copy of the configuration, which PEFT fills in."""
    return peft.get_peft_model(theirs(kind), type(config)(**config.to_dict())).eval()


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *(("llama", method) for method in PAIRS),
        *((kind, method) for kind in KINDS[1:] for method in ("prompt", "prefix")),
    ],
)
def test_folders_both_ways(kind: str, method: str, tmp_path: pathlib.Path) -> None:
    """Logits to 1e-5, and the same greedy ids."""
    their_config, our_config = PAIRS[method]
    published = wrapped(kind, their_config)
    with torch.no_grad():
        expected = published_logits(published)
    published.save_pretrained(tmp_path / "theirs")
    model = ours(kind)
    load_adapter(tmp_path / "theirs", model, "a")
    near(logits(model, "a"), expected)
    assert greedy(model, "a", 6) == published_greedy(published, 6)

    model = ours(kind)
    attach(model, "b", our_config)
    with torch.no_grad():
        for parameter in adapter_parameters(model, "b").values():
            parameter.normal_(std=0.3)
    save_adapter(tmp_path / "ours", model, "b", base="somewhere")
    opened = peft.PeftModel.from_pretrained(theirs(kind), str(tmp_path / "ours")).eval()
    with torch.no_grad():
        near(published_logits(opened), logits(model, "b"))
    assert published_greedy(opened, 6) == greedy(model, "b", 6)
    again = ours(kind)
    load_adapter(tmp_path / "ours", again, "c")
    assert torch.equal(logits(again, "c"), logits(model, "b"))


def given(model: nn.Module, name: str, published: Mapping[str, Tensor]) -> None:
    """Puts PEFT's trained tensors, embeddings and encoders alike, into our prompt."""
    renamed = {}
    for key, tensor in published.items():
        part, _, rest = key.partition(".")
        renamed["embeddings" if part == "embedding" else f"{NAMES[part]}.{rest}"] = tensor
    if any(key.startswith("encoder.mlp") for key in renamed) and not any("lstm" in key for key in renamed):
        renamed = {key.replace("encoder.mlp", "encoder"): tensor for key, tensor in renamed.items()}
    adapters_of(model).prompts[name].load_state_dict(renamed)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("method", PAIRS)
def test_one_step(method: str, optimiser: type[torch.optim.Optimizer]) -> None:
    their_config, our_config = PAIRS[method]
    published, model = wrapped("llama", their_config), ours("llama")
    attach(model, "mine", our_config)
    given(model, "mine", published.prompt_encoder["default"].state_dict())
    for network, said in ((published, published_logits), (model, lambda model: logits(model, "mine"))):
        step = optimiser([p for p in network.parameters() if p.requires_grad], lr=0.1)
        loss(said(network)).backward()
        step.step()
    expected = ours("llama")
    attach(expected, "mine", our_config)
    given(expected, "mine", published.prompt_encoder["default"].state_dict())
    theirs_after = adapter_parameters(expected, "mine")
    for name, parameter in adapter_parameters(model, "mine").items():
        torch.testing.assert_close(parameter, theirs_after[name], rtol=1e-4, atol=1e-5, msg=name)


def test_what_does_not_fit_is_refused(tmp_path: pathlib.Path) -> None:
    for name, config in (("prompt", SoftPromptConfig(tokens=3)), ("prefix", PrefixConfig(tokens=3))):
        model = ours("llama")
        attach(model, name, config)
        save_adapter(tmp_path / name, model, name)
    for number, (name, changes, error, message) in enumerate(
        (
            ("prompt", {"num_virtual_tokens": 4}, CheckpointError, r"\[3, 16\], the model(.|\n)*\[4, 16\]"),
            ("prompt", {"num_virtual_tokens": 0}, CheckpointError, "no num_virtual_tokens"),
            ("prompt", {"num_transformer_submodules": 2}, Unsupported, "num_transformer_submodules: 2"),
            ("prompt", {"modules_to_save": ["lm_head"]}, Unsupported, "modules_to_save"),
            ("prompt", {"peft_type": "PREFIX_TUNING"}, Unsupported, "prompt_tuning_init"),
            ("prefix", {"num_attention_heads": 4}, Unsupported, "num_attention_heads: 4"),
            ("prefix", {"num_layers": 3}, Unsupported, "num_layers: 3"),
        )
    ):
        folder = _changed(tmp_path / name, tmp_path / f"changed{number}", changes)
        fresh = ours("llama")
        with pytest.raises(error, match=message):
            load_adapter(folder, fresh, "a")
        assert all(parameter.requires_grad for parameter in fresh.parameters()), "nothing was attached"


def _changed(source: pathlib.Path, target: pathlib.Path, changes: dict[str, object]) -> pathlib.Path:
    """The folder as PEFT would have written it, without a manifest, with other options."""
    target.mkdir()
    config = json.loads((source / "adapter_config.json").read_text()) | changes
    (target / "adapter_config.json").write_text(json.dumps(config))
    (target / "adapter_model.safetensors").write_bytes((source / "adapter_model.safetensors").read_bytes())
    return target
