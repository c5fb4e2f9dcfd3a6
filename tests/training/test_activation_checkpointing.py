"""Recomputing blocks changes memory, not numbers."""

import torch

from tests.training.toys import batch, tiny_gpt2
from trivium.objectives.causal import causal
from trivium.training.activation_checkpointing import checkpoint_blocks


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(1)
    model.zero_grad()
    causal(model.train(), batch(0)).total.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_same_gradients_with_dropout_and_less_kept() -> None:
    model = tiny_gpt2(dropout=0.3)
    kept: list[int] = []

    def count(tensor: torch.Tensor) -> torch.Tensor:
        kept[-1] += tensor.nbytes
        return tensor

    def measured() -> list[torch.Tensor]:
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            return gradients(model)

    plain = measured()
    names = list(model.state_dict())
    checkpoint_blocks(model)
    assert all(torch.equal(a, b) for a, b in zip(plain, measured(), strict=True))
    assert kept[1] < kept[0] / 2
    assert list(model.state_dict()) == names
