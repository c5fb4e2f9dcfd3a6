"""The report of a training run: what was trained, how it learnt, what it cost. Takes plain figures, gives a page."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trivium.reports import parts
from trivium.reports.page import Page, Section

TOKEN = "a token"
SCORE = "a score"
"""In place of what the loss is a mean over: unseen prompts are measured by the score of answers, its sign turned."""
"""What the loss of a language model, or of a translation, is a mean over."""

_TICKS = 6
_MOST_POINTS = 1500  # more cannot be told apart in a drawing, and make the file large


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything the page tells of any run."""

    name: str
    """Of the run."""
    architecture: str
    """Name of the model's architecture."""
    paper: str
    """Where that comes from."""
    machine: str
    """Processor and cores, in words."""
    parameters: int
    metrics: Sequence[Mapping[str, Any]]
    """The lines of metrics.jsonl."""
    settings: Mapping[str, Any]
    """The content of config.yaml."""
    loss_of: str = TOKEN
    """What the loss is a mean over."""
    samples: Sequence[tuple[str, str]] = ()
    """(what begins it, what the model wrote)."""
    told: Sequence[str] = ()
    """Sentences that come before all else."""
    plays: bool = False
    """What it trains on is a game, whose loss is no likelihood and not to be drawn beside that of unseen text."""


def run_page(facts: RunFacts, sections: Sequence[Section] = ()) -> Page:
    """The page of one run; `sections` are what is shown of its kind of model, after what every run has."""
    # Scores and games have drawings of their own.
    drawn = [_course] if facts.loss_of == SCORE or facts.plays else [_loss, _course]
    shown = [
        *([draw(facts) for draw in drawn] if facts.metrics else []),
        *sections,
        *([_samples(facts)] if facts.samples else []),
        _settings(facts),
    ]
    foot = parts.paragraph("Everything on this page is in this one file; opening it asks nothing of any network.")
    return Page(title=f"{facts.name}: a run of {facts.architecture}", head=_head(facts), sections=shown, foot=foot)


def _head(facts: RunFacts) -> str:
    body = "".join(map(parts.paragraph, facts.told))
    body += parts.paragraph(facts.paper, "lead") + parts.paragraph(f"Trained on {facts.machine}.", "quiet")
    cards = [(_large(facts.parameters), "parameters")]
    if facts.metrics:
        last = facts.metrics[-1]
        cards.append((_large(last["tokens"]), f"tokens trained on in {last['step']:,} steps"))
        speed = last["tokens"] / max(last["seconds"], 1e-9)
        cards.append((_duration(last["seconds"]), f"of work, {speed:,.0f} tokens a second"))
        cards += _lowest(facts)
        if last["skipped"]:
            cards.append((f"{last['skipped']:,}", "steps skipped, since their gradient was no number"))
    return body + parts.cards(cards)


def _lowest(facts: RunFacts) -> Iterator[tuple[str, str]]:
    """The best validation loss, where there is one."""
    scores = [(row["validation_loss"], row["step"]) for row in facts.metrics if row["validation_loss"] is not None]
    if scores:
        loss, step = min(scores)
        if facts.loss_of == SCORE:
            yield f"{-loss:.3f}", f"score of an answer to unseen prompts at best (step {step:,})"
            return
        told = f", a perplexity of {_perplexity(loss)}" if facts.loss_of == TOKEN else ""
        yield f"{loss:.3f}", f"nats {facts.loss_of} of unseen text at best (step {step:,}){told}"


def _loss(facts: RunFacts) -> Section:
    series = [
        (name, colour, steps, losses)
        for name, colour, (steps, losses) in (
            ("training", "second", _curve(facts.metrics, "loss")),
            ("unseen text", "first", _curve(facts.metrics, "validation_loss")),
        )
        if steps
    ]
    caption = f"Nats {facts.loss_of}, over the steps and the tokens trained on. Lower is better."
    if facts.settings.get("label_smoothing"):
        caption += " In training with label smoothing, which unseen text is measured without."
    body = parts.lines(
        series,
        x="step, and tokens trained on",
        y=f"nats {facts.loss_of}",
        label="Loss over the steps of training",
        caption=caption,
        ticks=_ticks(facts.metrics),
    )
    return Section(title="How it learnt", body=body)


def _course(facts: RunFacts) -> Section:
    """Small drawings of what else is written down at each step."""
    drawings = ""
    for name, words, colour in (
        ("learning_rate", "learning rate", "third"),
        ("gradient_norm", "norm of the gradient", "fourth"),
        ("tokens_per_second", "tokens a second", "first"),
        ("skipped", "steps skipped so far", "second"),
    ):
        steps, values = _curve(facts.metrics, name)
        # Where nothing was skipped, as is usual, the head says so by not speaking of it.
        if steps and (name != "skipped" or values[-1]):
            drawings += parts.lines(
                [(words, colour, steps, values)], x="step", y="", label=f"{words} by step", caption=words, height=230
            )
    return Section(title="On the way", body=f'<div class="maps">{drawings}</div>')


def _samples(facts: RunFacts) -> Section:
    blocks = "".join(f"<div>{parts.text(written, given)}</div>" for given, written in facts.samples)
    return Section(title="What it writes", body=f'<div class="samples">{blocks}</div>')


def _settings(facts: RunFacts) -> Section:
    body = parts.paragraph("The whole configuration, as it was carried out.")
    return Section(title="What was asked", body=body + parts.table(("setting", "value"), list(_flat(facts.settings))))


def _flat(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting with its dotted path."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", "none" if value is None else str(value)


def _curve(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """The steps at which there is a value, and the values; of very many, a part taken evenly, with the last."""
    found = [(row["step"], row[name]) for row in rows if row[name] is not None]
    every = max(-(-len(found) // _MOST_POINTS), 1)
    kept = found[::-1][::every][::-1]
    return [step for step, _ in kept], [value for _, value in kept]


def _ticks(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Round steps, each with the tokens that had been trained on by then."""
    last = rows[-1]["step"]
    apart = _round(last / _TICKS)
    ticks: list[tuple[float, str]] = []
    for step in range(apart, last + 1, apart):
        row = min(rows, key=lambda row: abs(row["step"] - step))
        tokens = row["tokens"] * step / max(row["step"], 1)
        ticks.append((step, f"{step:,}<br>{_large(round(tokens))}"))
    return ticks


def _round(apart: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50 and so on that is not below."""
    power = 10 ** max(math.floor(math.log10(max(apart, 1))), 0)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= apart)


def _large(count: float) -> str:
    """To three digits."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= (size if unit != "k" else 1e4):
            value = count / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{count:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def _perplexity(loss: float) -> str:
    return f"{math.exp(loss):,.1f}" if loss < 20 else "more than can be told"
