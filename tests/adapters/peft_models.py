"""Tiny published models of many families, and ours with the same weights, in fp64."""

import pathlib

import peft
import torch
import transformers
from torch import Tensor, nn

from trivium.checkpoints.model_folder import load_model
from trivium.models import architecture
from trivium.nn.weight_map import load_into

TOKENS = torch.arange(14).view(2, 7) % 11
SOURCE = torch.arange(3, 11).view(2, 4)
_DECODER = {
    "vocab_size": 29,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "tie_word_embeddings": False,
}
_ENCODER = {
    "vocab_size": 29,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
_EXPERTS = {"num_experts_per_tok": 2, "head_dim": 4}
MODELS = {
    "bart": lambda: transformers.BartForConditionalGeneration(
        transformers.BartConfig(
            vocab_size=29,
            d_model=16,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            max_position_embeddings=32,
        )
    ),
    "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**_ENCODER)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=29, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    ),
    "gpt_neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**_ENCODER)),
    "gpt_oss": lambda: transformers.GptOssForCausalLM(
        transformers.GptOssConfig(**_DECODER | _EXPERTS, num_local_experts=4, sliding_window=4)
    ),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**_DECODER)),
    "mixtral": lambda: transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**_DECODER, num_local_experts=4, num_experts_per_tok=2)
    ),
    "phi3": lambda: transformers.Phi3ForCausalLM(transformers.Phi3Config(**_DECODER, pad_token_id=0)),
    "qwen3_moe": lambda: transformers.Qwen3MoeForCausalLM(
        transformers.Qwen3MoeConfig(**_DECODER | _EXPERTS, moe_intermediate_size=12, num_experts=4)
    ),
    "tied llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**_DECODER | {"tie_word_embeddings": True})
    ),
    "t5": lambda: transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=29, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=2)
    ),
}


def theirs(kind: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    model = MODELS[kind]()
    model.config._experts_implementation = "eager"  # the other one has no fp64
    model.set_attn_implementation("eager")
    return model.double().eval()


def ours(kind: str, folder: pathlib.Path) -> nn.Module:
    """The same weights in our model, by way of ``folder``."""
    if not folder.exists():
        theirs(kind).save_pretrained(folder)
    return load_model(folder, dtype=torch.float64).eval()


def mirrored(source: transformers.PreTrainedModel) -> nn.Module:
    """The same weights in our model, in fp32."""
    entry = architecture(source.config.model_type)
    config = entry.config_class().from_hf(source.config.to_dict())
    model = entry.model_class()(config).eval()
    weights = {
        name: tensor for name, tensor in source.state_dict().items() if name != "lm_head.weight" or not config.tied
    }
    load_into(model, entry.weight_map(config), weights, weights.__getitem__)
    return model


def published_logits(model: peft.PeftModel | transformers.PreTrainedModel, kind: str) -> Tensor:
    if kind in ("t5", "bart"):
        return model(input_ids=SOURCE, decoder_input_ids=TOKENS).logits
    return model(input_ids=TOKENS).logits


def own_logits(model: nn.Module, kind: str) -> Tensor:
    given = {"state": model.encode(SOURCE)} if kind in ("t5", "bart") else {}
    return model.head.logits(model(TOKENS, **given).hidden)


def randomise(parameters: dict[str, nn.Parameter]) -> None:
    """Adapters begin with little or no effect: give this one some."""
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.2 * torch.randn_like(parameter)
