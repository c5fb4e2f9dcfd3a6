"""What became of the preferences: how often the better answer is ahead, and whether the chosen ones got likelier.

A loss of pairs is content where both answers become less likely, as long as the rejected one falls further; what the
model then writes instead is neither. So the change of the chosen answers' log-probability is shown, and told where it
fell by more than chance.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trivium.data.batches import JudgedBatch, PreferenceBatch
from trivium.nn.evaluating import evaluating
from trivium.objectives.answers import Reader
from trivium.objectives.kto import KTO
from trivium.objectives.preferred import Compared
from trivium.recipes.align.dpo_config import Preference, PreferenceLoss
from trivium.reports import parts
from trivium.reports.page import Section

_SURE = 2.0
"""Standard errors beyond which a change is no chance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferenceFigures:
    """Of pairs, or of good and bad answers, before training and after."""

    chosen: Sequence[float]
    """Change of the log-probability of each chosen, or good, answer, in nats."""
    rejected: Sequence[float]
    """The same of the rejected, or bad, ones."""
    accuracy: float | None
    """Share of pairs whose chosen answer has the higher reward; None of answers without pairs."""
    margin: float
    """Mean reward of the chosen answers above that of the rejected ones."""


def figures_of(
    loss: PreferenceLoss, network: nn.Module, read: Reader, batches: Iterable[PreferenceBatch] | Iterable[JudgedBatch]
) -> PreferenceFigures:
    """What `network` makes of answers whose log-probabilities before training are in their batches."""
    chosen: list[float] = []
    rejected: list[float] = []
    margins: list[float] = []
    device = next(network.parameters()).device
    with torch.no_grad(), evaluating(network):
        for batch in batches:
            batch = batch.to(device)
            assert batch.reference is not None, "the reference has read what is measured on"
            if isinstance(batch, JudgedBatch):
                (answers,) = read(network, batch.answers)
                change = answers.log_probs - batch.reference
                chosen += change[batch.good].tolist()
                rejected += change[~batch.good].tolist()
                continue
            assert not isinstance(loss, KTO), "its batches are of answers"
            first, second = read(network, batch.chosen, batch.rejected)
            seen = Compared(chosen=first, rejected=second, reference=batch.reference, margins=batch.margins)
            chosen += seen.chosen_ratio.tolist()
            rejected += seen.rejected_ratio.tolist()
            better, worse = loss.rewards(seen)
            margins += (better - worse).tolist()
    if isinstance(loss, KTO):
        margin = loss.beta * (_mean(chosen) - _mean(rejected))
        return PreferenceFigures(chosen=chosen, rejected=rejected, accuracy=None, margin=margin)
    accuracy = _mean([(margin > 0) + (margin == 0) / 2 for margin in margins])
    return PreferenceFigures(chosen=chosen, rejected=rejected, accuracy=accuracy, margin=_mean(margins))


def warning(objective: Preference, found: PreferenceFigures, seen: str) -> str | None:
    """What to say where the chosen answers have become less likely, by more than chance; None where not."""
    change, error = _mean(found.chosen), _standard_error(found.chosen)
    if not change < -_SURE * error:  # also where there are too few to tell
        return None
    kind, advice = "good" if objective == "kto" else "chosen", _ADVICE[objective]
    return (
        f"the {kind} answers have become less likely: by {-change:.2f} nats each, over {len(found.chosen):,} {seen} "
        f"ones; {advice}"
    )


_ADVICE: Mapping[Preference, str] = {
    "dpo": "nll_weight 1 holds them up, and so does a higher beta",
    "ipo": "a higher beta aims at less, and dpo with nll_weight 1 holds them up",
    "kto": "a higher beta, or desirable_weight, holds them up",
    "orpo": "a lower learning rate, or beta, holds them up",
    "simpo": "a lower learning rate holds them up, and so does orpo, or dpo with nll_weight 1",
}


def figures_section(
    found: PreferenceFigures, rows: Sequence[Mapping[str, Any]], seen: str, told: str | None
) -> Section:
    """For the run's report."""
    cards = (
        [] if found.accuracy is None else [(f"{found.accuracy:.1%}", f"of {seen} pairs have the better answer ahead")]
    )
    cards.append((f"{found.margin:+.3f}", "reward of the better answers above the others', on average"))
    cards += [
        (f"{_mean(changes):+.2f}", f"nats: change of {name} answers' log-probability")
        for name, changes in (("the better", found.chosen), ("the other", found.rejected))
    ]
    body = parts.cards(cards)
    if told is not None:
        body += parts.paragraph(told[0].upper() + told[1:] + ".")
    return Section(title="What was preferred", body=body + _course(rows))


_DRAWN = (
    (("reward_accuracy",), "share of pairs with the better answer ahead"),
    (("reward_margin",), "reward of the better answer above the other's"),
    (("chosen_log_prob", "rejected_log_prob"), "log-probability of an answer, in nats"),
    (("good_reward", "bad_reward"), "reward of good and of bad answers, each over all of them"),
    (("divergence",), "divergence from which gains and losses are felt, in nats"),
    (("log_ratio",), "distance of a token's log-probability from the reference's, in nats"),
)
_COLOURS = ("first", "second")


def _course(rows: Sequence[Mapping[str, Any]]) -> str:
    """Small drawings of what the objective wrote down."""
    drawings = ""
    for names, words in _DRAWN:
        series = [
            (name.replace("_", " "), colour, [row["step"] for row in rows if name in row], values)
            for name, colour in zip(names, _COLOURS, strict=False)
            if (values := [row[name] for row in rows if name in row])
        ]
        if series:
            drawings += parts.lines(series, x="step", y="", label=f"{words}, by step", caption=words, height=230)
    return f'<div class="maps">{drawings}</div>' if drawings else ""


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
