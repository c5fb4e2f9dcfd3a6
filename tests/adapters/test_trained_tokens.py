"""Trained rows of the embedding against the peft package: beside a LoRA and alone, tied and untied."""

import pathlib

import peft
import pytest
import torch

from tests.adapters.beside_peft import followed, near
from tests.adapters.peft_models import TOKENS, own_logits, randomise
from trivium.adapters.attach import adapter_parameters, attach, detach, merge
from trivium.adapters.peft import from_peft, to_peft
from trivium.adapters.routing import route
from trivium.adapters.trained_tokens import TrainedTokensConfig
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models.gpt2 import GPT2, GPT2Config

IDS = [7, 2, 5]


def lora(kind: str, tokens: list[int] | dict[str, list[int]]) -> peft.LoraConfig:
    targets = ["c_attn"] if kind == "gpt2" else ["q_proj"]
    return peft.LoraConfig(r=2, target_modules=targets, trainable_token_indices=tokens, fan_in_fan_out=kind == "gpt2")


CASES: dict[str, tuple[str, peft.PeftConfig]] = {
    "untied": ("llama", lora("llama", IDS)),
    "head too": ("llama", lora("llama", {"embed_tokens": IDS, "lm_head": IDS})),
    "tied": ("gpt2", lora("gpt2", IDS)),
    "both named and tied": ("gpt2", lora("gpt2", {"wte": IDS, "lm_head": IDS})),
    "alone": ("llama", peft.TrainableTokensConfig(token_indices=IDS)),
    "alone with a head": (
        "llama",
        peft.TrainableTokensConfig(token_indices=IDS, target_modules=["embed_tokens", "lm_head"]),
    ),
    "alone and tied": ("gpt2", peft.TrainableTokensConfig(token_indices=IDS, target_modules=["wte"])),
}


@pytest.mark.filterwarnings("ignore")  # of peft, about tied embeddings and the like
@pytest.mark.parametrize("label", CASES, ids=lambda label: label.replace(" ", "-"))
def test_folders_outputs_steps_and_merges(label: str, tmp_path: pathlib.Path) -> None:
    kind, config = CASES[label]
    model, said, _ = followed(kind, config, tmp_path)
    tied = label.endswith("tied") and not label.startswith("un")
    merge(model, "a")
    with torch.no_grad():
        near(own_logits(model, kind), said)
        detach(model)
        near(own_logits(model, kind), said)
    assert (model.head.weight is model.embedding.weight) == tied


def small() -> GPT2:
    torch.manual_seed(0)
    return GPT2(GPT2Config(vocabulary_size=29, width=16, layers=2, heads=2, context_tokens=16)).double().eval()


def test_only_these_rows_differ() -> None:
    """Of the table and, since it is tied, of the logits; rows of one batch may have different ones."""
    model = small()
    bare = own_logits(model, "gpt2").detach()
    attach(model, "a", TrainedTokensConfig(tokens=(28, 20)))
    attach(model, "b", TrainedTokensConfig(tokens=(3,)))
    assert sum(p.numel() for p in adapter_parameters(model, "a").values()) == 2 * 16
    randomise(adapter_parameters(model, "a"))
    with torch.no_grad(), route(model, ["a", "b"]):
        found = own_logits(model, "gpt2")
    others = [i for i in range(29) if i not in (28, 20)]
    assert not TOKENS.eq(28).any()
    near(found[..., others], bare[..., others])
    near(found[1], bare[1])
    assert ((found - bare)[0, :, [20, 28]].abs() > 1e-3).all()


def test_what_is_refused() -> None:
    for tokens in ((), (3, 3), (-1,)):
        with pytest.raises(ConfigError, match="different ids"):
            TrainedTokensConfig(tokens=tokens)
    model = small()
    attach(model, "a", TrainedTokensConfig(tokens=(1, 2)))
    options, tensors = to_peft(model, "a")
    for changes in ({"target_modules": ["wpe"]}, {"target_modules": ".*c_fc"}, {"target_modules": ["wte", "lm_head"]}):
        with pytest.raises(Unsupported, match="target_modules"):
            from_peft(model, "b", options | changes, tensors)
    with pytest.raises(CheckpointError, match=r"trainable_tokens_delta: \[2, 16\](.|\n)*\[1, 16\]"):
        from_peft(model, "b", options | {"token_indices": [1]}, tensors)
