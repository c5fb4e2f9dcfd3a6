"""``config.json`` and weight map of XLNet, as ``transformers`` writes them."""

from collections.abc import Mapping
from typing import Any

from trivium.errors import Unsupported
from trivium.models.head_format import read_head, write_head
from trivium.nn.feedforward import Activation
from trivium.nn.weight_map import Entry, Heads, Rename, WeightMap

_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}
_SPAN = "ForQuestionAnsweringSimple"

# Options of the published code that are not computed here, and the one value that they may have. Of the summary only
# the last token with a tanh; no released checkpoint has anything else.
_FIXED: dict[str, Any] = {
    "attn_type": "bi",
    "bi_data": False,
    "same_length": False,
    "untie_r": True,
    "reuse_len": None,
    "summary_type": "last",
    "summary_use_proj": True,
    "summary_activation": "tanh",
}


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an ``XLNetConfig``; ``Unsupported`` for what the network does not compute."""
    for name, value in _FIXED.items():
        given = config.get(name, value)
        if given != value and (given or value):  # a reuse_len of 0 is none
            raise Unsupported(name, received=given, expected=value)
    activation = config.get("ff_activation", "gelu")
    if activation not in _ACTIVATIONS:
        raise Unsupported("ff_activation", received=activation, expected=", ".join(_ACTIVATIONS))
    width, heads = config.get("d_model", 1024), config.get("n_head", 16)
    if config.get("d_head") not in (None, width // heads):
        raise Unsupported("d_head", received=config["d_head"], expected=f"d_model / n_head = {width // heads}")
    if config.get("architectures") == ["XLNetForQuestionAnswering"]:
        raise Unsupported("answers by beam search", received="XLNetForQuestionAnswering", expected="XLNet" + _SPAN)
    furthest = config.get("clamp_len", -1)
    return {
        "vocabulary_size": config.get("vocab_size", config.get("n_token", 32000)),
        "width": width,
        "layers": config.get("n_layer", 24),
        "heads": heads,
        "inner_width": config.get("d_inner", 4096),
        "activation": _ACTIVATIONS[activation],
        "furthest_tokens": furthest if furthest > 0 else None,
        "memory_tokens": config.get("mem_len", 512) or None,
        "dropout": config.get("dropout", 0.1),
        "head_dropout": config.get("summary_last_dropout", 0.1),
        "norm_epsilon": config.get("layer_norm_eps", 1e-12),
        "tied": config.get("tie_word_embeddings", True),
        **read_head(config, "XLNet", language=("LMHeadModel",), own={_SPAN: "span"}),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back, of an ``XLNetConfig``."""
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    written = {
        "model_type": "xlnet",
        "vocab_size": config.vocabulary_size,
        "d_model": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "d_head": config.width // config.heads,
        "d_inner": config.inner_width,
        "ff_activation": theirs[config.activation],
        "clamp_len": config.furthest_tokens or -1,
        "mem_len": config.memory_tokens,
        "dropout": config.dropout,
        "summary_last_dropout": config.head_dropout,
        "layer_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
        **_FIXED,
        **write_head(config, "XLNet", language="LMHeadModel"),
    }
    return written | ({"architectures": ["XLNet" + _SPAN]} if config.head == "span" else {})


def weights(config: Any) -> WeightMap:
    """Between our names and those of the network that ``config`` names; a bare body's are saved without its name."""
    body = "" if config.head == "none" else "transformer."
    attention, ours = body + "layer.{i}.rel_attn.", "blocks.{i}.attention."
    entries: list[Entry] = [
        Rename("embedding.weight", body + "word_embedding.weight"),
        Rename("query", body + "mask_emb"),
        Heads(ours + "query.weight", (attention + "q",), config.heads),
        Heads(ours + "key_value.weight", (attention + "k", attention + "v"), config.heads),
        Heads(ours + "position.weight", (attention + "r",), config.heads),
        Heads(ours + "output.weight", (attention + "o",), config.heads, outwards=True),
        Rename(ours + "content_bias", attention + "r_w_bias"),
        Rename(ours + "position_bias", attention + "r_r_bias"),
        Rename(ours + "segment_bias", attention + "r_s_bias"),
        Rename(ours + "segments", attention + "seg_embed"),
    ]
    modules = {
        "blocks.{i}.attention_norm": attention + "layer_norm",
        "blocks.{i}.feedforward.up": body + "layer.{i}.ff.layer_1",
        "blocks.{i}.feedforward.down": body + "layer.{i}.ff.layer_2",
        "blocks.{i}.feedforward_norm": body + "layer.{i}.ff.layer_norm",
    }
    if config.head in ("classification", "regression"):
        modules |= {"classify.transform.linear": "sequence_summary.summary", "classify.output": "logits_proj"}
    elif config.head == "tagging":
        modules["tag.output"] = "classifier"
    elif config.head == "span":
        modules["span.output"] = "qa_outputs"
    entries += [Rename(f"{a}.{kind}", f"{b}.{kind}") for a, b in modules.items() for kind in ("weight", "bias")]
    if config.head != "language":
        return WeightMap(tuple(entries), config.layers)
    entries.append(Rename("head.bias", "lm_loss.bias"))
    if config.tied:
        return WeightMap(tuple(entries), config.layers, ("head.weight",), ("lm_loss.weight",))
    return WeightMap((*entries, Rename("head.weight", "lm_loss.weight")), config.layers)
