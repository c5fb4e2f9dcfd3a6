"""AR and TAR as written in the paper and as computed by the authors' program."""

import torch

from trivium.nn.activation_regularisation import activation_regularisation, temporal_activation_regularisation


def test_the_means_of_the_authors_program() -> None:
    h = torch.randn(3, 8, 5, dtype=torch.float64)
    everything = torch.ones(3, 8, dtype=torch.bool)
    torch.testing.assert_close(activation_regularisation(h, everything) / 24, h.pow(2).mean())
    after_another = everything.clone()
    after_another[:, 0] = False
    wanted = (h[:, 1:] - h[:, :-1]).pow(2).mean()
    torch.testing.assert_close(temporal_activation_regularisation(h, after_another) / 21, wanted)


def test_what_is_no_token_counts_for_nothing() -> None:
    h = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    follows = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 1, 0, 1, 1, 1]], dtype=torch.bool)
    (activation_regularisation(h, valid) + temporal_activation_regularisation(h, follows)).backward()
    assert not h.grad[0, 3:].any()
    ar, tar = activation_regularisation(h, valid), temporal_activation_regularisation(h, follows)
    parts = [h[0, :3], h[1, :2], h[1, 2:]]
    torch.testing.assert_close(ar, sum(p.square().mean(-1).sum() for p in parts))
    torch.testing.assert_close(tar, sum((p[1:] - p[:-1]).square().mean(-1).sum() for p in parts))
