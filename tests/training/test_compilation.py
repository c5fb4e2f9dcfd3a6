"""Compiling blocks changes speed, not numbers."""

import pathlib
import subprocess
import sys

import pytest

# In a process of its own: the type checks of the tests cannot be compiled.
_SCRIPT = """
import torch

from tests.training.toys import batch, tiny_gpt2
from trivium.objectives.causal import causal
from trivium.training.compilation import compile_blocks


def gradients(model):
    model.zero_grad()
    causal(model.train(), batch(0)).total.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


# In float32 linear layers may go to oneDNN, which Inductor has to be kept from looking into.
for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
    torch.manual_seed(0)
    model = tiny_gpt2().to(dtype)
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
