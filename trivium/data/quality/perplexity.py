"""How surprising a text is to a small model of text that one trusts (`ngrams`), and the limit that it has to keep.

    limit = limit_for([model.perplexity(text) for text in reference], keep_percent=95)
    judge(text, model, limit)        # keeps it, or removes it by the rule "perplexity: above 9.3"

A model and its limit are made by `trivium filters`.
"""

import math
from collections.abc import Sequence

import numpy as np

from trivium.data.quality.limits import KEEP, Verdict
from trivium.data.quality.ngrams import NgramModel
from trivium.errors import DataError


def limit_for(perplexities: Sequence[float], keep_percent: float) -> float:
    """The limit that so much of a reference keeps.

    CCNet (Wenzek et al. 2020, "CCNet: Extracting High Quality Monolingual Datasets from Web Crawl Data", LM filtering)
    cuts web text so in three even parts. The reference must be other text than the model was trained on, which would
    seem better than any.

    Raises:
        DataError: no finite perplexity among them.
    """
    assert 0 < keep_percent < 100
    finite = [value for value in perplexities if math.isfinite(value)]
    if not finite:
        raise DataError("there is no text to take the limit of perplexity from", fix="give a reference with text")
    return float(np.percentile(finite, keep_percent))


def judge(text: str, model: NgramModel, limit: float) -> Verdict:
    """Keeps a text whose perplexity is at most ``limit``."""
    perplexity = model.perplexity(text)
    if perplexity <= limit:
        return KEEP
    return Verdict(rule=f"perplexity: above {limit:.3g}", detail=f"{perplexity:.3g}")
