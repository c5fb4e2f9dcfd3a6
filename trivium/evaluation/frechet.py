"""How far two sets of vectors are apart as clouds: the Frechet distance of the Gaussians that fit them.

    d^2 = |m_1 - m_2|^2 + trace(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

(Dowson and Landau 1982; of image features Heusel et al. 2017, equation 6). With vectors of sentences it measures
generated text against real text: the Frechet embedding distance, FED, of Semeniuta, Severyn and Gelly 2018, "On
Accurate Evaluation of GANs for Language Generation" (they take InferSent's; any encoder will do, but figures of two
encoders do not compare). `LanguageModel.embed` gives such vectors, and `trivium.evaluation.layers.text_vectors`; those
of its layer 0 with pooling "mean" are averaged word vectors, which do not see the order of words.

The estimate is too high, the more so the fewer vectors there are for their width: compare with what real text has
against other real text, with as many of each.
"""

import math
from collections.abc import Sequence

import numpy as np

from trivium.errors import DataError
from trivium.evaluation.metrics import checks

Vectors = Sequence[Sequence[float]] | np.ndarray


def frechet_distance(first: Vectors, second: Vectors) -> float:
    """The squared distance d^2, at least 0, of two sets [N, D] and [M, D]; in float64.

    The root of C_1 C_2, which is not symmetric, has the trace of that of C_1^(1/2) C_2 C_1^(1/2), which is, so that two
    symmetric eigendecompositions are all it takes, and what rounding leaves below 0 is known to be 0. Raises
    `DataError` for vectors that are not finite or of two widths, and for fewer than two of either.
    """
    mine, theirs = checks.numbers(first, "first vectors"), checks.numbers(second, "second vectors")
    fits = mine.ndim == theirs.ndim == 2 and mine.shape[-1] == theirs.shape[-1] and min(len(mine), len(theirs)) > 1
    if not fits:
        raise DataError(
            "these are no two sets of vectors",
            received=f"shapes {list(mine.shape)} and {list(theirs.shape)}",
            expected="[N, D] and [M, D], two vectors of each at least",
        )
    away = mine.mean(0) - theirs.mean(0)
    one, other = (np.atleast_2d(np.cov(vectors, rowvar=False)) for vectors in (mine, theirs))
    values, directions = np.linalg.eigh(one)
    root = (directions * np.sqrt(np.maximum(values, 0))) @ directions.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    return max(0.0, math.fsum((float(away @ away), float(np.trace(one)), float(np.trace(other)), -2 * float(common))))
