"""Private fine-tuning: what is learnt of all examples, and hardly anything of one; with what that guarantee comes to.

    source = private_source(examples, vocabulary_size=4096, context_tokens=256, rows=64)
    privacy = privacy_of(config, examples=len(examples), rows=64)
    run = train(recipe, Job(..., source=source, privacy=privacy), ...)
    section = keep_statement(run, privacy(steps), steps)

An example is one record of the data: what one person wrote is covered as a whole only where it is one record.
"""

import functools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.data.examples import Example
from trivium.data.poisson import PoissonExamples
from trivium.reports import parts
from trivium.reports.page import Section
from trivium.training.private_gradients import Privacy, PrivacyConfig
from trivium.training.run import Run

PRIVACY = "privacy.json"


def private_source(
    examples: Sequence[Example], *, vocabulary_size: int, context_tokens: int, rows: int
) -> Callable[[], PoissonExamples]:
    """What makes the source of batches: examples that fit, of which a batch takes ``rows`` on average."""
    return functools.partial(
        PoissonExamples, examples, vocabulary_size=vocabulary_size, context_tokens=context_tokens, rows=rows
    )


def privacy_of(config: PrivacyConfig, *, examples: int, rows: int) -> Callable[[int], Privacy]:
    """Of a number of steps, how they are made private."""
    return lambda steps: Privacy.of(config, examples=examples, expected=rows, steps=steps)


def statement(privacy: Privacy, steps: int) -> dict[str, Any]:
    """The guarantee after so many steps: what is to be quoted with it."""
    return {
        "epsilon": privacy.spent(steps),
        "delta": privacy.delta,
        "neighbours": "one example is there or not",
        "accountant": "Rényi divergences of the sampled Gaussian mechanism, orders 1.1 to 1024",
        "noise": privacy.noise,
        "clip_norm": privacy.clip_norm,
        "sampling": "Poisson",
        "sample_rate": privacy.sample_rate,
        "examples": privacy.examples,
        "steps": steps,
    }


def told_apart(epsilon: float, delta: float) -> float:
    """How often the best test can be right on whether an example was among those trained on, where half of those that
    it is asked about were: (e^epsilon + delta) / (e^epsilon + 1), the corner of the region of Kairouz, Oh and Viswanath
    2015, theorem 2.1. Guessing is right in 0.5."""
    missed = math.exp(-epsilon) / (1 + math.exp(-epsilon))  # no epsilon is too large for this one
    return 1 - (1 - delta) * missed


def keep_statement(run: Run, privacy: Privacy, steps: int) -> Section:
    """Writes `privacy.json` into the run's folder, and gives the same for its report."""
    told = statement(privacy, steps)
    replace_file(run.folder / PRIVACY, (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())
    body = parts.paragraph(
        f"Whoever sees the model is right on whether any one example was among those trained on in at most "
        f"{told_apart(told['epsilon'], told['delta']):.1%} of cases, where guessing is in 50%: epsilon "
        f"{told['epsilon']:.3g} at delta {told['delta']:.2g}."
    )
    rows = [(name, f"{value:.6g}" if isinstance(value, float) else str(value)) for name, value in told.items()]
    body += parts.table(("", ""), rows)
    body += parts.paragraph(
        "Not covered: the losses on this page, the examples held out to measure and to choose the best checkpoint by, "
        "and the folder resume/ of the checkpoints, from which the noise could be taken out again.",
        "quiet",
    )
    return Section(title="What it tells of one example", body=body)
