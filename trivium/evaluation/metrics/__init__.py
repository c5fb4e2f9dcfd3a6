"""One metric a file, each a function of predictions and references that gives a dict of figures."""

from trivium.evaluation.metrics.rouge import rouge

__all__ = ["rouge"]
