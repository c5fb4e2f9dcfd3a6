"""Rotations: exact angles far out, the paper's defining property, and every refusal."""

import pytest
import torch

from trivium.errors import ConfigError
from trivium.nn.positions.rope import Rope, Rotary, rotate


@pytest.mark.parametrize("position", [0, 4095, 8191, 131071])
def test_angles_stay_exact_far_out(position: int) -> None:
    """fp32 angles against fp64, also when the model runs in bf16 (transformers #29285)."""
    rotary = Rotary(Rope(base=500000.0), 64, 8192)
    places = torch.tensor([[position]])
    exact = rotary(places, torch.float64)
    angle_error = position * 2**-23  # one unit of fp32 rounding in the angle itself
    torch.testing.assert_close(rotary(places, torch.float32).double(), exact, rtol=0, atol=1e-6 + angle_error)
    torch.testing.assert_close(rotary(places, torch.bfloat16).double(), exact, rtol=0, atol=4e-3 + angle_error)


def test_dot_products_depend_on_the_distance_alone() -> None:
    """Su et al. 2021, eq. 11: <R_m q, R_n k> is a function of q, k and n - m."""
    rotary = Rotary(Rope(), 16, 64)
    q, k = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64)

    def product(m: int, n: int) -> torch.Tensor:
        turned = [rotate(x, rotary(torch.tensor([[at]]), torch.float64)) for x, at in ((q, m), (k, n))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(product(3, 10), product(40, 47), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(product(3, 10), product(3, 11))


def test_gradient_is_the_rotation_back() -> None:
    rotation = Rotary(Rope(), 8, 64)(torch.arange(5)[None], torch.float64)
    x = torch.randn(2, 5, 3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotate(x, rotation), (x,))


def test_refusals_say_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="low_freq_factor"):
        Rope(kind="llama3", factor=2.0, original_context_tokens=8)
    with pytest.raises(ConfigError, match="unknown RoPE scaling"):
        Rope.from_hf({"rope_parameters": {"rope_type": "spiral"}})
    with pytest.raises(ConfigError, match="wobble"):
        Rope.from_hf({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "wobble": 1}})


@pytest.mark.parametrize(
    "rope",
    [
        Rope(kind="dynamic", factor=2.0),
        Rope(kind="longrope", original_context_tokens=6, short_factors=(1.0, 1.5), long_factors=(2.0, 3.0)),
    ],
    ids=lambda rope: rope.kind,
)
def test_angles_that_follow_the_length_follow_that_of_their_own_text(rope: Rope) -> None:
    rotary, positions = Rotary(rope, 4, 6), torch.arange(9)[None]
    reach = torch.tensor([[9], [5], [7]])
    together = rotary(positions, torch.float64, reach)
    for row, length in enumerate(reach[:, 0].tolist()):
        alone = rotary(positions[:, :length], torch.float64)
        assert torch.equal(together[:, row : row + 1, :length], alone)
    packed = rotary(torch.tensor([[*range(7), *range(3)]]), torch.float64, torch.tensor([[7] * 7 + [3] * 3]))
    assert torch.equal(packed[:, :, :7], rotary(positions[:, :7], torch.float64))
    assert torch.equal(packed[:, :, 7:], rotary(positions[:, :3], torch.float64))
