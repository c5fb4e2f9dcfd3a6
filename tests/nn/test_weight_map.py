"""A weight map is invertible and strict in both directions."""

import pytest
import torch
from torch import nn

from trivium.errors import CheckpointError
from trivium.nn.weight_map import Fuse, Rename, Split, Stack, StackFused, Transpose, WeightMap, export, load_into


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Parameter(torch.randn(3))
        self.turned = nn.Parameter(torch.randn(2, 5))
        self.qk = nn.Parameter(torch.randn(7, 2))
        self.left, self.right = nn.Parameter(torch.randn(1, 4)), nn.Parameter(torch.randn(2, 4))
        self.experts = nn.Parameter(torch.randn(3, 2, 2))
        self.gate_up = nn.Parameter(torch.randn(2, 3, 2))
        self.layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(2))
        self.tied = self.plain


MAP = WeightMap(
    (
        Rename("plain", "a"),
        Transpose("turned", "b"),
        Fuse("qk", ("q", "k"), (4, 3)),
        Split(("left", "right"), "both", (1, 2)),
        Stack("experts", "expert.{e}", 3),
        StackFused("gate_up", ("gate.{e}", "up.{e}"), (1, 2), 2),
        Rename("layers.{i}.weight", "h.{i}.w"),
    ),
    layers=2,
    tied=("tied",),
    ignored=("h.{i}.buffer",),
)


def test_round_trip_is_exact() -> None:
    source, target = Toy(), Toy()
    theirs = dict(export(source.state_dict(), MAP))
    expected = {"a", "b", "q", "k", "both", "expert.0", "expert.1", "expert.2", "h.0.w", "h.1.w"}
    expected |= {"gate.0", "up.0", "gate.1", "up.1"}
    assert torch.equal(theirs["up.1"], source.gate_up[1, 1:])
    assert set(theirs) == expected and theirs["b"].shape == (5, 2) and theirs["q"].shape == (4, 2)
    load_into(target, MAP, theirs, theirs.__getitem__)
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name]), name


def test_one_tensor_is_read_at_a_time_and_can_be_transformed() -> None:
    theirs = dict(export(Toy().state_dict(), MAP))
    reads: list[str] = []
    assigned: dict[str, torch.Tensor] = {}
    load_into(Toy(), MAP, theirs, lambda name: reads.append(name) or theirs[name], assigned.__setitem__)
    assert sorted(reads) == sorted(theirs) and set(assigned) == set(Toy().state_dict()) - {"tied"}


def test_everything_missing_and_unexpected_is_listed() -> None:
    theirs = dict(export(Toy().state_dict(), MAP))
    del theirs["k"], theirs["h.1.w"]
    theirs |= {"stray": torch.zeros(1), "h.0.buffer": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_into(Toy(), MAP, theirs, theirs.__getitem__)
    message = str(caught.value)
    assert "missing: h.1.w" in message and "missing: k" in message and "unexpected: stray" in message
    assert "buffer" not in message


def test_wrong_shapes_are_listed_with_both_shapes() -> None:
    theirs = dict(export(Toy().state_dict(), MAP)) | {"a": torch.zeros(4), "b": torch.zeros(5, 3)}
    with pytest.raises(CheckpointError) as caught:
        load_into(Toy(), MAP, theirs, theirs.__getitem__)
    assert "a: [4], the model has [3]" in str(caught.value) and "b: [3, 5]" in str(caught.value)


def test_a_map_that_forgets_a_parameter_is_our_fault() -> None:
    with pytest.raises(AssertionError, match="weight map and model differ"):
        dict(export(Toy().state_dict(), WeightMap((Rename("plain", "a"),))))
