"""What saves memory, through the optimisers and the learner that every recipe uses; and that each can be resumed."""

import pytest
import torch
from torch import nn

from tests.training.toys import LENGTH, VOCABULARY, NumberedSource, batch, learner_of, tiny_gpt2
from trivium.data.examples import Example
from trivium.data.poisson import PoissonExamples
from trivium.errors import ConfigError, Unsupported
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.objectives.causal import causal
from trivium.training.eight_bit_adamw import EightBitAdamW
from trivium.training.layer_sampling import LayerSampling, LayerSamplingConfig
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.low_rank_gradients import GaLoreAdamW
from trivium.training.optimisers import OptimiserConfig, build_optimisers
from trivium.training.private_gradients import Privacy, PrivacyConfig

GALORE = OptimiserConfig(kind="galore", galore_rank=4, galore_every_steps=3)
EIGHT_BIT = OptimiserConfig(kind="adamw8bit")


def wide() -> GPT2:
    """Some of its matrices are large enough for 8 bits."""
    torch.manual_seed(0)
    return GPT2(GPT2Config(vocabulary_size=VOCABULARY, width=64, layers=2, heads=2, context_tokens=LENGTH, dropout=0.0))


def groups_of(model: nn.Module, config: OptimiserConfig) -> dict[str, dict]:
    (optimiser,) = build_optimisers(model, config)._optimisers
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: group for group in optimiser.param_groups for p in group["params"]}


def test_what_goes_where() -> None:
    model = wide()
    eight, low = groups_of(model, EIGHT_BIT), groups_of(model, GALORE)
    everything = {name for name, _ in model.named_parameters()}
    assert eight.keys() == low.keys() == everything
    embeddings = {name for name, group in eight.items() if group["precise"]}
    assert embeddings == {name for name in everything if "embedding" in name}
    assert {name for name, group in low.items() if group["rank"] == 4} == {n for n in everything if "blocks." in n}
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim >= 2}
    for groups in (eight, low):
        assert {name for name, group in groups.items() if group["weight_decay"]} == matrices
    kinds = [type(build_optimisers(model, config)._optimisers[0]) for config in (EIGHT_BIT, GALORE)]
    assert kinds == [EightBitAdamW, GaLoreAdamW]


@pytest.mark.parametrize("optimiser", [EIGHT_BIT, GALORE])
def test_it_learns_and_resumed_equals_whole(optimiser: OptimiserConfig) -> None:
    whole, parts, again = (learner_of(wide(), optimiser=optimiser) for _ in range(3))
    losses = [whole.step(batch(number % 2))["loss"] for number in range(8)]
    assert losses[-1] < losses[0]
    for number in range(5):
        parts.step(batch(number % 2))
    again.load_state_dict(*parts.state_dict())
    for number in range(5, 8):
        again.step(batch(number % 2))
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_blocks_that_rest_hold_no_moments_and_a_resumed_run_knows_which() -> None:
    def sampled() -> SupervisedLearner:
        model = tiny_gpt2()
        sampling = LayerSampling(model, LayerSamplingConfig(blocks=1, every_steps=2), seed=3)
        return SupervisedLearner(model, causal, SupervisedConfig(), steps=20, before_step=sampling)

    torch.manual_seed(0)
    whole = sampled()
    start = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    parts, again = sampled(), sampled()
    for learner in (parts, again):
        learner.model.load_state_dict(start)
    for number in range(9):
        whole.step(batch(number))
        held = {name.split(".")[1] for name in whole.state_dict()[0] if name.startswith("optimiser/blocks.")}
        assert len(held) == 1
    for number in range(5):
        parts.step(batch(number))
    again.load_state_dict(*parts.state_dict())
    for number in range(5, 9):
        again.step(batch(number))
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_updates_in_the_backward_pass_are_those_after_it() -> None:
    torch.manual_seed(0)
    models = [tiny_gpt2().double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    usual = learner_of(models[0], clip_norm=None)
    early = learner_of(models[1], clip_norm=None, update_in_backward=True)
    for number in range(4):
        one, other = usual.step(batch(number)), early.step(batch(number))
        assert one == pytest.approx(other, rel=1e-9)
    for mine, theirs in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


def private_job(seed: int | None = None) -> tuple[SupervisedLearner, PoissonExamples]:
    torch.manual_seed(0)
    examples = [Example.of([1, 2 + n % 20], [3 + n % 20] * (n % 5 + 1), end_id=0) for n in range(40)]
    source = PoissonExamples(examples, vocabulary_size=VOCABULARY, context_tokens=LENGTH, rows=2, seed=seed)
    privacy = Privacy.of(PrivacyConfig(noise=0.5), examples=40, expected=2, steps=20)
    return learner_of(tiny_gpt2(), privacy=privacy), source


def test_private_training_is_resumed_with_its_noise_and_its_examples() -> None:
    """Neither follows from the run's seed, so both must come out of the checkpoint; empty batches are among these."""
    (whole, first), (again, second) = private_job(), private_job()
    assert first.state_dict()["seed"] != second.state_dict()["seed"]
    sizes = []
    for number in range(14):
        if number == 7:
            again.load_state_dict(*whole.state_dict())
            second.load_state_dict(first.state_dict())
        data = next(first)
        sizes.append(data.rows)
        told = whole.step(data)
        assert told["tokens"] == data.num_tokens and told["skipped"] == 0.0
        if number >= 7:
            again.step(next(second))
    assert len(set(sizes)) > 2
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_private_batch_may_be_empty() -> None:
    learner, source = private_job(seed=0)
    empty = next(data for data in source if not data.rows)
    before = [parameter.detach().clone() for parameter in learner.model.parameters()]
    told = learner.step(empty)
    assert told["tokens"] == 0.0 and told["skipped"] == 0.0
    assert any(not torch.equal(one, other) for one, other in zip(before, learner.model.parameters(), strict=True))


def test_combinations_that_cannot_be_are_refused() -> None:
    with pytest.raises(Unsupported, match="never hold all gradients at once"):
        SupervisedConfig(update_in_backward=True)
    with pytest.raises(ConfigError, match="private training adds up"):
        SupervisedConfig(update_in_backward=True, clip_norm=None, privacy=private_job()[0]._config.privacy)
    for setting in ("galore_rank", "galore_every_steps", "galore_scale"):
        with pytest.raises(ConfigError, match=setting):
            OptimiserConfig(**{setting: 0})


def test_the_usual_learner_reads_what_it_read_before() -> None:
    """Nothing of this changes a run that asks for none of it."""
    torch.manual_seed(0)
    learner, source = learner_of(tiny_gpt2(), micro_batches=2), NumberedSource()
    assert learner.step(next(source))["skipped"] == 0.0
    assert not any("private" in name for name in learner.state_dict()[0])
