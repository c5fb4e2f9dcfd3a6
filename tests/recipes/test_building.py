"""A network that does not fit into memory is refused before any of it is there."""

import pytest
from torch import nn

from trivium.errors import ConfigError
from trivium.recipes.building import build_within_memory


def test_what_fits_is_built() -> None:
    network = build_within_memory(lambda: nn.Linear(3, 2))
    assert not network.weight.is_meta


def test_what_does_not_fit_is_never_built() -> None:
    with pytest.raises(ConfigError, match=r"does not fit into memory(.|\n)*14,901.2 GiB of weights"):
        build_within_memory(lambda: nn.Linear(2_000_000, 2_000_000, bias=False))
