"""What only GPT-3 has: every second layer sees what is near."""

import torch

from trivium.models.gpt3 import GPT3, SIZES, GPT3Config


def test_every_second_layer_sees_its_band_and_no_more() -> None:
    torch.manual_seed(0)
    config = GPT3Config(vocabulary_size=50, width=16, layers=4, heads=2, context_tokens=12, window_tokens=3)
    output = GPT3(config).eval()(torch.randint(50, (1, 9)), collect=("attention",))
    places = torch.arange(9)
    apart = places[:, None] - places
    for layer, weights in enumerate(output.collected["attention"]):
        seen = (apart >= 0) & (apart < (3 if layer % 2 else 9))
        assert torch.equal(weights[0] > 0, seen.expand(2, 9, 9))


def test_the_13b_model_projects_to_heads_that_do_not_divide_its_width() -> None:
    config = SIZES["gpt3-13b"]
    assert config.width % config.heads != 0
    with torch.device("meta"):
        block = GPT3(GPT3Config(width=5140, layers=1, heads=40, head_width=128)).blocks[0]
    assert block.attention.qkv.weight.shape == (3 * 5120, 5140)
    assert block.attention.output.weight.shape == (5140, 5120)
