"""Copies of whole modules beside a LoRA against the peft package's ``modules_to_save``, and what is refused."""

import pathlib

import peft
import pytest
import torch
import torch.nn.functional as F
import transformers

from tests.adapters.beside_peft import followed, near
from tests.adapters.peft_models import own_logits, randomise
from trivium.adapters.attach import adapter_parameters, attach, detach, merge, unmerge
from trivium.adapters.counting import numbers_in
from trivium.adapters.extended import ExtendedLoRAConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.peft import from_peft, to_peft
from trivium.adapters.routing import activate, route
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.checkpoints.model_folder import load_model
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.head import CHUNK_ROWS

CASES = {
    "embedding and head": ("llama", ["embed_tokens", "lm_head"]),
    "norms": ("llama", ["lm_head", "input_layernorm"]),
    "head of a tied model": ("gpt2", ["lm_head"]),
    "embedding of a tied model": ("gpt2", ["wte"]),
    "both of a tied model": ("gpt2", ["lm_head", "wte", "ln_f"]),
    "transposed layers": ("gpt2", ["mlp.c_proj"]),
}
TARGETS = {"llama": ["q_proj"], "gpt2": ["c_attn"]}


def small(*, tied: bool = False) -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(vocabulary_size=29, width=16, layers=2, heads=4, inner_width=24, tied=tied)
    return Llama(config).double().eval()


@pytest.mark.filterwarnings("ignore")  # of peft, about tied embeddings and the like
@pytest.mark.parametrize("label", CASES, ids=lambda label: label.replace(" ", "-"))
def test_folders_outputs_steps_and_merges(label: str, tmp_path: pathlib.Path) -> None:
    kind, modules = CASES[label]
    config = peft.LoraConfig(r=2, target_modules=TARGETS[kind], modules_to_save=modules, fan_in_fan_out=kind == "gpt2")
    model, said, _ = followed(kind, config, tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        if label.endswith("of a tied model"):
            with pytest.raises(Unsupported, match="cannot be merged"):
                merge(model, "a")
        else:
            merge(model, "a")
            near(own_logits(model, kind), said)
            unmerge(model)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert torch.equal(own_logits(model, kind), said)


@pytest.mark.filterwarnings("ignore")
def test_a_classifier_that_peft_trained(tmp_path: pathlib.Path) -> None:
    """PEFT names every usual head; the model has one of them."""
    torch.manual_seed(0)
    fields = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    base = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=29, num_labels=3, **fields))
    base = base.double().eval()
    base.save_pretrained(tmp_path / "base")
    model = load_model(tmp_path / "base", dtype=torch.float64).eval()
    published = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"]))
    published = published.double().eval()
    randomise({name: p for name, p in published.named_parameters() if p.requires_grad})
    published.save_pretrained(str(tmp_path / "theirs"))
    load_adapter(tmp_path / "theirs", model, "a")
    tokens = torch.arange(14).view(2, 7) % 11
    expected = published(input_ids=tokens).logits
    near(model.classify(model(tokens).hidden), expected)
    attach(model, "b", LoRAConfig(rank=2, targets=("query",)))
    with torch.no_grad(), route(model, ["b", "a"]):
        mixed = model.classify(model(tokens).hidden)
    near(mixed[1], expected[1])
    save_adapter(tmp_path / "ours", model, "a")
    fresh = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "base").double()
    near(peft.PeftModel.from_pretrained(fresh, str(tmp_path / "ours")).eval()(input_ids=tokens).logits, expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("modules", [["lm_head"], ["lm_head", "wte"]])
def test_copies_that_stay_tied(modules: list[str], tmp_path: pathlib.Path) -> None:
    """``ensure_weight_tying``: one table, trained once, in both places, also once it is merged."""
    settings = {"target_modules": ["c_attn"], "fan_in_fan_out": True, "ensure_weight_tying": True}
    config = peft.LoraConfig(r=2, modules_to_save=modules, **settings)
    model, said, _ = followed("gpt2", config, tmp_path)
    assert sum(p.numel() for p in adapter_parameters(model, "a").values()) == 29 * 16 + 2 * 2 * (16 + 48)
    merge(model, "a")
    assert model.head.base.weight is model.embedding.base.weight
    with torch.no_grad():
        near(own_logits(model, "gpt2"), said)
    detach(model)
    with torch.no_grad():
        near(own_logits(model, "gpt2"), said)
    assert model.head.weight is model.embedding.weight


def test_each_adapter_has_its_own_copy() -> None:
    model = small()
    numbers = numbers_in(model)
    for name in ("a", "b"):
        attach(model, name, TrainedCopyConfig(modules=("lm_head",)))
    assert numbers_in(model) == numbers + 2 * 29 * 16
    a, b = (next(iter(adapter_parameters(model, name).values())) for name in ("a", "b"))
    assert torch.equal(a, b)
    assert a.data_ptr() != b.data_ptr()
    hidden, targets = torch.randn(2, CHUNK_ROWS, 16, dtype=torch.float64), torch.zeros(2, CHUNK_ROWS, dtype=torch.long)
    activate(model, "b")
    loss = model.head.nll_sum(hidden, targets)
    loss.backward()
    assert a.grad is None
    expected = F.cross_entropy((hidden @ b.T).flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(b.grad, torch.autograd.grad(expected, b)[0])
    with route(model, ["a", "b"]):
        assert model.head.log_prob(hidden, targets).shape == targets.shape
        with pytest.raises(Unsupported, match=r"one loss of rows(.|\n)*a, b"):
            model.head.nll_sum(hidden, targets)


def test_what_is_refused() -> None:
    model = small(tied=True)
    with pytest.raises(ConfigError, match="at least one module"):
        TrainedCopyConfig(modules=())
    attach(model, "a", ExtendedLoRAConfig(update=LoRAConfig(rank=2), copies=TrainedCopyConfig()))
    options, tensors = to_peft(model, "a")
    with pytest.raises(CheckpointError, match=r"unexpected: base_model.model.lm_head.weight"):
        from_peft(model, "b", options | {"modules_to_save": None}, tensors)
    wider = {name: torch.zeros(31, 16) if "lm_head" in name else tensor for name, tensor in tensors.items()}
    with pytest.raises(CheckpointError, match=r"lm_head.weight: \[31, 16\]"):
        from_peft(model, "b", options, wider)
    bare = small()
    attach(bare, "low_rank", LoRAConfig(rank=2, targets=("lm_head",)))
    with pytest.raises(Unsupported, match="two kinds of adapters in one place"):
        attach(bare, "whole", TrainedCopyConfig())
