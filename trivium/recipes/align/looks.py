"""What a policy writes after some steps, in figures, and the file of a run that keeps them.

    looks = read_looks(run.folder)
    looks.append(look(step, prompts, answers, proxies=..., golds=..., kls=..., lengths=..., ended=...))
    add_look(run.folder, looks[-1])

Every look of a run is at one answer to each of the same prompts, which are not trained on, so that looks can be
compared prompt by prompt. What they say is judged in `trivium.recipes.align.watch`.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Sequence

from trivium.checkpoints.folder import replace_file
from trivium.config import from_dict, to_dict
from trivium.errors import DataError
from trivium.evaluation.metrics.correlation import correlation
from trivium.evaluation.metrics.diversity import distinct, repetition, self_bleu
from trivium.runtime import processes

WATCH = "watch.jsonl"
"""The file of a run's folder, one look a line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer, to be read."""

    prompt: str
    answer: str
    proxy: float | None
    """Its reward; null where it was left out."""
    gold: float | None
    """Its gold score; null where there is none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """The policy after some steps, by its answers to the prompts of the watch."""

    step: int
    """Updates done."""
    asked: str
    """Which prompts those are: the beginning of a hash."""
    proxy: float
    """Mean reward."""
    gold: float | None
    """Mean gold score; null where there is none."""
    kl: float | None
    """Mean divergence from the reference in nats a text; null where it is no finite number."""
    length_tokens: float
    """Mean length of an answer."""
    length_correlation: float | None
    """Spearman's rho of reward and length; null where either is the same for all answers."""
    repetition_correlation: float | None
    """Spearman's rho of reward and the share of pairs of words that stood in the answer before; null likewise."""
    unique: float
    """Different answers as a share of all."""
    distinct2: float
    """Different pairs of words as a share of all, over all answers."""
    self_similarity: float | None
    """Self-BLEU of the answers; null for a single one."""
    ended: float
    """Share of the answers that came to their end."""
    samples: tuple[Sample, ...]
    """Some answers."""
    proxies: tuple[float | None, ...]
    """Reward of each answer; null where it was left out."""
    golds: tuple[float | None, ...] | None
    """Gold score of each answer; null where it was left out, or for all where there is none."""


def look(
    step: int,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    proxies: Sequence[float | None],
    golds: Sequence[float | None] | None,
    kls: Sequence[float],
    lengths: Sequence[int],
    ended: Sequence[bool],
    samples: int = 3,
) -> Look:
    """What there is to see in one answer to each prompt.

    Of each answer: `proxies` its reward and `golds` its gold score, None where a reward left it out; `kls` its
    divergence from the reference in nats, the sum over its tokens; `lengths` its tokens; `ended` whether it came to an
    end before it was cut off. `golds` is None where nothing but the reward scores. Raises `DataError` where these are
    not as many as the prompts, and where there is no answer with a reward.
    """
    columns = {"answers": answers, "proxies": proxies, "kls": kls, "lengths": lengths, "ended": ended}
    columns |= {} if golds is None else {"golds": golds}
    wrong = {name: len(column) for name, column in columns.items() if len(column) != len(prompts)}
    if wrong or not prompts:
        raise DataError("a look takes one answer to each prompt", received=f"{len(prompts)} prompts, {wrong}")
    scored = [(value, at) for at, value in enumerate(proxies) if value is not None]
    if not scored:
        raise DataError("a look takes at least one answer with a reward", received="none")
    rewards, places = zip(*scored, strict=True)
    repeated = repetition(answers, n=2, per_example=True)["per_example"]["repetition"]
    return Look(
        step=step,
        asked=hashlib.sha256("\0".join(prompts).encode("utf-8", "surrogatepass")).hexdigest()[:16],
        proxy=math.fsum(rewards) / len(rewards),
        gold=None if golds is None else _mean(golds),
        kl=_mean(kls),
        length_tokens=sum(lengths) / len(lengths),
        length_correlation=_correlation(rewards, [float(lengths[at]) for at in places]),
        repetition_correlation=_correlation(rewards, [repeated[at] for at in places]),
        unique=len(set(answers)) / len(answers),
        distinct2=distinct(answers, n=(2,))["distinct2"],
        self_similarity=self_bleu(answers)["self_bleu"] if len(answers) > 1 else None,
        ended=sum(ended) / len(ended),
        samples=tuple(
            Sample(prompt=prompts[at], answer=answers[at], proxy=proxies[at], gold=None if golds is None else golds[at])
            for at in range(min(samples, len(prompts)))
        ),
        proxies=tuple(proxies),
        golds=None if golds is None else tuple(golds),
    )


def read_looks(folder: pathlib.Path) -> list[Look]:
    """The looks of a run, oldest first; a line torn by a crash is left out."""
    path = folder / WATCH
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(from_dict(Look, json.loads(line)))
        except ValueError:
            continue
    return found


def add_look(folder: pathlib.Path, one: Look) -> None:
    """Adds a look to those of a run, on the disk when this returns; the first process does it."""
    if processes.place().is_first:
        with (folder / WATCH).open("a", encoding="utf-8") as file:
            file.write(_line(one))
            file.flush()
            os.fsync(file.fileno())


def forget_after(folder: pathlib.Path, step: int) -> None:
    """Drops the looks after `step`, which a resumed run will take again."""
    if processes.place().is_first and (folder / WATCH).is_file():
        kept = [_line(one) for one in read_looks(folder) if one.step <= step]
        replace_file(folder / WATCH, "".join(kept).encode())


def _line(one: Look) -> str:
    return json.dumps(to_dict(one), allow_nan=False) + "\n"


def _correlation(rewards: Sequence[float], others: Sequence[float]) -> float | None:
    if len(set(rewards)) < 2 or len(set(others)) < 2:
        return None
    return correlation(rewards, others)["spearman"]


def _mean(values: Sequence[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    mean = math.fsum(found) / len(found) if found and all(map(math.isfinite, found)) else math.nan
    return mean if math.isfinite(mean) else None
