"""Training a prompt: the loss of texts that begin with it, whatever the shape of the batch, and nothing else moves."""

import dataclasses

import pytest
import torch
from torch import nn

from tests.contracts.tracers import TRACERS, Tracer
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import prefix_tokens
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import AdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.routing import activate
from trivium.adapters.soft_prompt import SoftPrompt, SoftPromptConfig
from trivium.data.batches import CausalBatch
from trivium.errors import Unsupported
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.recipes.prompted import prompted
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

LABELS = ("llama", "gpt2", "mistral", "mixtral", "deepseek_v3", "lstm", "gru")
MODELS = [next(tracer for tracer in TRACERS if tracer.label == label) for label in LABELS]
PROMPTS: dict[str, AdapterConfig] = {
    "soft prompt": SoftPromptConfig(tokens=2),
    "lstm": PTuningConfig(tokens=2, hidden_width=5),
    "prefix": PrefixConfig(tokens=2),
    "projected": PrefixConfig(tokens=2, projection=True),
}
LENGTHS = [8, 5, 8, 2]


def build(label: str, config: AdapterConfig) -> nn.Module:
    tracer = next(tracer for tracer in TRACERS if tracer.label == label)
    model = tracer.build(**tracer.additive)
    torch.manual_seed(2)
    attach(model, "mine", config)
    return model


def unpacked(seed: int = 0) -> CausalBatch:
    """Ragged rows, of which all but the first token of each is learnt."""
    tokens = torch.randint(23, (4, 9), generator=torch.Generator().manual_seed(seed))
    lengths = torch.tensor(LENGTHS)
    mask = torch.arange(8) < lengths[:, None]
    mask[:, 0] = False
    return CausalBatch(tokens=tokens[:, :8], targets=tokens[:, 1:], mask=mask, lengths=lengths)


def packed(batch: CausalBatch) -> CausalBatch:
    """The same texts, two a row, with padding between and after them."""
    fields = {name: torch.zeros(2, 17, dtype=torch.long) for name in ("tokens", "targets")}
    mask, segments = torch.zeros(2, 17, dtype=torch.bool), torch.full((2, 17), -1)
    for row, number, start, text in ((0, 0, 0, 1), (0, 1, 5, 0), (1, 0, 0, 3), (1, 1, 2, 2)):
        here = slice(start, start + LENGTHS[text])
        for name, field in fields.items():
            field[row, here] = getattr(batch, name)[text, : LENGTHS[text]]
        mask[row, here], segments[row, here] = batch.mask[text, : LENGTHS[text]], number
    return CausalBatch(mask=mask, segments=segments, lengths=torch.tensor([13, 10]), **fields)


