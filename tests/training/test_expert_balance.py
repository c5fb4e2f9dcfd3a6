"""The corrections of DeepSeek-V3's routers are learnt: once an update, whatever the micro-batches, and resumed."""

import copy

import pytest
import torch

from tests.training.toys import VOCABULARY, batch, learner_of
from trivium.models.deepseek_v3 import DeepSeekV3, DeepSeekV3Config
from trivium.nn.routing import Router
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.expert_balance import balance_experts


def deepseek(**changes: float) -> DeepSeekV3:
    torch.manual_seed(0)
    choice = {"experts": 4, "chosen_experts": 2, "expert_groups": 2, "chosen_groups": 2, "dense_layers": 1}
    sizes = {"width": 16, "layers": 3, "heads": 2, "head_width": 4, "inner_width": 12}
    return DeepSeekV3(DeepSeekV3Config(vocabulary_size=VOCABULARY, **sizes, **choice, **changes))


def corrections(model: torch.nn.Module) -> torch.Tensor:
    return torch.stack([module.correction for module in model.modules() if isinstance(module, Router)])


def test_an_update_moves_them_by_what_was_chosen() -> None:
    model = deepseek()
    before = copy.deepcopy(model).eval()
    learner = learner_of(model)
    learner.step(batch(0))
    lengths, tokens = batch(0).lengths, batch(0).tokens
    shares = torch.stack(before(tokens, lengths=lengths, collect=("routing",)).collected["routing"])
    expected = 0.001 * (0.25 - shares).sign()
    expected[(shares - 0.25).abs() < 1e-6] = 0.0
    torch.testing.assert_close(corrections(model), expected)
    assert expected.any()
    learner.evaluate(batch(1))
    torch.testing.assert_close(corrections(model), expected)


def test_micro_batches_and_recomputed_blocks_change_nothing() -> None:
    found = []
    for parts, recomputed in ((1, False), (2, False), (2, True)):
        model = deepseek()
        if recomputed:
            checkpoint_blocks(model)
        learner = learner_of(model, micro_batches=parts)
        for number in range(3):
            learner.step(batch(number))
        found.append(corrections(model))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].abs().max() > 0.001


def test_what_is_frozen_skipped_or_has_no_rate_stays() -> None:
    model = deepseek()
    for module in model.modules():
        if isinstance(module, Router):
            module.requires_grad_(False)
    learner_of(model).step(batch(0))
    still = deepseek(correction_rate=0.0)
    learner_of(still).step(batch(0))
    skipped = deepseek().train()
    skipped(batch(0).tokens)
    balance_experts(skipped, updated=False)
    balance_experts(skipped)
    for each in (model, still, skipped):
        assert not corrections(each).any()


def test_a_resumed_run_goes_on_with_them() -> None:
    first, second = learner_of(deepseek()), learner_of(deepseek())
    first.step(batch(0))
    second.load_state_dict(*copy.deepcopy(first.state_dict()))
    for learner in (first, second):
        learner.step(batch(1))
    assert torch.equal(corrections(first.model), corrections(second.model))
    assert corrections(first.model).abs().max() == pytest.approx(0.002)
