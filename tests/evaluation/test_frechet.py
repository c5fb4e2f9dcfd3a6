"""The Frechet distance against scipy's matrix root, in closed form, and as a measure of text."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from trivium.errors import DataError
from trivium.evaluation.frechet import frechet_distance
from trivium.evaluation.layers import Layer, text_vectors
from trivium.models.lstm import LSTM, LSTMConfig


def cloud(seed: int, rows: int, width: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return chance.normal(size=(rows, width)) @ chance.normal(size=(width, width)) + chance.normal(size=width)


@pytest.mark.parametrize("width", [1, 2, 17])
def test_it_is_that_of_the_matrix_root(width):
    one, other = cloud(0, 60, width), cloud(1, 41, width)
    covariances = [np.atleast_2d(np.cov(each.T)) for each in (one, other)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    away = one.mean(0) - other.mean(0)
    expected = away @ away + np.trace(covariances[0] + covariances[1] - 2 * np.real(root))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-9)


def test_in_closed_form():
    """Independent directions: the sum over them of the squared differences of means and of deviations."""
    points = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]) * math.sqrt(3 / 4)  # covariance: identity
    scaled = points * [2.0, 5.0] + [3.0, 0.0]
    assert frechet_distance(points, scaled) == pytest.approx(3**2 + (2 - 1) ** 2 + (5 - 1) ** 2, abs=1e-12)
    assert frechet_distance([[0.0], [2.0]], [[10.0], [12.0]]) == pytest.approx(100, abs=1e-12)


def test_of_a_set_and_itself_it_is_nothing():
    for rows in (50, 5):  # with 5 vectors of width 9 the covariance has no full rank
        vectors = cloud(2, rows, 9)
        assert 0 <= frechet_distance(vectors, vectors[::-1]) < 1e-10 * np.trace(np.cov(vectors.T))
    assert frechet_distance(np.ones((3, 4)), np.ones((5, 4))) == 0


def test_it_tells_texts_apart():
    """Averaged word vectors: other words are further off than more of the same; the order of words does not count."""
    torch.manual_seed(0)
    model = LSTM(LSTMConfig(vocabulary_size=20, width=6, layers=1))
    real, same = (torch.randint(0, 20, (300, 8)).tolist() for _ in range(2))
    other = torch.randint(0, 10, (300, 8)).tolist()
    vectors = [
        text_vectors(model, texts, pooling="mean")[Layer(stack="", number=0)].numpy()
        for texts in (real, same, other, [text[::-1] for text in real])
    ]
    assert frechet_distance(vectors[0], vectors[2]) > 10 * frechet_distance(vectors[0], vectors[1])
    assert frechet_distance(vectors[0], vectors[3]) == pytest.approx(0, abs=1e-8)


def test_what_is_refused():
    for first, second in (
        (np.ones((1, 3)), np.ones((5, 3))),
        (np.ones((5, 3)), np.ones((5, 2))),
        (np.ones(3), np.ones(3)),
    ):
        with pytest.raises(DataError, match="no two sets"):
            frechet_distance(first, second)
    with pytest.raises(DataError, match="no finite number"):
        frechet_distance([[0.0], [float("nan")]], [[0.0], [1.0]])
