"""The linear-chain CRF against every sequence there is, written out."""

import itertools

import pytest
import torch
from torch import Tensor

from trivium.nn.crf import LinearChainCRF

N, W, LENGTHS = 3, 4, [4, 1, 3]


def build() -> LinearChainCRF:
    crf = LinearChainCRF(N).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def scores() -> Tensor:
    return torch.randn(len(LENGTHS), W, N, dtype=torch.float64)


def written_out(crf: LinearChainCRF, row: Tensor, path: tuple[int, ...]) -> Tensor:
    """s(y) from the definition."""
    total = crf.start[path[0]] + crf.end[path[-1]] + sum(row[t, tag] for t, tag in enumerate(path))
    return total + sum(crf.transitions[a, b] for a, b in itertools.pairwise(path))


def every_path(crf: LinearChainCRF, row: Tensor, length: int) -> dict[tuple[int, ...], Tensor]:
    return {path: written_out(crf, row, path) for path in itertools.product(range(N), repeat=length)}


def test_sum_and_best_over_all_sequences() -> None:
    crf, given, lengths = build(), scores(), torch.tensor(LENGTHS)
    found, best = crf.log_partition(given, lengths), crf.best_path(given, lengths)
    for b, length in enumerate(LENGTHS):
        paths = every_path(crf, given[b], length)
        torch.testing.assert_close(found[b], torch.stack(list(paths.values())).logsumexp(0), rtol=0, atol=1e-10)
        assert tuple(best[b]) == max(paths, key=lambda path: paths[path].item())


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    crf, given = build(), scores()[:1]
    paths = torch.tensor(list(itertools.product(range(N), repeat=W)))
    nll = crf(given.expand(len(paths), W, N), torch.full((len(paths),), W), paths)
    torch.testing.assert_close((-nll).exp().sum(), torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-10)


def test_score_of_a_sequence() -> None:
    crf, given, tags = build(), scores(), torch.randint(N, (3, W))
    found = crf.path_score(given, torch.tensor(LENGTHS), tags)
    for b, length in enumerate(LENGTHS):
        wanted = written_out(crf, given[b], tuple(tags[b, :length].tolist()))
        torch.testing.assert_close(found[b], wanted, rtol=0, atol=1e-10)


def test_gradients() -> None:
    crf, given, lengths, tags = build(), scores().requires_grad_(), torch.tensor(LENGTHS), torch.randint(N, (3, W))

    def nll(given: Tensor, *parameters: Tensor) -> Tensor:
        names = [name for name, _ in crf.named_parameters()]
        return torch.func.functional_call(crf, dict(zip(names, parameters, strict=True)), (given, lengths, tags))

    assert torch.autograd.gradcheck(nll, (given, *crf.parameters()))


def test_gradient_is_expected_minus_seen() -> None:
    """d nll / d P[t, k] = p(y_t = k) - [y_t = k] (Lafferty et al. 2001, section 4), and nothing beyond a row's end."""
    crf, given, tags = build(), scores().requires_grad_(), torch.randint(N, (3, W))
    crf(given, torch.tensor(LENGTHS), tags).sum().backward()
    for b, length in enumerate(LENGTHS):
        paths = every_path(crf, given[b], length)
        weights = torch.stack(list(paths.values())).softmax(0)
        marginals = torch.zeros(length, N, dtype=torch.float64)
        for path, weight in zip(paths, weights.detach(), strict=True):
            marginals[torch.arange(length), list(path)] += weight
        marginals[torch.arange(length), tags[b, :length]] -= 1
        torch.testing.assert_close(given.grad[b, :length], marginals, rtol=0, atol=1e-10)
        assert not given.grad[b, length:].any()


@pytest.mark.parametrize("garbage", [float("inf"), float("nan"), -1e30])
def test_what_stands_beyond_a_row_does_not_matter(garbage: float) -> None:
    crf, given, lengths, tags = build(), scores(), torch.tensor(LENGTHS), torch.randint(N, (3, W))
    expected, best = crf(given, lengths, tags), crf.best_path(given, lengths)
    for b, length in enumerate(LENGTHS):
        given[b, length:] = garbage
        tags[b, length:] = -100
    assert torch.equal(crf(given, lengths, tags), expected)
    assert crf.best_path(given, lengths) == best


def test_untrained_it_is_one_softmax_a_word() -> None:
    given, tags = scores(), torch.randint(N, (3, W))
    nll = LinearChainCRF(N).double()(given, torch.full((3,), W), tags)
    wanted = torch.nn.functional.cross_entropy(given.flatten(0, 1), tags.flatten(), reduction="none")
    torch.testing.assert_close(nll, wanted.view(3, W).sum(1), rtol=0, atol=1e-10)


def test_extreme_scores_do_not_overflow() -> None:
    crf = LinearChainCRF(N)
    given = torch.full((1, W, N), -3e4)
    given[..., 1] = 3e4
    ones, zeros = torch.ones(1, W, dtype=torch.long), torch.zeros(1, W, dtype=torch.long)
    assert crf(given, torch.tensor([W]), ones).item() == pytest.approx(0.0)
    assert crf(given, torch.tensor([W]), zeros).item() == pytest.approx(6e4 * W)
