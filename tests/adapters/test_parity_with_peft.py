"""LoRA in all its forms, DoRA and (IA)3 against the peft package: folders both ways, outputs, merges, and one step."""

import pathlib
from typing import Any

import peft
import pytest
import torch

from tests.adapters.beside_peft import followed, near, step
from tests.adapters.peft_models import ours, own_logits, published_logits, theirs
from trivium.adapters.attach import adapter_parameters, attach, merge
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.peft import from_peft, to_peft
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import CheckpointError, Unsupported
from trivium.models.llama import Llama, LlamaConfig

STACKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
CASES: dict[str, tuple[str, peft.PeftConfig]] = {
    "lora": ("llama", peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"])),
    "rslora of all": ("llama", peft.LoraConfig(r=3, use_rslora=True, target_modules="all-linear")),
    "dora": ("llama", peft.LoraConfig(r=2, use_dora=True, target_modules=["k_proj", "up_proj", "o_proj"])),
    "dora transposed": ("gpt2", peft.LoraConfig(r=2, use_dora=True, target_modules=["c_attn"], fan_in_fan_out=True)),
    "embeddings": ("llama", peft.LoraConfig(r=2, lora_alpha=6, target_modules=["embed_tokens", "q_proj"])),
    "tied embeddings": ("gpt2", peft.LoraConfig(r=2, target_modules=["wte"], fan_in_fan_out=True)),
    "head": ("llama", peft.LoraConfig(r=2, target_modules=["lm_head", "down_proj"])),
    "patterns": (
        "llama",
        peft.LoraConfig(
            r=2,
            target_modules=["q_proj", "k_proj", "down_proj"],
            exclude_modules=["k_proj"],
            layers_to_transform=[1],
            layers_pattern="layers",
            rank_pattern={"q_proj": 4},
            alpha_pattern={"layers.1.mlp.down_proj": 7},
        ),
    ),
    "bias": ("gpt2", peft.LoraConfig(r=2, lora_bias=True, target_modules=["c_attn"], fan_in_fan_out=True)),
    "one matrix for several": ("phi3", peft.LoraConfig(r=2, target_modules=["qkv_proj", "gate_up_proj"])),
    "interleaved heads": ("gpt_neox", peft.LoraConfig(r=2, target_modules=["query_key_value", "dense"])),
    "encoder": ("bert", peft.LoraConfig(r=2, target_modules=["query", "value", "output.dense"])),
    "encoder-decoder": ("t5", peft.LoraConfig(r=2, target_modules=["q", "v", "wo"])),
    "encoder-decoder with biases": ("bart", peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "fc1"])),
    "experts": ("mixtral", peft.LoraConfig(r=2, target_modules=["q_proj"], target_parameters=STACKS)),
    "one matrix of experts": ("qwen3_moe", peft.LoraConfig(r=2, target_modules=[], target_parameters=STACKS[1:])),
    "transposed experts": (
        "gpt_oss",
        peft.LoraConfig(r=2, target_modules=["v_proj"], target_parameters=STACKS, rank_pattern={STACKS[0]: 3}),
    ),
    "ia3": (
        "llama",
        peft.IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    ),
    "ia3 transposed": (
        "gpt2",
        peft.IA3Config(
            target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"], fan_in_fan_out=True
        ),
    ),
    "ia3 with a trained head": (
        "llama",
        peft.IA3Config(
            target_modules=["k_proj", "down_proj"],
            feedforward_modules=["down_proj"],
            modules_to_save=["lm_head", "norm"],
        ),
    ),
    "ia3 encoder-decoder": ("t5", peft.IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])),
}


@pytest.mark.filterwarnings("ignore")  # of peft, about tied embeddings and the like
@pytest.mark.parametrize("label", CASES, ids=lambda label: label.replace(" ", "-"))
def test_folders_outputs_steps_and_merges(label: str, tmp_path: pathlib.Path) -> None:
    kind, config = CASES[label]
    model, said, opened = followed(kind, config, tmp_path)
    if label == "tied embeddings":
        with pytest.raises(Unsupported, match="cannot be merged"):
            merge(model, "a")
        return
    merge(model, "a")
    with torch.no_grad():
        near(own_logits(model, kind), said)
        near(published_logits(opened.merge_and_unload(), kind), said)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stabilised", [False, True])
def test_pissa(stabilised: bool, tmp_path: pathlib.Path) -> None:
    """PEFT changes the base, we do not: the same function after a step, and our folder is a LoRA for the first base."""
    targets = ["k_proj", "down_proj"]
    config = peft.LoraConfig(
        r=3, lora_alpha=4, use_rslora=stabilised, init_lora_weights="pissa", target_modules=targets
    )
    published = peft.get_peft_model(theirs("llama").float(), config).double().eval()  # PEFT has no PiSSA in fp64
    model = ours("llama", tmp_path / "base")
    bare = own_logits(model, "llama").detach()
    settings = LoRAConfig(rank=3, alpha=4, rank_stabilised=stabilised, start="pissa", targets=tuple(targets))
    attach(model, "a", settings)
    own = adapter_parameters(model, "a")
    trained = [p for p in published.parameters() if p.requires_grad]
    assert sum(p.numel() for p in own.values()) == sum(p.numel() for p in trained)
    near(own_logits(model, "llama"), bare)
    for _ in range(2):
        expected, found = published_logits(published, "llama"), own_logits(model, "llama")
        near(found, expected)
        step(expected, trained, torch.optim.SGD, 100.0)
        step(found, list(own.values()), torch.optim.SGD, 100.0)
    assert (own_logits(model, "llama") - bare).abs().max() > 1e-3
    save_adapter(tmp_path / "ours", model, "a")
    opened = peft.PeftModel.from_pretrained(theirs("llama"), str(tmp_path / "ours")).eval()
    near(published_logits(opened, "llama"), own_logits(model, "llama"))
    published.save_pretrained(str(tmp_path / "unconverted"))
    with pytest.raises(Unsupported, match="init_lora_weights: pissa"):
        load_adapter(tmp_path / "unconverted", ours("llama", tmp_path / "base"), "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": "all"}, "bias: all"),
        ({"init_lora_weights": "olora"}, "init_lora_weights: olora"),
        ({"layers_pattern": "blocks"}, "layers_pattern: blocks"),
        ({"target_modules": None}, "target_modules: none"),
        ({"use_qalora": True}, "use_qalora"),
    ],
)
def test_what_would_change_the_result_is_refused(changes: dict[str, Any], message: str) -> None:
    model = Llama(LlamaConfig(vocabulary_size=29, width=16, layers=2, heads=4, inner_width=24))
    attach(model, "a", LoRAConfig(rank=2))
    options, tensors = to_peft(model, "a")
    with pytest.raises(Unsupported, match=message):
        from_peft(model, "b", options | changes, tensors)
    with pytest.raises(CheckpointError, match=r"missing: .*lora_magnitude_vector"):
        from_peft(model, "b", options | {"use_dora": True}, tensors)
