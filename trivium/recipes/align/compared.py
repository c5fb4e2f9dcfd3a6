"""What training has brought: an answer of the policy beside one, and the best of several, of the model before."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.config import to_dict
from trivium.evaluation.best_of import AgainstSamples, BestOf, against_samples, frontier
from trivium.generation.reading import device_of
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.recipes.align.watched import Watcher
from trivium.training.references import Reference
from trivium.training.rollouts import Asked
from trivium.training.run import Run

COMPARED = "compared.json"
"""The file of a run's folder."""
_SEEDS = 1_000_000  # apart from those of the looks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """The policy that the run ended with, and the model before training, on prompts that nobody has looked at: what
    was chosen by its looks was partly lucky there."""

    scored_by: str
    """gold, or reward where nothing else scores."""
    frontier: list[BestOf]
    """Best of 1, 2, ... samples of the model before, chosen by the reward."""
    against: AgainstSamples
    """The policy's one answer against one sample and the best of them."""


def compared(
    run: Run, prompts: Sequence[Asked], samples: int, watcher: Watcher, reference: Reference, model: LocalModel
) -> Compared | None:
    """Writes with both, judges, and keeps the result in the run's folder; None where nothing is to be compared: no
    samples, or fewer than two prompts.

    ``model`` is the one that was trained; inside ``reference`` it is what it was before.
    """
    if not samples or len(prompts) < 2:
        return None
    after = load(run.folder, device=str(device_of(model.network)))
    mine, _ = _written(prompts, 1, watcher, after)
    with reference() as network:
        before = LocalModel(network, model.tokenizer, generation=model.generation)
        gold, proxy = _written(prompts, samples, watcher, before)
    whole = [at for at, row in enumerate(mine) if None not in (*row, *proxy[at], *gold[at])]
    if len(whole) < 2:
        return None
    own, liked, worth = (
        [[float(score or 0.0) for score in table[at]] for at in whole] for table in (mine, proxy, gold)
    )
    found = Compared(
        scored_by="reward" if watcher.gold is None else "gold",
        frontier=frontier(liked, worth),
        against=against_samples([row[0] for row in own], liked, worth, k=samples),
    )
    replace_file(run.folder / COMPARED, json.dumps(to_dict(found), indent=2).encode())
    return found


Table = list[list[float | None]]


def _written(prompts: Sequence[Asked], samples: int, watcher: Watcher, model: LocalModel) -> tuple[Table, Table]:
    """Of each prompt the gold scores of so many answers of ``model``, and their rewards."""
    asked = [prompt for prompt in prompts for _ in range(samples)]
    write = dataclasses.replace(watcher.write, model=model)
    answers = [answer.text for answer in write([prompt.ids for prompt in asked], range(_SEEDS, _SEEDS + len(asked)))]
    texts = [prompt.text for prompt in asked]
    proxy = watcher.proxy(texts, answers)
    gold = proxy if watcher.gold is None else watcher.gold(texts, answers)
    gold_table, proxy_table = (
        [scores[at : at + samples] for at in range(0, len(asked), samples)] for scores in (gold, proxy)
    )
    return gold_table, proxy_table


def told(found: Compared) -> str:
    """In a sentence, for people."""
    one, several = found.against.single, found.against.best
    return (
        f"on prompts that were not looked at, by the {found.scored_by}: {_difference(one)} against one sample of the "
        f"model before, {_difference(several)} against the best of {found.against.k}"
    )


def _difference(comparison: Any) -> str:
    interval = comparison.interval
    return f"{comparison.difference:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
