"""One batch of rows with no adapter, a LoRA on an NF4 base, and a prefix: each row equals the row alone. And sixteen
adapters of every kind in one batch."""

import pytest
import torch
from torch import Tensor, nn

from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import AdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.routing import activate, route
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.data.batches import CausalBatch
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.quantized import NF4Linear, quantise_linears
from trivium.objectives.causal import causal
from trivium.recipes.prompted import prompted
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.schedules import ScheduleConfig

ROWS: list[str | None] = [None, "poet", "haiku", "poet", None, "clerk", "haiku"]
NEW_TOKENS = 6


def build(kind: str, dtype: torch.dtype) -> nn.Module:
    """A model with an NF4 base, two LoRAs and a prefix."""
    torch.manual_seed(1)
    if kind == "gpt2":
        model: nn.Module = GPT2(GPT2Config(vocabulary_size=29, width=32, layers=2, heads=2, context_tokens=32))
    else:
        model = Llama(LlamaConfig(vocabulary_size=29, width=32, layers=2, heads=4, key_value_heads=2, inner_width=48))
    quantise_linears(model)
    model = model.to(dtype).eval()
    attach(model, "poet", LoRAConfig(rank=3, targets="all-linear"))
    attach(model, "clerk", LoRAConfig(rank=2, targets=("c_attn",) if kind == "gpt2" else ("v_proj",)))
    attach(model, "haiku", PrefixConfig(tokens=3))
    with torch.no_grad():
        for name in ("poet", "clerk", "haiku"):
            for parameter in adapter_parameters(model, name).values():
                parameter.normal_(std=0.4)
    return model


@torch.no_grad()
def forward(model: nn.Module, tokens: Tensor, lengths: Tensor, rows: list[str | None]) -> Tensor:
    with route(model, rows):
        state = begin(model, rows, tokens.shape[1])
        return model.head(model(tokens, lengths=lengths, state=state).hidden)


