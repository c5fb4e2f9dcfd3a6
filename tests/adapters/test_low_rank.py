"""What each kind of low-rank update computes, where it may go, and what it trains."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach, merge, unmerge
from trivium.adapters.holder import holders
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig, LowRankUpdate
from trivium.adapters.lora_plus import learning_rate_factors
from trivium.adapters.routing import route
from trivium.adapters.sites import Choice, Site, chosen
from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError, Unsupported
from trivium.models.bert import Bert, BertConfig
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.mixtral import Mixtral, MixtralConfig
from trivium.nn.quantized import quantise_linears
from trivium.nn.quantized_experts import NF4GroupedLinear
from trivium.objectives.causal import causal

STACKS = ("experts.gate_up_proj", "experts.down_proj")


def llama(**changes: object) -> nn.Module:
    torch.manual_seed(1)
    fields = {"vocabulary_size": 29, "width": 16, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 24}
    return Llama(LlamaConfig(**fields | changes)).double().eval()


def mixtral() -> nn.Module:
    torch.manual_seed(1)
    config = MixtralConfig(
        vocabulary_size=29, width=16, layers=2, heads=2, key_value_heads=1, inner_width=24, experts=4, chosen_experts=2
    )
    return Mixtral(config).double().eval()


def randomise(model: nn.Module, name: str) -> None:
    with torch.no_grad():
        for parameter in adapter_parameters(model, name).values():
            parameter += 0.3 * torch.randn_like(parameter)


def tokens(rows: int = 3) -> Tensor:
    return torch.randint(0, 29, (rows, 6), generator=torch.Generator().manual_seed(2))


def test_the_published_example():
    """512 x 64 with r = 8 trains 4,608 numbers in the place of 32,768: 86 % fewer."""
    site = Site("layer", "layer", 0, 512, 64, False)
    update = LowRankUpdate(site, LoRAConfig(rank=8), torch.empty(0))
    assert sum(parameter.numel() for parameter in update.parameters()) == 4608
    assert round(100 * (1 - 4608 / (512 * 64))) == 86


def test_sizes_by_pattern():
    config = LoRAConfig(rank=4, alpha=8, rank_pattern={r"1\.attn\.q": 2, "k": 3}, alpha_pattern={"attn.k": 12.0})

    def size(name: str) -> tuple[int, float]:
        return config.size(Site(name, "", 0, 9, 9, False))

    assert size("layers.1.attn.q") == (2, 4.0)
    assert size("layers.11.attn.q") == (4, 2.0)
    assert size("layers.0.attn.k") == (3, 4.0)
    assert size("layers.0.attn.ok") == (4, 2.0)
    with pytest.raises(ConfigError, match="no regular expression"):
        LoRAConfig(rank_pattern={"(": 2}).size(Site("a", "", 0, 9, 9, False))


def test_where_it_goes():
    model = llama(tied=False)

    def names(**settings: object) -> list[str]:
        return [site.theirs for site in chosen(model, Choice(**settings))]

    assert "lm_head" not in names(targets="all-linear")
    assert len(names(targets="all-linear")) == 2 * 7
    assert names(targets=("lm_head", "embed_tokens")) == ["model.embed_tokens", "lm_head"]
    kept = names(targets=("q_proj", "down_proj"), exclude=("q_proj",), layers=(1,))
    assert kept == ["model.layers.1.mlp.down_proj"]
    assert names(targets=r".*q_proj", exclude=r".*\.0\..*") == ["model.layers.1.self_attn.q_proj"]
    assert all("gate" not in site.theirs.rpartition(".")[2] or site.kind == "experts" for site in sites_of_mixtral())


def sites_of_mixtral() -> list[Site]:
    return chosen(mixtral(), Choice(targets="all-linear", parameters=STACKS))


@pytest.mark.parametrize("bias", [False, True])
def test_dora_is_equation_5(bias: bool):
    """Outputs, and gradients with the norm as a constant, of the formula as it is written."""
    model = llama(attention_bias=bias)
    attach(model, "mine", LoRAConfig(rank=2, alpha=3, decomposed=True, targets=("k_proj",)))
    randomise(model, "mine")
    layer = dict(holders(model))["blocks.0.attention.qkv"]
    (update,) = layer.updates["mine"].children()
    x = torch.randn(2, 5, 16, dtype=torch.float64, requires_grad=True)
    own, base = slice(16, 24), layer.base
    weight = base.weight[own] + 1.5 * update.B @ update.A
    weight = update.magnitude[:, None] * weight / weight.norm(dim=1, keepdim=True).detach()
    expected = base(x).clone()
    expected[..., own] = F.linear(x, weight, base.bias[own] if bias else None)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = [x, update.A, update.B, update.magnitude]
    upstream = torch.randn_like(found)
    for ours, theirs in zip(*(torch.autograd.grad(y, wanted, upstream) for y in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "config",
    [
        LoRAConfig(rank=2, decomposed=True, targets="all-linear"),
        LoRAConfig(rank=2, start="pissa", targets="all-linear"),
        IA3Config(),
    ],
    ids=["dora", "pissa", "ia3"],
)
def test_on_a_base_in_nf4(config: LoRAConfig | IA3Config):
    model = llama()
    quantise_linears(model)
    bare = model(tokens()).hidden
    attach(model, "mine", config)
    torch.testing.assert_close(model(tokens()).hidden, bare, rtol=0, atol=1e-9)
    randomise(model, "mine")
    apart = model(tokens()).hidden
    assert (apart - bare).abs().max() > 0.01
    merge(model, "mine")
    torch.testing.assert_close(model(tokens()).hidden, apart, rtol=0, atol=1e-9)
    unmerge(model)
    assert torch.equal(model(tokens()).hidden, apart)


def test_pissa_begins_with_the_largest_singular_directions():
    model = llama()
    attach(model, "mine", LoRAConfig(rank=3, alpha=6, start="pissa", targets=("o_proj",)))
    layer = dict(holders(model))["blocks.1.attention.output"]
    (update,) = layer.updates["mine"].children()
    values = torch.linalg.svdvals(layer.base.weight)
    residual = torch.linalg.svdvals(layer.base.weight - 2 * update.B @ update.A)
    torch.testing.assert_close(residual[:13], values[3:], rtol=0, atol=1e-10)
    assert residual[13:].max() < 1e-10


def test_learning_rates_of_lora_plus():
    model = llama()
    attach(model, "mine", LoRAConfig(rank=2, targets=("q_proj", "embed_tokens")))
    factors = learning_rate_factors(model, "mine", 16.0)
    assert factors.keys() == adapter_parameters(model, "mine").keys()
    fast = {name for name, factor in factors.items() if factor == 16.0}
    assert fast == {
        "embedding.updates.mine.A",
        "blocks.0.attention.qkv.updates.mine.0.B",
        "blocks.1.attention.qkv.updates.mine.0.B",
    }
    assert set(factors.values()) == {1.0, 16.0}


def test_lora_on_a_mixture_in_nf4():
    """QLoRA of a mixture of experts: only the adapter trains, rows have their own, and it can be merged."""
    model = mixtral()
    quantise_linears(model)
    assert any(isinstance(module, NF4GroupedLinear) for module in model.modules())
    for name in ("mine", "other"):
        attach(model, name, LoRAConfig(rank=2, targets=("q_proj",), parameters=STACKS))
        randomise(model, name)
    with route(model, ["mine", None, "other"]):
        together = model(tokens()).hidden
    for row, name in enumerate(["mine", None, "other"]):
        with route(model, [name]):
            torch.testing.assert_close(together[row], model(tokens()[row : row + 1]).hidden[0], rtol=0, atol=1e-10)
    adapters_of(model).routing.active = "mine"
    apart = model(tokens()).hidden
    with torch.no_grad():
        one = model(tokens()[:1, :1]).hidden
        torch.testing.assert_close(one, apart[:1, :1], rtol=0, atol=1e-10)
    merge(model, "mine")
    torch.testing.assert_close(model(tokens()).hidden, apart, rtol=0, atol=1e-9)
    unmerge(model)
    assert torch.equal(model(tokens()).hidden, apart)
    mine = adapter_parameters(model, "mine")
    optimiser = torch.optim.Adam(mine.values(), lr=1e-2)
    batch = CausalBatch(tokens()[:, :-1], tokens()[:, 1:], torch.ones(3, 5, dtype=torch.bool), torch.full((3,), 5))
    losses = []
    for _ in range(5):
        loss = causal(model, batch).total
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is None for name, p in model.named_parameters() if name not in mine and ".other." not in name)


def test_the_head_in_every_one_of_its_ways():
    model = llama(tied=False)
    attach(model, "mine", LoRAConfig(rank=2, alpha=3, targets=("lm_head",)))
    randomise(model, "mine")
    head = model.head
    hidden, targets = torch.randn(2, 6, 16, dtype=torch.float64), tokens(2)
    weight = head.base.weight + 1.5 * head.updates["mine"].B @ head.updates["mine"].A
    expected = hidden @ weight.T
    torch.testing.assert_close(head.logits(hidden), expected, rtol=0, atol=1e-12)
    nll = F.cross_entropy(expected.flatten(0, 1), targets.flatten(), reduction="none").view(2, 6)
    torch.testing.assert_close(head.log_prob(hidden, targets), -nll, rtol=0, atol=1e-12)
    torch.testing.assert_close(head.log_normaliser(hidden), expected.logsumexp(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(head.smoothed_nll_sum(hidden, targets, 0.1)[1], nll.sum(), rtol=0, atol=1e-10)
    updates = list(head.updates.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(head.nll_sum(hidden, targets), updates),
        torch.autograd.grad(nll.sum(), updates),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    with route(model, ["mine", None]):
        torch.testing.assert_close(head.log_prob(hidden, targets)[0], -nll[0], rtol=0, atol=1e-12)
        with pytest.raises(Unsupported, match="one loss of rows"):
            head.nll_sum(hidden, targets)


def test_dropout_is_for_training():
    """Under dropout a fused layer and the head are computed piece by piece; without it as one."""
    torch.manual_seed(0)
    model = llama(tied=False)
    attach(model, "mine", LoRAConfig(rank=2, dropout=0.5, targets=("q_proj", "v_proj", "lm_head")))
    randomise(model, "mine")
    plain = model.head.logits(model(tokens()).hidden)
    assert torch.equal(model.head.logits(model(tokens()).hidden), plain), (
        "the model was in evaluation, so is the adapter"
    )
    model.train()
    several = torch.stack([model.head.logits(model(tokens()).hidden) for _ in range(2)])
    assert not torch.allclose(several[0], several[1])
    assert not torch.allclose(several[0], plain)
    for holder in (holder for _, holder in holders(model)):
        for part in holder.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
    torch.testing.assert_close(model.head.logits(model(tokens()).hidden), plain, rtol=0, atol=1e-12)


def test_rows_of_an_encoder_that_packs_them():
    """The encoder computes no padding; rows that it cannot tell apart are refused."""
    torch.manual_seed(1)
    model = Bert(BertConfig(vocabulary_size=29, width=16, layers=2, heads=2, inner_width=24, context_tokens=12))
    model = model.double().eval()
    attach(model, "mine", LoRAConfig(rank=2, targets=("query", "word_embeddings")))
    randomise(model, "mine")
    lengths = torch.tensor([6, 0, 2])
    with route(model, [None, "mine", "mine"]):
        together = model(tokens(), lengths=lengths).hidden
    with route(model, ["mine"]):
        torch.testing.assert_close(together[2, :2], model(tokens()[2:, :2]).hidden[0], rtol=0, atol=1e-10)
    with route(model, [None]):
        torch.testing.assert_close(together[0], model(tokens()[:1]).hidden[0], rtol=0, atol=1e-10)
    with pytest.raises(Unsupported, match=r"other rows(.|\n)*received: \[3, 6\]"), route(model, ["mine", None]):
        model(tokens())
