"""Gopher knows distances and no places: a text moved along is the same text."""

import torch

from trivium.models.gopher import Gopher, GopherConfig


def test_a_repeated_text_is_scored_alike_wherever_it_stands() -> None:
    """One layer that has read nothing but one piece repeated sees the same at every place."""
    torch.manual_seed(0)
    model = Gopher(GopherConfig(vocabulary_size=50, width=16, layers=2, heads=2)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    hidden = model(torch.full((1, 9), 7)).hidden[0]
    torch.testing.assert_close(hidden, hidden[:1].expand(9, -1), rtol=0, atol=1e-10)


def test_the_order_of_what_was_read_matters() -> None:
    torch.manual_seed(0)
    model = Gopher(GopherConfig(vocabulary_size=50, width=16, layers=1, heads=2)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    one, other = (model(torch.tensor([pieces])).hidden[0, -1] for pieces in ([3, 4, 5, 6], [4, 3, 5, 6]))
    assert not torch.allclose(one, other, atol=1e-4)


def test_longer_texts_than_those_of_training_are_read() -> None:
    model = Gopher(GopherConfig(vocabulary_size=50, width=16, layers=1, heads=2, context_tokens=8)).eval()
    assert model(torch.zeros(1, 300, dtype=torch.long)).hidden.isfinite().all()