@torch.no_grad()
def greedy(model: nn.Module, tokens: Tensor, lengths: Tensor, rows: list[str | None]) -> Tensor:
    """The plainest decoding loop there is."""
    chosen = []
    with route(model, rows):
        output = model(tokens, lengths=lengths, state=begin(model, rows, tokens.shape[1] + NEW_TOKENS))
        last = output.hidden[torch.arange(len(rows)), lengths - 1]
        for _ in range(NEW_TOKENS):
            chosen.append(model.head(last).argmax(-1))
            output = model(chosen[-1][:, None], state=output.state)
            last = output.hidden[:, 0]
    return torch.stack(chosen, 1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_each_row_equals_the_row_alone(kind: str, dtype: torch.dtype, tolerance: float):
    model = build(kind, dtype)
    tokens, lengths = torch.randint(0, 29, (len(ROWS), 8)), torch.tensor([8, 3, 5, 8, 1, 6, 8])
    together = forward(model, tokens, lengths, ROWS)
    written = greedy(model, tokens, lengths, ROWS)
    for b, name in enumerate(ROWS):
        row, length = tokens[b : b + 1, : lengths[b]], lengths[b : b + 1]
        alone = forward(model, row, length, [name])
        near = tolerance * together.abs().max().item()
        torch.testing.assert_close(together[b : b + 1, : lengths[b]], alone, rtol=0, atol=near)
        assert torch.equal(written[b : b + 1], greedy(model, row, length, [name]))
    same = tokens[:1].expand(4, -1)
    outputs = forward(model, same, lengths[:1].expand(4), [None, "poet", "haiku", "clerk"])
    for a in range(4):
        for b in range(a):
            assert (outputs[a] - outputs[b]).abs().max() > 0.01, "the adapters differ"


SIXTEEN: tuple[AdapterConfig, ...] = (
    *(LoRAConfig(rank=rank, targets="all-linear") for rank in (1, 2, 3, 4)),
    *(PrefixConfig(tokens=tokens) for tokens in (1, 2, 5, 7)),
    *(SoftPromptConfig(tokens=tokens) for tokens in (1, 3, 4, 6)),
    PTuningConfig(tokens=2),
    BottleneckConfig(width=5),
    BottleneckConfig(kind="pfeiffer", width=3),
    IA3Config(),
)


def test_sixteen_adapters_in_one_batch():
    """Each row as if it were alone, in a padded batch, in a ragged step, and token by token; the batch is permuted."""
    torch.manual_seed(1)
    shape = {"width": 32, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 48}
    model = Llama(LlamaConfig(vocabulary_size=29, **shape)).double().eval()
    names: list[str | None] = [f"adapter{number}" for number in range(len(SIXTEEN))]
    for name, config in zip(names, SIXTEEN, strict=True):
        attach(model, name, config)
        with torch.no_grad():
            for parameter in adapter_parameters(model, name).values():
                parameter += 0.3 * torch.randn_like(parameter)
    activate(model, None)
    rows = [names[b] for b in torch.randperm(len(names)).tolist()]
    tokens, lengths = torch.randint(0, 29, (16, 8)), torch.randint(1, 9, (16,))
    together, written = forward(model, tokens, lengths, rows), greedy(model, tokens, lengths, rows)
    packed = torch.cat([tokens[b, :length] for b, length in enumerate(lengths.tolist())])[None]
    segments = torch.repeat_interleave(lengths)[None]
    with torch.no_grad(), route(model, rows, segments=segments):
        hidden = model(packed, segments=segments, state=begin(model, rows, 8)).hidden
    ragged = model.head(hidden)[0].split(lengths.tolist())
    for b, name in enumerate(rows):
        row, length = tokens[b : b + 1, : lengths[b]], lengths[b : b + 1]
        alone = forward(model, row, length, [name])[0]
        torch.testing.assert_close(together[b, : lengths[b]], alone, rtol=0, atol=1e-10)
        torch.testing.assert_close(ragged[b], alone, rtol=0, atol=1e-10)
        assert torch.equal(written[b : b + 1], greedy(model, row, length, [name]))


def test_rows_of_a_state_can_be_taken():
    """A request that is finished leaves the batch: the others go on with their own adapters."""
    model = build("llama", torch.float64)
    tokens = torch.randint(0, 29, (3, 5))
    rows: list[str | None] = ["haiku", None, "poet"]
    with torch.no_grad(), route(model, rows):
        state = model(tokens, state=begin(model, rows, 7)).state
    kept = torch.tensor([2, 0])
    following = torch.randint(0, 29, (2, 1))
    with torch.no_grad(), route(model, [rows[b] for b in kept.tolist()]):
        went_on = model(following, state=state.take(kept)).hidden
    whole = torch.cat([tokens[kept], following], 1)
    with torch.no_grad(), route(model, ["poet", "haiku"]):
        expected = model(whole, state=begin(model, ["poet", "haiku"], 7)).hidden[:, -1:]
    torch.testing.assert_close(went_on, expected, rtol=0, atol=1e-10)


def make_batch() -> CausalBatch:
    tokens = torch.randint(0, 29, (4, 9))
    lengths = torch.tensor([8, 5, 8, 2])
    mask = torch.arange(8) < lengths[:, None]
    return CausalBatch(tokens=tokens[:, :8], targets=tokens[:, 1:], mask=mask, lengths=lengths)


STEADY = SupervisedConfig(schedule=ScheduleConfig(kind="constant", warmup_steps=0), micro_batches=2)


def lora_on_nf4() -> nn.Module:
    model = build("llama", torch.float32)
    activate(model, "poet")
    for name in ("clerk", "haiku"):
        for parameter in adapter_parameters(model, name).values():
            parameter.requires_grad_(False)
    return model


def test_a_training_step_of_a_lora_on_nf4():
    """Only the LoRA moves, the loss falls, and a resumed learner goes on bit for bit."""
    model, batch = lora_on_nf4(), make_batch()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learner = SupervisedLearner(model, causal, STEADY, steps=8)
    losses = [learner.step(batch)["loss"] for _ in range(4)]
    tensors, state = learner.state_dict()
    resumed = SupervisedLearner(lora_on_nf4(), causal, STEADY, steps=8)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, state)
    rest = [learner.step(batch)["loss"] for _ in range(4)]
    assert rest == [resumed.step(batch)["loss"] for _ in range(4)]
    assert rest[-1] < losses[0]
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(adapter_parameters(model, "poet"))
    assert any(isinstance(module, NF4Linear) for module in model.modules())


def test_a_training_step_of_a_prefix():
    """Beside LoRAs that are trainable too: the prefix is the active one, and nothing else moves."""
    model = build("llama", torch.float32)
    activate(model, "haiku")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = make_batch()
    learner = SupervisedLearner(model, prompted(causal), STEADY, steps=8)
    losses = [learner.step(batch)["loss"] for _ in range(8)]
    assert losses[-1] < losses[0]
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(adapter_parameters(model, "haiku"))
