"""LLaMA-Adapter: the paper's equations, and PEFT's ADAPTION_PROMPT both ways."""

import json
import pathlib

import peft
import pytest
import torch
import transformers
from torch import Tensor, nn

from tests.adapters.peft_models import TOKENS, mirrored
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.holder import base_modules, holders
from trivium.adapters.llama_adapter import GatedPrompt, LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate, route
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import CheckpointError, Unsupported
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.qwen3 import Qwen3, Qwen3Config

_SIZES = {
    "vocab_size": 29,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
}


def theirs(kind: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=29, n_embd=16, n_layer=3, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0
        )
        return transformers.GPT2LMHeadModel(config).eval()
    if kind == "mistral":
        config = transformers.MistralConfig(**_SIZES, sliding_window=4, attn_implementation="eager")
        return transformers.MistralForCausalLM(config).eval()
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SIZES)).eval()


def ours(kind: str) -> nn.Module:
    return mirrored(theirs(kind))


def randomise(parameters: dict[str, nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


def published(kind: str, layers: int) -> peft.PeftModel:
    config = peft.AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=layers)
    model = peft.get_peft_model(theirs(kind), config).eval()
    randomise({name: p for name, p in model.named_parameters() if p.requires_grad})
    return model


def logits(model: nn.Module) -> Tensor:
    return model.head(model(TOKENS).hidden)


@pytest.mark.parametrize("layers", [3, 2])
@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2"])
def test_folders_of_peft(kind: str, layers: int, tmp_path: pathlib.Path):
    """The same logits from the same files, either way."""
    source = published(kind, layers)
    source.save_pretrained(tmp_path / "theirs")
    model = ours(kind)
    load_adapter(tmp_path / "theirs", model, "a")
    with torch.no_grad():
        expected, bare = source(TOKENS).logits, logits(ours(kind))
        near = {"rtol": 0, "atol": 1e-5 * expected.abs().max().item()}
        torch.testing.assert_close(logits(model), expected, **near)
        assert (expected - bare).abs().max() > 0.01

    model = ours(kind)
    attach(model, "b", LlamaAdapterConfig(tokens=3, layers=layers, projected=kind != "gpt2"))
    assert torch.equal(logits(model), bare), "the gate is closed"
    randomise(adapter_parameters(model, "b"))
    save_adapter(tmp_path / "ours", model, "b", base="somewhere")
    opened = peft.PeftModel.from_pretrained(theirs(kind), str(tmp_path / "ours")).eval()
    with torch.no_grad():
        torch.testing.assert_close(logits(model), opened(TOKENS).logits, **near)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_one_step_of_an_optimiser(kind: str, optimiser: type[torch.optim.Optimizer], tmp_path: pathlib.Path):
    source = published(kind, 2)
    source.save_pretrained(tmp_path / "before")
    model = ours(kind)
    load_adapter(tmp_path / "before", model, "a")
    steps = [
        (source, lambda: source(TOKENS).logits, [p for p in source.parameters() if p.requires_grad]),
        (model, lambda: logits(model), list(adapter_parameters(model, "a").values())),
    ]
    for _, said, parameters in steps:
        stepper = optimiser(parameters, lr=0.1)
        nn.functional.cross_entropy(said()[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()).backward()
        stepper.step()
    moved = {name: p for name, p in source.named_parameters() if p.requires_grad}
    source.save_pretrained(tmp_path / "after")
    wanted = ours(kind)
    load_adapter(tmp_path / "after", wanted, "a")
    before = ours(kind)
    load_adapter(tmp_path / "before", before, "a")
    assert moved
    for (name, ours_now), (_, theirs_now), (_, then) in zip(
        adapter_parameters(model, "a").items(),
        adapter_parameters(wanted, "a").items(),
        adapter_parameters(before, "a").items(),
        strict=True,
    ):
        torch.testing.assert_close(ours_now, theirs_now, rtol=0, atol=1e-5, msg=name)
        assert not torch.equal(ours_now, then), name


def test_the_equations():
    """Of one layer with grouped queries, written out head by head (eq. 6-9)."""
    torch.manual_seed(1)
    sizes = {"vocabulary_size": 29, "width": 16, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 24}
    model = Llama(LlamaConfig(**sizes)).double().eval()
    attach(model, "a", LlamaAdapterConfig(tokens=3, layers=1))
    randomise(adapter_parameters(model, "a"))
    (layer,) = (holder for _, holder in holders(model, "a"))
    attention, update = base_modules(model)["blocks.1.attention"], layer.prompt("a")
    assert isinstance(update, GatedPrompt)
    calls: list[tuple[tuple[Tensor, ...], Tensor]] = []
    layer.register_forward_hook(lambda module, given, output: calls.append((given, output)))
    model(TOKENS)
    ((x, layout, rotation, *rest), output) = calls[0]
    plain, queries = attention(x, layout, rotation, *rest), attention.project(x, rotation)[0]
    weight = attention.qkv.weight
    gathered = []
    for head in range(4):
        group = head // 2
        keys = update.prompt @ weight[16 + 4 * group : 20 + 4 * group].T
        values = update.prompt @ weight[24 + 4 * group : 28 + 4 * group].T
        gathered.append(update.gate * torch.softmax(queries[:, head] @ keys.T / 2.0, dim=-1) @ values)
    expected = plain + torch.cat(gathered, dim=-1) @ attention.output.weight.T
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-10)


def test_the_prompt_reads_the_base_beside_a_lora():
    """Rows with a LoRA on q, k and v stand beside it: the prompt's keys and values are the base's all the same."""
    torch.manual_seed(1)
    sizes = {"vocabulary_size": 29, "width": 16, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 24}
    model = Llama(LlamaConfig(**sizes)).double().eval()
    attach(model, "a", LlamaAdapterConfig(tokens=3))
    randomise(adapter_parameters(model, "a"))
    alone = model(TOKENS).hidden
    attach(model, "lora", LoRAConfig(rank=2, targets=("q_proj", "k_proj", "v_proj")))
    randomise(adapter_parameters(model, "lora"))
    with route(model, ["lora", "a"]):
        mixed = model(TOKENS).hidden
    torch.testing.assert_close(mixed[1], alone[1], rtol=0, atol=1e-10)
    activate(model, "a")
    assert torch.equal(model(TOKENS).hidden, alone)


def test_what_peft_does_not_compute_has_a_format_of_its_own(tmp_path: pathlib.Path):
    torch.manual_seed(0)
    sizes = {"vocabulary_size": 29, "width": 16, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 24}
    models = {
        "another family": (Qwen3(Qwen3Config(**sizes)), True),
        "a bias": (Llama(LlamaConfig(**sizes, attention_bias=True)), True),
        "not projected": (Llama(LlamaConfig(**sizes)), False),
    }
    for label, (model, projected) in models.items():
        attach(model, "a", LlamaAdapterConfig(tokens=3, projected=projected))
        save_adapter(tmp_path / label, model, "a")
        options = json.loads((tmp_path / label / "adapter_config.json").read_text())
        assert options["peft_type"] == "TRIVIUM_LLAMA_ADAPTER", label
        load_adapter(tmp_path / label, model, "again")
    with pytest.raises((KeyError, ValueError), match="TRIVIUM_LLAMA_ADAPTER"):
        peft.PeftModel.from_pretrained(theirs("llama"), str(tmp_path / "a bias"))


def test_what_does_not_fit_is_refused(tmp_path: pathlib.Path):
    published("llama", 2).save_pretrained(tmp_path / "theirs")
    with pytest.raises(CheckpointError, match=r"does not fit(.|\n)*transformer\.h\.2\.attn\.adaption_prompt"):
        load_adapter(tmp_path / "theirs", _with_target(tmp_path / "theirs", ours("gpt2"), "attn"), "a")
    _with_target(tmp_path / "theirs", nn.Identity(), "self_attn.q_proj")
    with pytest.raises(Unsupported, match=r"target_modules: self_attn\.q_proj"):
        load_adapter(tmp_path / "theirs", ours("llama"), "a")
    sizes = {"vocabulary_size": 29, "width": 16, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 24}
    with pytest.raises(Unsupported, match="ADAPTION_PROMPT on qwen3"):
        load_adapter(tmp_path / "theirs", Qwen3(Qwen3Config(**sizes)), "a")


def _with_target(folder: pathlib.Path, model: nn.Module, target: str) -> nn.Module:
    """``model``, once the folder names another target."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": target}))
    return model
