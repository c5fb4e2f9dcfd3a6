"""One metric a file, each a function of predictions and references that gives a dict of figures.

    from trivium.evaluation import metrics

    metrics.rouge(["the cat sat"], ["the cat sat down"])["rougeL"]  # 6 / 7

Figures are shares of 1, as people in the field know them; BLEU and chrF are 0 to 100, as sacreBLEU gives them. Where a
figure is a mean over examples, `per_example=True` adds what it is the mean of, for `trivium.evaluation.intervals`.
"""

from trivium.evaluation.metrics.accuracy import accuracy
from trivium.evaluation.metrics.bleu import bleu, sentence_bleu
from trivium.evaluation.metrics.calibration import calibration
from trivium.evaluation.metrics.chrf import chrf
from trivium.evaluation.metrics.correlation import correlation
from trivium.evaluation.metrics.diversity import distinct, distinct_texts, repetition, self_bleu
from trivium.evaluation.metrics.edit_similarity import edit_similarity
from trivium.evaluation.metrics.entity_f1 import entity_f1
from trivium.evaluation.metrics.exact_match import exact_match
from trivium.evaluation.metrics.f1 import f1
from trivium.evaluation.metrics.krippendorff import krippendorff_alpha
from trivium.evaluation.metrics.mcc import mcc
from trivium.evaluation.metrics.pooled_bleu import pooled_bleu, pooled_self_bleu
from trivium.evaluation.metrics.precision_recall_f1 import precision_recall_f1
from trivium.evaluation.metrics.ranking import mean_average_precision, mrr, ndcg, precision_at, recall_at
from trivium.evaluation.metrics.rouge import rouge

__all__ = [
    "accuracy",
    "bleu",
    "calibration",
    "chrf",
    "correlation",
    "distinct",
    "distinct_texts",
    "edit_similarity",
    "entity_f1",
    "exact_match",
    "f1",
    "krippendorff_alpha",
    "mcc",
    "mean_average_precision",
    "mrr",
    "ndcg",
    "pooled_bleu",
    "pooled_self_bleu",
    "precision_at",
    "precision_recall_f1",
    "recall_at",
    "repetition",
    "rouge",
    "self_bleu",
    "sentence_bleu",
]
