"""8-bit AdamW: its codes, its error against fp32 AdamW, and that its state comes back exactly."""

import pytest
import torch
from torch import Tensor, nn

from trivium.nn.nf4 import nearest_codes
from trivium.training import eight_bit_adamw as module
from trivium.training.eight_bit_adamw import BLOCK, EightBitAdamW, packed, signed_code, unpacked, unsigned_code

CPU = torch.device("cpu")


def test_codes_are_the_published_ones() -> None:
    """Dynamic codes (Dettmers et al. 2022, section 2.2): the values next to 0 and to 1 written out."""
    unsigned, signed = unsigned_code(CPU).values, signed_code(CPU).values
    assert len(unsigned.unique()) == len(signed.unique()) == 256
    torch.testing.assert_close(unsigned[:3], torch.tensor([0.0, 3.25e-7, 7.75e-7]), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(unsigned[-2:], torch.tensor([1 - 0.9 / 256, 1.0]), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(signed[-2:], torch.tensor([1 - 0.9 / 128, 1.0]), rtol=1e-6, atol=0.0)
    assert float(signed[0]) == pytest.approx(-1 + 0.9 / 128)
    assert int((signed == 0).sum()) == int((unsigned == 0).sum()) == 1


@pytest.mark.parametrize("code", [signed_code, unsigned_code])
def test_the_fast_search_finds_what_the_slow_one_does(code) -> None:
    """Also next to every middle between two values, where a wrong table would show."""
    found = code(CPU)
    exact = found.middles[:-1]
    near = torch.cat([exact.nextafter(torch.tensor(2.0)), exact, exact.nextafter(torch.tensor(-2.0)), found.values])
    values = torch.cat([near, -near, torch.rand(5000) * 2 - 1, torch.rand(500) * 1e-6, torch.zeros(1), -torch.zeros(1)])
    assert torch.equal(found.nearest(values), nearest_codes(values, found.values))


@pytest.mark.parametrize(("codes", "worst"), [(signed_code, 0.9 / 128), (unsigned_code, 0.9 / 256)])
def test_packing_errs_by_half_a_step_at_most(codes, worst: float) -> None:
    """The largest steps are 0.9 / 64 and 0.9 / 128 of the block's largest magnitude; what is a tenth of it, or a
    hundredth, errs by 7 % of itself at most."""
    values = torch.rand(1000) * torch.logspace(-4, 3, 1000)
    table = codes(CPU)
    blocks, scales = packed(values, table)
    assert blocks.shape == (4, BLOCK) and blocks.dtype == torch.uint8
    back = unpacked(blocks, scales, table)[:1000]
    largest = scales.repeat_interleave(BLOCK)[:1000]
    assert float(((back - values).abs() / largest).max()) <= worst * 1.01
    for share in (0.5, 0.05, 0.005):
        alone = torch.cat([torch.ones(1), torch.full((9,), share)])
        found = unpacked(*packed(alone, table), table)[1:10]
        torch.testing.assert_close(found, alone[1:], rtol=0.07, atol=0.0)


def test_a_block_of_zeros_stays_one() -> None:
    for table in (signed_code(CPU), unsigned_code(CPU)):
        assert torch.equal(unpacked(*packed(torch.zeros(300), table), table), torch.zeros(2 * BLOCK))


def both(shape: tuple[int, ...], **settings) -> tuple[nn.Parameter, nn.Parameter, list]:
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    options = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
    group = {"params": [ours], **settings}
    return ours, theirs, [EightBitAdamW([group], **options), torch.optim.AdamW([theirs], **options)]


def train(parameters: list[Tensor], optimisers: list, steps: int) -> None:
    for _ in range(steps):
        gradient = torch.randn_like(parameters[0]) * torch.rand(parameters[0].shape[-1]) + 0.1
        for parameter, optimiser in zip(parameters, optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.step()


def test_small_and_precise_tensors_are_adamw() -> None:
    for shape, settings in (((60, 60), {}), ((80, 80), {"precise": True})):
        ours, theirs, optimisers = both(shape, **settings)
        train([ours, theirs], optimisers, 5)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        assert "mean_codes" not in optimisers[0].state[ours]


def test_stays_near_adamw_over_many_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first update is AdamW's, since nothing was packed before; after 50 the way is the same to some per cent."""
    monkeypatch.setattr(module, "_BLOCKS_AT_ONCE", 7)  # pieces, the last of which is short
    ours, theirs, optimisers = both((70, 77))
    start = ours.detach().clone()
    train([ours, theirs], optimisers, 1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    train([ours, theirs], optimisers, 49)
    way = (theirs.detach() - start).norm()
    assert 0 < float((ours - theirs).detach().norm()) < 0.03 * float(way)
    state = optimisers[0].state[ours]
    assert sum(t.numel() * t.element_size() for t in state.values()) < 2.2 * ours.numel()


def test_a_tiny_mean_square_beside_a_large_one_does_not_explode() -> None:
    """A number whose gradient was small and then is nothing: AdamW's quotient stays below 10, so must ours."""
    ours, theirs, optimisers = both((64, 64), weight_decay=0.0)
    start = ours.detach().clone()
    for step in range(3):
        gradient = torch.zeros(64, 64)
        gradient[:, 0], gradient[:, 1] = 1.0, 3e-4 if step == 0 else 0.0
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = gradient.clone()
            optimiser.param_groups[0]["weight_decay"] = 0.0
            optimiser.step()
    moved = [(parameter.detach() - start)[:, 1].abs().max() for parameter in (ours, theirs)]
    assert 0 < float(moved[0]) <= float(moved[1]) * 1.01


def test_state_as_bytes_goes_on_exactly() -> None:
    one, _, (optimiser, _) = both((80, 80))
    train([one], [optimiser], 3)
    other = nn.Parameter(one.detach().clone())
    again = EightBitAdamW([other], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    again.state[other] = {name: tensor.clone() for name, tensor in optimiser.state[one].items()}
    gradient = torch.randn_like(one)
    for parameter, o in ((one, optimiser), (other, again)):
        parameter.grad = gradient.clone()
        o.step()
    assert torch.equal(one, other)
