"""GPT-2 and LLaMA agree with ``transformers``: logits, loss, gradients, greedy ids, and the way back."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from trivium.models import architecture
from trivium.nn.weight_map import export, load_into

VOCABULARY, CONTEXT = 97, 64
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": None,
}
ROPES = {
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn-options": {
        "rope_type": "yarn",
        "factor": 8.0,
        "original_max_position_embeddings": 16,
        "beta_fast": 8.0,
        "beta_slow": 2.0,
        "mscale": 0.7,
        "mscale_all_dim": 0.9,
        "truncate": False,
    },
    "longrope": {
        "rope_type": "longrope",
        "original_max_position_embeddings": 32,
        "factor": 4.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
        "long_factor": [1.0, 1.5, 2.0, 2.5, 3.0, 3.5],
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5},
}
LLAMAS = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "multi-query": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "wide-head": {"head_dim": 20, "num_key_value_heads": 2},
    "large-base": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
} | {f"rope-{name}": {"rope_parameters": {"rope_theta": 10000.0} | rope} for name, rope in ROPES.items()}
GPT2S = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "by-layer": {"scale_attn_by_inverse_layer_idx": True},
    "unscaled": {"scale_attn_weights": False},
    "relu-narrow": {"activation_function": "relu", "n_inner": 40},
}
CASES = [("llama", name) for name in LLAMAS] + [("gpt2", name) for name in GPT2S]


def reference(family: str, case: str) -> nn.Module:
    """A tiny random model of ``transformers``, with weights large enough for every part to matter."""
    torch.manual_seed(3)
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SHAPE | LLAMAS[case]))
    else:
        shape = {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
        dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        model = GPT2LMHeadModel(GPT2Config(**shape | dropouts | GPT2S[case], bos_token_id=1, eos_token_id=None))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_" in name or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.15 * torch.randn_like(parameter))
    return model.eval()


def ours(theirs: nn.Module) -> nn.Module:
    """The same model built from the reference's ``config.json`` and tensors."""
    row = architecture(theirs.config.model_type)
    config = row.config_class().from_hf(json.loads(theirs.config.to_json_string(use_diff=False)))
    model = row.model_class()(config).eval()
    tensors = theirs.state_dict()
    load_into(model, row.weight_map(config), tensors, tensors.__getitem__)
    return model


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference relative to the largest value of the reference ``b``."""
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()


@pytest.mark.parametrize(("family", "case"), CASES)
def test_logits_loss_and_gradients_agree(family: str, case: str) -> None:
    theirs = reference(family, case)
    model = ours(theirs)
    tokens = torch.randint(VOCABULARY, (3, 56), generator=torch.Generator().manual_seed(0))
    expected = theirs(tokens).logits
    hidden = model(tokens).hidden
    assert relative(model.head.logits(hidden), expected) < 1e-5

    loss = model.head.nll_sum(hidden[:, :-1], tokens[:, 1:])
    their_loss = F.cross_entropy(expected[:, :-1].reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1), reduction="sum")
    assert loss.item() == pytest.approx(their_loss.item(), rel=1e-6)
    loss.backward()
    their_loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters(remove_duplicate=False)}
    mapped = dict(export(gradients, architecture(family).weight_map(model.config)))
    for name, parameter in theirs.named_parameters():
        assert relative(mapped[name], parameter.grad) < 1e-4, name


@pytest.mark.parametrize(("family", "case"), CASES)
def test_greedy_ids_agree(family: str, case: str) -> None:
    """32 greedy tokens through our cache are those of ``generate`` (20 + 32 stays within the window)."""
    theirs = reference(family, case)
    model = ours(theirs)
    prompt = torch.randint(VOCABULARY, (2, 20), generator=torch.Generator().manual_seed(1))
    expected = theirs.generate(prompt, max_new_tokens=32, do_sample=False, pad_token_id=0)
    with torch.no_grad():
        output = model(prompt, state=model.new_state(2, CONTEXT))
        ids = [prompt]
        for _ in range(32):
            ids.append(model.head.logits(output.hidden[:, -1:]).argmax(-1))
            output = model(ids[-1], state=output.state)
    assert torch.cat(ids, 1).tolist() == expected.tolist()


@pytest.mark.parametrize(("family", "case"), CASES)
def test_transformers_opens_what_we_write(family: str, case: str, tmp_path) -> None:
    """Our config and tensors, written as a folder, load there without a warning about keys, bit for bit."""
    from safetensors.torch import save_file

    theirs = reference(family, case)
    model = ours(theirs)
    config = model.config
    (tmp_path / "config.json").write_text(json.dumps(config.to_hf()))
    tensors = dict(export(model.state_dict(), architecture(family).weight_map(config)))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    tokens = torch.randint(VOCABULARY, (1, 48))
    assert torch.equal(again.eval()(tokens).logits, theirs(tokens).logits)
    assert type(config).from_hf(config.to_hf()) == config


def test_transformers_4_spelling_of_rope_is_read() -> None:
    row = architecture("llama")
    base = {"model_type": "llama", "max_position_embeddings": 256}
    old = base | {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}
    new = base | {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}}
    assert row.config_class().from_hf(old) == row.config_class().from_hf(new)
