"""Several LoRAs become one: exact sums, TIES and DARE by hand, and what peft makes of the same adapters."""

import pathlib

import peft
import pytest
import torch
import transformers

from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.combine import CombinationConfig, combine
from trivium.adapters.dare import dare
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import activate
from trivium.adapters.ties import agreeing, ties, trim
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.errors import ConfigError, Unsupported
from trivium.models.llama import Llama, LlamaConfig

TOKENS = torch.arange(14).view(2, 7) % 11


def build(ranks: dict[str, int]) -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocabulary_size=29, width=16, layers=2, heads=4, key_value_heads=2, inner_width=24, context_tokens=32
    )
    model = Llama(config).double().eval()
    for place, (name, rank) in enumerate(ranks.items()):
        targets = ("q_proj", "down_proj") if place % 2 else ("q_proj", "up_proj")
        attach(model, name, LoRAConfig(rank=rank, alpha=2 * rank + place, targets=targets))
        with torch.no_grad():
            for parameter in adapter_parameters(model, name).values():
                parameter.normal_(std=0.3)
    return model


def changes(model: Llama, name: str) -> dict[str, torch.Tensor]:
    """Each wrapped matrix minus its base, read off the layers' outputs."""
    activate(model, name)
    found = {}
    for path, layer in model.named_modules():
        if name in getattr(layer, "updates", {}):
            eye = torch.eye(layer.in_features, dtype=torch.float64)
            found[path] = (layer(eye) - layer.base(eye)).T
    return found


def test_a_sum_is_exact_whatever_the_ranks():
    model = build({"a": 2, "b": 3})
    left, right = changes(model, "a"), changes(model, "b")
    assert combine(model, "both", {"a": 0.5, "b": -2.0}, CombinationConfig()) == 0
    both = changes(model, "both")
    assert both.keys() == left.keys() | right.keys()
    for path, change in both.items():
        expected = 0.5 * left.get(path, 0) - 2.0 * right.get(path, 0)
        torch.testing.assert_close(change, expected, rtol=0, atol=1e-12)


def test_too_many_ranks_for_the_matrix_are_still_exact():
    model = build({"a": 8, "b": 8, "c": 8})
    parts = [changes(model, name) for name in "abc"]
    lost = combine(model, "all", dict.fromkeys("abc", 1.0), CombinationConfig())
    assert lost < 1e-20
    for path, change in changes(model, "all").items():
        torch.testing.assert_close(change, sum(part.get(path, 0) for part in parts), rtol=0, atol=1e-10)


def test_a_smaller_rank_is_the_best_approximation():
    model = build({"a": 3, "b": 3})
    whole = {path: change + changes(model, "b").get(path, 0) for path, change in changes(model, "a").items()}
    lost = combine(model, "small", {"a": 1.0, "b": 1.0}, CombinationConfig(rank=2))
    assert 0 < lost < 1
    path = "blocks.0.attention.qkv"
    singular = torch.linalg.svdvals(whole[path])
    missing = (changes(model, "small")[path] - whole[path]).square().sum()
    torch.testing.assert_close(missing, singular[2:].square().sum())


def test_ties_by_hand():
    change = torch.tensor([3.0, -1.0, 0.5, 2.0, -4.0])
    assert trim(change, 0.4).tolist() == [3.0, 0.0, 0.0, 0.0, -4.0]
    first, second, third = torch.tensor([[4.0, 1.0, -2.0], [-1.0, 1.0, -2.0], [2.0, 0.0, 3.0]])
    # Signs elected: + (5), + (2), - (-1). Of the first number 4 and 2 agree, of the second 1 and 1, of the third two.
    assert agreeing([first, second, third], [1, 1, 1]).tolist() == [3.0, 1.0, -2.0]
    assert ties([first, second, third], [1, 2, 1], 1.0).tolist() == [3.0, 1.5, -3.0]


def test_dare_keeps_the_mean_and_depends_on_the_seed_alone():
    change = torch.ones(20_000)
    kept = dare(change, 0.2, torch.Generator().manual_seed(1))
    assert set(kept.tolist()) == {0.0, 5.0}
    assert abs(float(kept.mean()) - 1) < 0.05
    assert torch.equal(kept, dare(change, 0.2, torch.Generator().manual_seed(1)))
    model = build({"a": 2, "b": 2})
    config = CombinationConfig(kind="dare-ties", density=0.5, seed=3, rank=8)
    for name in ("one", "two"):
        combine(model, name, {"a": 1.0, "b": 1.0}, config)
    one, two = changes(model, "one"), changes(model, "two")
    assert all(torch.equal(one[path], two[path]) for path in one)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("linear", "linear"), ("sum", "cat"), ("sum", "svd"), ("ties", "ties_svd"), ("dare", "svd")]
)
def test_as_peft_combines(kind: str, theirs: str, tmp_path: pathlib.Path):
    model = build({"a": 3, "b": 3}).float()
    save_folder(tmp_path / "base", Llama(model.config))
    base = load_model(tmp_path / "base")
    for name in ("a", "b"):
        save_adapter(tmp_path / name, model, name)
        load_adapter(tmp_path / name, base, name)
    other = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "base")
    wrapped = peft.PeftModel.from_pretrained(other, str(tmp_path / "a"), adapter_name="a")
    wrapped.load_adapter(str(tmp_path / "b"), adapter_name="b")
    rank = 4 if theirs.endswith("svd") else None
    options = {} if rank is None else {"svd_rank": rank}
    if theirs == "ties_svd":
        options["density"] = 0.4
    weights = [0.7, -1.3] if kind != "ties" else [0.7, 1.3]
    wrapped.add_weighted_adapter(["a", "b"], weights, "both", combination_type=theirs, **options)
    wrapped.set_adapter("both")
    density = 1.0 if kind == "dare" else 0.4  # at density 1 nothing is dropped
    config = CombinationConfig(kind=kind, density=density, rank=rank)  # type: ignore[arg-type]
    combine(base, "both", dict(zip("ab", weights, strict=True)), config)
    with torch.no_grad():
        expected, got = wrapped(TOKENS).logits, base.head(base(TOKENS).hidden)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    activate(base, None)
    assert (base.head(base(TOKENS).hidden) - got).abs().max() > 0.01


def test_what_cannot_be_combined():
    model = build({"a": 2, "b": 3})
    with pytest.raises(ConfigError, match=r"one rank[\s\S]*a 2, b 3"):
        combine(model, "c", {"a": 1, "b": 1}, CombinationConfig(kind="linear"))
    with pytest.raises(ConfigError, match="no adapter is called 'z'"):
        combine(model, "c", {"a": 1, "z": 1}, CombinationConfig())
    with pytest.raises(ConfigError, match="nothing is to be combined"):
        combine(model, "c", {}, CombinationConfig())
    with pytest.raises(ConfigError, match="has the rank of its parts"):
        CombinationConfig(kind="linear", rank=2)
    attach(model, "prefix", PrefixConfig(tokens=2))
    with pytest.raises(Unsupported, match="only LoRAs are combined"):
        combine(model, "c", {"prefix": 1}, CombinationConfig())
    assert sorted(model.adapters.configs) == ["a", "b", "prefix"]
