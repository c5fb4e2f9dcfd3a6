"""Tiny published models and ours with the same weights, for the prompts of the peft package."""

import peft
import torch
import transformers
from torch import Tensor, nn

from tests.adapters.peft_models import TOKENS, mirrored
from trivium.adapters.answering import Answering
from trivium.adapters.beginning import begin
from trivium.adapters.routing import route
from trivium.generation.decode import decode
from trivium.generation.request import requests
from trivium.generation.settings import GenerationSettings

KINDS = ["llama", "gpt2", "gemma2"]
_SHAPE = {
    "vocab_size": 29,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
}


def theirs(kind: str) -> transformers.PreTrainedModel:
    """With grouped queries, and in gemma2 heads of another width than width / heads and scaled embeddings."""
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=29, n_embd=16, n_layer=2, n_head=2, n_positions=32)
        return transformers.GPT2LMHeadModel(config).eval()
    if kind == "gemma2":
        config = transformers.Gemma2Config(**_SHAPE, head_dim=6, query_pre_attn_scalar=6, sliding_window=12)
        config._attn_implementation = "eager"
        return transformers.Gemma2ForCausalLM(config).eval()
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SHAPE)).eval()


def ours(kind: str) -> nn.Module:
    """The same weights in our model."""
    return mirrored(theirs(kind))


def logits(model: nn.Module, name: str, tokens: Tensor = TOKENS) -> Tensor:
    rows: list[str | None] = [name] * tokens.shape[0]
    with route(model, rows):
        return model.head(model(tokens, state=begin(model, rows, tokens.shape[1])).hidden)


def published_logits(model: peft.PeftModel, tokens: Tensor = TOKENS) -> Tensor:
    """Of the text's positions alone."""
    return model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[:, -tokens.shape[1] :]


def loss(logits: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())


def greedy(model: nn.Module, name: str, count: int) -> list[list[int]]:
    asked = requests(TOKENS.tolist(), GenerationSettings(max_new_tokens=count), adapter=name)
    for _ in decode(model, asked, adapting=Answering(model)):
        pass
    return [request.token_ids for request in asked]


def published_greedy(model: peft.PeftModel, count: int) -> list[list[int]]:
    written = model.generate(
        input_ids=TOKENS,
        attention_mask=torch.ones_like(TOKENS),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return written[:, -count:].tolist()