def told(model: nn.Module, batch: CausalBatch) -> list[torch.Tensor]:
    """The loss, its count, and the gradient of each parameter of the prompt."""
    loss = prompted(causal)(model, batch)
    learnt = list(adapter_parameters(model, "mine").values())
    return [loss.total, loss.count, *torch.autograd.grad(loss.total, learnt)]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    for ours, theirs in zip(a, b, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tracer", MODELS, ids=lambda tracer: tracer.label)
def test_it_is_the_loss_of_the_text_after_the_prompt(tracer: Tracer) -> None:
    """Against the vectors joined to those of the text, with no state; packed rows, parts and single rows alike."""
    model, batch = build(tracer.label, PROMPTS["soft prompt"]), unpacked()
    prompt = adapters_of(model).prompts["mine"]
    assert isinstance(prompt, SoftPrompt)

    def joined(model: nn.Module, batch: CausalBatch) -> Loss:
        vectors = torch.cat([prompt.vectors().expand(batch.rows, -1, -1), model.embed(batch.tokens)], dim=1)
        hidden = model(embeddings=vectors, lengths=batch.lengths + prompt.tokens).hidden[:, prompt.tokens :]
        return Loss(
            total=model.head.nll_sum(hidden[batch.mask], batch.targets[batch.mask]), count=batch.mask.sum().double()
        )

    loss = joined(model, batch)
    expected = [loss.total, loss.count, *torch.autograd.grad(loss.total, [prompt.embeddings])]
    assert expected[2].abs().max() > 1e-3
    whole = told(model, batch)
    same(whole, expected)
    same(told(model, packed(batch)), expected)
    same([sum(parts) for parts in zip(*(told(model, part) for part in batch.split(3)), strict=True)], expected)
    same([sum(parts) for parts in zip(*(told(model, part) for part in packed(batch).split(2)), strict=True)], expected)


@pytest.mark.parametrize("method", PROMPTS)
def test_packed_rows_and_recomputed_blocks(method: str) -> None:
    model, batch = build("llama", PROMPTS[method]), unpacked()
    expected = told(model, batch)
    assert all(gradient.abs().max() > 0 for gradient in expected[2:])
    same(told(model, packed(batch)), expected)
    model.train()
    checkpoint_blocks(model)
    same(told(model, batch), expected)
    same(told(model, packed(batch)), expected)


def test_what_stands_beyond_a_row_is_not_seen() -> None:
    model, batch = build("llama", PROMPTS["prefix"]), unpacked()
    expected = told(model, batch)
    other = unpacked(seed=1)
    beyond = torch.arange(8) >= batch.lengths[:, None]
    tokens = torch.where(beyond, other.tokens, batch.tokens)
    same(told(model, dataclasses.replace(batch, tokens=tokens)), expected)


@pytest.mark.parametrize("label", ["llama", "lstm"])
def test_training(label: str) -> None:
    """The loss falls, evaluation sees it, only the prompt moves, and micro-batches are one batch."""
    methods = ["soft prompt"] if label == "lstm" else list(PROMPTS)
    optimiser = OptimiserConfig(learning_rate=0.1)
    steady = SupervisedConfig(optimiser=optimiser, schedule=ScheduleConfig(kind="constant", warmup_steps=0))
    for method in methods:
        batch, after = unpacked(), []
        for micro_batches in (1, 3):
            model = build(label, PROMPTS[method])
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            config = dataclasses.replace(steady, micro_batches=micro_batches)
            learner = SupervisedLearner(model, prompted(causal), config, steps=6)
            first = learner.evaluate(batch)
            for _ in range(6):
                learner.step(batch)
            last = learner.evaluate(batch)
            assert first[1] == last[1] == batch.num_tokens
            assert last[0] < first[0] - 0.1, method
            changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
            assert changed == set(adapter_parameters(model, "mine")), method
            after.append(last[0])
        assert after[0] == pytest.approx(after[1], abs=1e-6)


def test_without_a_prompt_it_is_the_objective_itself() -> None:
    model, batch = build("llama", LoRAConfig(rank=2)), unpacked()
    assert torch.equal(prompted(causal)(model, batch).total, causal(model, batch).total)
    attach(model, "other", PrefixConfig(tokens=2))
    activate(model, None)
    assert prefix_tokens(model) == 0
    assert torch.equal(prompted(causal)(model, packed(batch)).total, causal(model, packed(batch)).total)


def test_rows_that_carry_on_are_refused() -> None:
    batch = dataclasses.replace(unpacked(), continues=torch.ones(4, dtype=torch.bool))
    with pytest.raises(Unsupported, match=r"cannot begin with a prompt again(.|\n)*whole texts"):
        prompted(causal)(build("llama", PROMPTS["prefix"]), batch)


@pytest.mark.parametrize("label", ["llama", "gemma2"])
@pytest.mark.parametrize("method", PROMPTS)
def test_under_autocast(label: str, method: str) -> None:
    """Caches keep the weights' dtype, and what is written into them is narrower."""
    model, batch = build(label, PROMPTS[method]).float(), unpacked()
    wide = told(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = [told(model, shape) for shape in (batch, packed(batch))]
    for found in narrow:
        torch.testing.assert_close(found[0].float(), wide[0], rtol=0.02, atol=0)
        assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in found[2:])
