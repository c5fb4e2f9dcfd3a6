"""What only ERNIE 3.0 has: two networks of different width, one upon the other."""

import pytest
import torch

from trivium.errors import ConfigError
from trivium.models.ernie3 import SIZES, Ernie3, Ernie3Config

SMALL = {"vocabulary_size": 50, "width": 16, "layers": 3, "heads": 4}


def test_the_network_for_generation_may_be_narrower() -> None:
    torch.manual_seed(0)
    model = Ernie3(Ernie3Config(**SMALL, task_width=6, task_layers=2, task_heads=3)).double().eval()
    tokens = torch.randint(50, (2, 7))
    output = model(tokens, collect=("hidden",))
    assert [hidden.shape[-1] for hidden in output.collected["hidden"]] == [16, 16, 16, 16, 6, 6]
    state = model(tokens[:, :4], state=model.new_state(2, 7)).state
    assert [cache.keys.shape for cache in state.layers] == [(2, 4, 7, 4)] * 3 + [(2, 3, 7, 2)] * 2
    rest = model(tokens[:, 4:], state=state).hidden
    torch.testing.assert_close(rest, output.hidden[:, 4:], rtol=0, atol=1e-10)


def test_a_quarter_of_the_layers_is_for_the_task() -> None:
    assert SIZES["ernie-3.0-10b"].task.layers == Ernie3Config().task.layers == 12
    assert Ernie3Config(**SMALL).task == (16, 4, 64, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 3}, "heads do not divide"),
        ({"task_width": 10}, "heads do not divide"),
        ({"task_width": 8, "tied": True}, "cannot be the input embedding"),
    ],
)
def test_impossible_shapes_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Ernie3Config(**{**SMALL, **fields})
