"""What only LaMDA has: scores by bucket of distance in a decoder, one table for all its layers."""

import torch

from trivium.models.lamda import LaMDA, LaMDAConfig

SMALL = {"vocabulary_size": 50, "width": 16, "layers": 2, "heads": 2, "head_width": 6, "inner_width": 24}


def test_only_the_distance_to_what_is_near_matters() -> None:
    """With a table that hides all but the token itself, every token is read by itself."""
    torch.manual_seed(0)
    model = LaMDA(LaMDAConfig(**SMALL, buckets=8, furthest_tokens=6)).double().eval()
    tokens = torch.randint(50, (1, 9))
    with torch.no_grad():
        model.relative.weight[1:] = -1e9
    alone = torch.cat([model(tokens[:, [t]]).hidden for t in range(9)], dim=1)
    torch.testing.assert_close(model(tokens).hidden, alone, rtol=0, atol=1e-10)


def test_long_documents_are_the_same_packed_and_apart() -> None:
    """Longer than the pieces in which scores are computed."""
    torch.manual_seed(0)
    model = LaMDA(LaMDAConfig(**SMALL)).double().eval()
    torch.nn.init.normal_(model.relative.weight)
    tokens, sizes = torch.randint(50, (1, 700)), torch.tensor([400, 300])
    packed = model(tokens, segments=torch.repeat_interleave(sizes)[None]).hidden
    apart = [model(part).hidden for part in tokens.split(sizes.tolist(), dim=1)]
    torch.testing.assert_close(packed, torch.cat(apart, dim=1), rtol=0, atol=1e-10)
