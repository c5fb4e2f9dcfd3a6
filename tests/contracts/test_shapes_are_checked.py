"""The import hook is on: a tensor of the wrong shape is refused by its annotation while tests run."""

import pytest
import torch
from jaxtyping import TypeCheckError

from trivium.nn.output import Output


def test_a_wrong_shape_is_refused():
    assert Output(hidden=torch.zeros(2, 3, 4)).hidden.shape == (2, 3, 4)
    with pytest.raises(TypeCheckError):
        Output(hidden=torch.zeros(3, 4))
