"""What DeepSeek-V3 refuses and leaves out, its size, and the factor of YaRN on its scores."""

from typing import Any

import pytest
import torch

from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models.deepseek_v3 import SIZES, DeepSeekV3, DeepSeekV3Config, weight_map
from trivium.models.parameter_counts import PARAMETERS
from trivium.nn.positions.rope import Rope
from trivium.nn.weight_map import export, load_into


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_act": "gelu"},
        {"scoring_func": "softmax"},
        {"topk_method": "group_limited_greedy"},
        {"moe_layer_freq": 2},
        {"num_attention_heads": 8, "num_key_value_heads": 4},
    ],
    ids=lambda config: list(config)[-1],
)
def test_what_is_not_computed_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=list(config)[-1]):
        DeepSeekV3Config.from_hf({"model_type": "deepseek_v3"} | config)


@pytest.mark.parametrize("fields", [{"rotary_width": 3}, {"chosen_groups": 9}, {"experts": 10}])
def test_what_cannot_be_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        DeepSeekV3Config(**fields)


def test_what_is_not_given_is_in_the_proportions_of_the_published_model() -> None:
    written, published = DeepSeekV3Config(query_rank=1536).to_hf(), SIZES["deepseek-v3"].to_hf()
    stretched = ("rope_parameters", "max_position_embeddings")
    assert {name for name in published if written[name] != published[name]} == set(stretched)
    assert DeepSeekV3Config.from_hf(published).to_hf() == published


def test_parameters_without_the_prediction_layer() -> None:
    """671B of the main model (README of the released weights)."""
    assert PARAMETERS["deepseek_v3"]["deepseek-v3"] == pytest.approx(671e9, rel=0.005)


def test_the_factor_of_yarn_is_in_the_scores() -> None:
    """The square of 0.1 log(40) + 1, where ``mscale_all_dim`` is given."""
    plain = (128 + 64) ** -0.5
    assert SIZES["deepseek-v3"].score_scale == pytest.approx(plain * 1.3688879454**2)
    yarn = Rope(kind="yarn", factor=40.0, original_context_tokens=4096)
    assert DeepSeekV3Config(rope=yarn).score_scale == DeepSeekV3Config().score_scale == plain


def _small() -> DeepSeekV3Config:
    choice = {"experts": 4, "chosen_experts": 2, "expert_groups": 2, "chosen_groups": 1}
    return DeepSeekV3Config(
        vocabulary_size=9, width=16, layers=2, heads=2, head_width=4, inner_width=12, dense_layers=1, **choice
    )


def test_the_prediction_layer_of_published_files_is_not_read() -> None:
    """All that the published file has of it, by name, and nothing else beyond the last layer."""
    config = _small()
    model = DeepSeekV3(config)
    tensors = dict(export(model.state_dict(), weight_map(config)))
    deeper = DeepSeekV3Config(**{**vars(config), "layers": 3})
    block = {name for name in dict(export(DeepSeekV3(deeper).state_dict(), weight_map(deeper))) if "layers.2." in name}
    own = ("embed_tokens", "enorm", "hnorm", "eh_proj", "shared_head.norm", "shared_head.head")
    extra = dict.fromkeys(block | {f"model.layers.2.{name}.weight" for name in own}, torch.zeros(1))
    assert extra.keys() == set(weight_map(config).ignored)
    load_into(model, weight_map(config), tensors | extra, tensors.__getitem__)
    unknown = tensors | {"model.layers.3.enorm.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"unexpected: model\.layers\.3\.enorm"):
        load_into(model, weight_map(config), unknown, tensors.__getitem__)
