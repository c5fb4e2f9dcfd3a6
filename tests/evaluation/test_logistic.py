"""Logistic regression: the minimum itself, against scikit-learn, and the same in every process."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from trivium.errors import DataError
from trivium.evaluation.logistic import fit_logistic


def data(count: int = 120, width: int = 5, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, width, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 1.0, 5.0]) + 3
    noise = torch.randn(count, classes, generator=generator)
    return features, ((features - 3) @ torch.randn(width, classes, generator=generator) + noise).argmax(-1)


def test_it_is_what_scikit_learn_finds():
    features, classes = data()
    ours = fit_logistic(features, classes, 3, l2=0.05)
    standard = ((features.double() - features.double().mean(0)) / features.double().std(0, correction=0)).numpy()
    theirs = LogisticRegression(C=1 / (0.05 * 120), tol=1e-10, max_iter=5000).fit(standard, classes.numpy())
    assert ours.gradient < 1e-6
    torch.testing.assert_close(ours.weight, torch.from_numpy(theirs.coef_), rtol=0, atol=1e-4)
    assert ours.predict(features).tolist() == theirs.predict(standard).tolist()


def test_where_it_ends_the_gradient_is_nothing():
    features, classes = data()
    fit = fit_logistic(features, classes, 3)
    weight = fit.weight.clone().requires_grad_()
    standard = (features.double() - fit.mean) / fit.scale
    (F.cross_entropy(standard @ weight.T + fit.bias, classes) + 0.005 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-6
    assert torch.equal(fit.weight, fit_logistic(features, classes, 3).weight)


def test_a_feature_that_never_changes_and_a_class_that_never_comes_do_no_harm():
    features, classes = data()
    features[:, 0] = 7
    fit = fit_logistic(features, classes, 5)
    assert torch.isfinite(fit.weight).all()
    assert (fit.predict(features) == classes).double().mean() > 0.8
    with pytest.raises(DataError, match="not finite"):
        fit_logistic(features / 0, classes, 3)


def test_no_feature_is_too_small_to_be_heard():
    """Layers differ in scale, and so do the numbers of one vector: a probe must not care."""
    features, classes = data()
    scaled = features.double() * torch.tensor([1e-7, 1.0, 1e4, 1e-3, 1.0], dtype=torch.float64) - 5
    plain, other = fit_logistic(features.double(), classes, 3), fit_logistic(scaled, classes, 3)
    torch.testing.assert_close(plain.weight, other.weight, rtol=0, atol=1e-5)
    assert torch.equal(plain.predict(features.double()), other.predict(scaled))
