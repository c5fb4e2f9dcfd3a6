"""Compiling blocks changes speed, not numbers."""

import pathlib
import subprocess
import sys

import pytest

# In a process of its own: the type checks of the tests cannot be compiled.
_SCRIPT = """
import torch

from tests.training.toys import VOCABULARY, batch, tiny_gpt2
from trivium.models.llama import Llama, LlamaConfig
from trivium.objectives.causal import causal
from trivium.training.compilation import compile_blocks


def gradients(model):
    model.zero_grad()
    causal(model.train(), batch(0)).total.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


# In float32 linear layers may go to oneDNN, which Inductor has to be kept from looking into.
shape = LlamaConfig(vocabulary_size=VOCABULARY, width=32, layers=2, heads=2, inner_width=48, tied=True)
kinds = (
    (tiny_gpt2, torch.float64, 1e-10),
    (tiny_gpt2, torch.float32, 1e-4),
    (lambda: Llama(shape), torch.float32, 1e-4),
)
for make, dtype, tolerance in kinds:
    torch.manual_seed(0)
    model = make().to(dtype)
    plain, names = gradients(model), list(model.state_dict())
    compile_blocks(model)
    for ours, theirs in zip(plain, gradients(model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    assert list(model.state_dict()) == names
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
"""


@pytest.mark.slow
def test_same_gradients_and_names(repository: pathlib.Path) -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
