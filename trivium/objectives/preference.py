"""Scores that order answers as people do: the Bradley-Terry model, and good or bad answers.

    p(i better than j) = sigmoid(r_i - r_j)                               (Bradley and Terry 1952)
    loss = -1 / C(K, 2)  sum_{i better than j}  log sigmoid(r_i - r_j - m)                 (Ouyang et al. 2022, eq. 1)

over all pairs of a prompt's K answers, each of which is read once. The margin m is by how much i is better, where it is
known (Touvron et al. 2023b, eq. 2). Scores are free up to a number that is added to all of them; a small weight on
(r_i + r_j)^2 keeps that number near 0 (Eisenstein et al. 2023, "Helping or Herding?", eq. 6).

An answer that is only said to be good or bad: p(good) = sigmoid(r).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import LabelledBatch
from trivium.data.comparison_batches import ComparisonBatch
from trivium.models import architecture
from trivium.nn.output import Output
from trivium.objectives.loss import Loss
from trivium.objectives.reading import read

CENTRING = 0.01
"""The weight of (r_i + r_j)^2 (Eisenstein et al. 2023, section 3.1)."""
_WORTH_PACKING = 0.1  # share of padding from which packed rows are faster in spite of what it takes to pack them


def bradley_terry(model: nn.Module, batch: ComparisonBatch, *, centring: float = CENTRING) -> Loss:
    """Weighted negative log-likelihood (nats) of what was said of the answers of a batch.

    The count is the sum of the weights: 1 for each prompt and criterion by which all answers are ranked. A model that
    knows nothing has log 2. The auxiliary "centring" is the penalty on the sum of two scores. Metrics: "correct", the
    weight of the pairs whose better answer has the higher score; "margin", their differences; "tokens" read.
    """
    scores, output = score_rows(model, batch)
    better, worse = scores.mT.unsqueeze(-1), scores.mT.unsqueeze(-2)  # [B C K 1] and [B C 1 K]
    difference = better - worse
    weights = batch.weights.to(difference.dtype)
    # Pairs of which nothing is said weigh 0; as logsigmoid is finite wherever scores are, that is what they give.
    total = -(weights * F.logsigmoid(difference - batch.margins.to(difference.dtype))).sum()
    auxiliary = dict(output.auxiliary)
    if centring:
        auxiliary["centring"] = centring * (weights * (better + worse).square()).sum()
    metrics = {
        "correct": (weights * (difference > 0)).sum().detach(),
        "margin": (weights * difference).sum().detach(),
        "tokens": batch.lengths.sum().to(total.dtype),
    }
    return Loss(total=total, count=weights.sum(), auxiliary=auxiliary, metrics=metrics)


def good_or_bad(model: nn.Module, batch: LabelledBatch) -> Loss:
    """Negative log-likelihood (nats) of ``batch.labels`` ([B], 1 for a good answer and 0 for a bad one) summed over the
    rows. The metric "correct" counts the rows that are on their side of 0, "tokens" what was read."""
    output = read(model, batch)
    scores = _wide(model.classify(output.hidden, batch.lengths))
    assert scores.shape[1] == 1, f"an answer is good or bad in one respect, and the head is of {scores.shape[1]}"
    labels = batch.labels.to(scores.dtype)
    total = F.binary_cross_entropy_with_logits(scores[:, 0], labels, reduction="sum")
    correct = ((scores[:, 0] > 0) == (labels > 0.5)).sum().to(total.dtype)
    count = torch.tensor(float(batch.rows), dtype=total.dtype, device=total.device)
    tokens = batch.lengths.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics={"correct": correct, "tokens": tokens})


def score_rows(model: nn.Module, batch: ComparisonBatch) -> tuple[Float[Tensor, "B K C"], Output]:
    """The score of every answer by every criterion, each row read once; 0 where a prompt has fewer answers."""
    there = batch.lengths > 0
    tokens, lengths = batch.tokens[there], batch.lengths[there]
    types = None if batch.token_types is None else batch.token_types[there]
    if types is None and _packs(model, tokens, lengths):
        output, found = _read_packed(model, tokens, lengths)
    else:
        output = read(model, LabelledBatch(tokens=tokens, lengths=lengths, labels=lengths, token_types=types))
        found = model.classify(output.hidden, lengths)
    found = _wide(found)
    scores = found.new_zeros(*there.shape, found.shape[-1])
    scores[there] = found
    return scores, output


def _packs(model: nn.Module, tokens: Int[Tensor, "R T"], lengths: Int[Tensor, "R"]) -> bool:
    """Whether rows are read one behind the other, without their padding: by decoders, where it is much of them. A
    recurrence would read them one after the other, and an encoder leaves the padding out by itself."""
    if architecture(model.config.to_hf()["model_type"]).kind != "decoder":
        return False
    return float(lengths.sum()) < (1 - _WORTH_PACKING) * tokens.numel()


def _read_packed(
    model: nn.Module, tokens: Int[Tensor, "R T"], lengths: Int[Tensor, "R"]
) -> tuple[Output, Float[Tensor, "R C"]]:
    there = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    number = torch.arange(len(lengths), device=tokens.device)[:, None].expand_as(tokens)
    output = model(tokens[there][None], segments=number[there][None])
    last = output.hidden[0, lengths.cumsum(0) - 1]
    return output, model.classify(last[:, None], None)


def _wide(scores: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
    """At least fp32: of two scores near 10 bfloat16 tells no difference below 0.06."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
