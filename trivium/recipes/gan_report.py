"""What a finished game is measured on, beside the generator that it began with, and the page about it.

Every generator can be cooled, which makes its texts better and fewer. So both are measured over temperatures, and the
question is whether the game led beyond what cooling gives for nothing; see `trivium.evaluation.frontier`.
"""

import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trivium.checkpoints.model_folder import load_model
from trivium.evaluation.frontier import Compared, Point, compared
from trivium.evaluation.metrics.pooled_bleu import pooled_bleu, pooled_self_bleu
from trivium.evaluation.over_seeds import over_seeds
from trivium.evaluation.text_nats import text_nats
from trivium.generation.ancestral import sample
from trivium.nn.evaluating import evaluating
from trivium.recipes import gan_scores
from trivium.recipes.gan_config import GANConfig
from trivium.recipes.gan_game import build_game
from trivium.recipes.gan_scores import Scored, scored
from trivium.recipes.gan_texts import GANTexts
from trivium.recipes.run_report import write_run_report
from trivium.reports.gan_game import GameFacts, game_sections
from trivium.reports.page import Section
from trivium.reports.text_gan import Curve, CurvePoint, GeneratorFacts, Range, generator_section
from trivium.runtime import seeds
from trivium.training.adversarial.conditioned import likelihood, writer
from trivium.training.adversarial.game import Game
from trivium.training.adversarial.texts import Texts
from trivium.training.run import Run

_START = "maximum likelihood"
_BY_CODE = (
    "TextGAN writes the likeliest text of a code, and so it is measured here; the nats, and what `trivium generate` "
    "samples from the saved generator, are without a code. Its own texts are in samples/after.jsonl of the run."
)
_ROWS = 256
_WRITTEN = 6
_STILL = 0.01
_COLLAPSED = 0.5
_WAITS = 0.5
_SURE = 0.95

Draw = Sequence[Sequence[int]]
"""Texts as ids, each up to its end token, which is left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swept:
    """A generator over temperatures."""

    draws: Mapping[float, Sequence[Draw]]
    """The texts of each draw, by temperature."""
    points: Mapping[int, Sequence[Point]]
    """Their costs, by draw."""
    unique: Mapping[float, float]
    """Share of different texts, the mean over draws."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What the page and the terminal tell."""

    start: Swept
    """The generator that the game began with."""
    end: Swept
    """The one that it made."""
    verdict: Compared
    started_at: float
    """Nats a token of held-out text under the first."""
    ended_at: float
    """Under the second."""
    unique_at_start: float
    """Share of different texts among as many as a step of the game writes, under the first."""
    written: Sequence[tuple[str, str]]
    """Texts of both side by side, a draw of each at temperature 1."""
    real: Sequence[str]
    """Held-out texts."""
    scored: Scored | None = None
    """What the texts of both tell by themselves, where it was asked for."""


def measured(
    config: GANConfig, texts: GANTexts, game: Game, likelihood: pathlib.Path, device: torch.device
) -> Measured:
    """Measures the generator of `game` beside the best one of the run in `likelihood`."""
    before = load_model(likelihood / "checkpoints" / "best", device=device)
    after = game.generator.eval()
    begun = swept(config, texts, functools.partial(_sampled, before, texts), config.frontier.temperatures)
    if config.method == "textgan":  # what varies its texts is the code, and no temperature
        ended = swept(config, texts, functools.partial(_by_codes, game, texts), (1.0,))
    else:
        ended = swept(config, texts, functools.partial(_sampled, after, texts), config.frontier.temperatures)
    first, last = (swept.draws[1.0][0] for swept in (begun, ended))
    return Measured(
        start=begun,
        end=ended,
        verdict=compared(begun.points, ended.points),
        started_at=_nats(before, texts),
        ended_at=_nats(after, texts),
        unique_at_start=_unique(_as_in_a_step(config, texts, before, game.discriminator)),
        written=[tuple(map(texts.tokenizer.decode, pair)) for pair in zip(first, last, strict=True)],  # pyright: ignore[reportArgumentType]
        real=[texts.tokenizer.decode(texts.told(ids)) for ids in texts.held_out[:_WRITTEN]],
        scored=scored(config, texts, begun.draws[1.0], ended.draws[1.0]),
    )


def report(run: Run, config: GANConfig, texts: GANTexts, found: Measured, device: torch.device) -> None:
    """Writes the page and the samples, says on stderr what stands at the top of the one and where the others are."""
    words = told(config, run.metrics(), found)
    print("\n".join(words), file=sys.stderr)
    for place, name in enumerate(("before", "after")):
        lines = [_record(texts, number, pair[place]) for number, pair in enumerate(found.written)]
        (run.samples / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(
        f"{len(found.written):,} of its texts are in {run.samples / 'after.jsonl'}, and as many of where the game "
        "began in before.jsonl beside it.",
        file=sys.stderr,
    )
    facts = GameFacts(
        metrics=run.metrics(),
        started_at=found.started_at,
        unique_at_start=found.unique_at_start,
        written=found.written[:_WRITTEN],
        real=found.real,
    )

    def sections(_: Any) -> Sequence[Section]:
        by_texts = [] if found.scored is None else [gan_scores.section(config, texts, found.scored, _START)]
        return [_frontier_section(config, found), *by_texts, *game_sections(facts)]

    write_run_report(run, device, extra=sections, told=words, plays=True)


def told(config: GANConfig, rows: Sequence[Mapping[str, Any]], found: Measured) -> list[str]:
    """In words: whether the generator leaves the frontier of its start, and every sign that it has collapsed."""
    moved = f"Held-out text costs {found.ended_at:.3f} nats a token, and {found.started_at:.3f} where the game began."
    by_texts = [] if found.scored is None else [gan_scores.told(found.scored)]
    by_code = [_BY_CODE] if config.method == "textgan" else []
    return [_verdict(config, found), moved, *by_texts, *signs(rows, found), *by_code]


def signs(rows: Sequence[Mapping[str, Any]], found: Measured) -> list[str]:
    """Each sign of a collapse as a sentence; a sentence that there is none, where there is none."""
    said = []
    few = [row["step"] for row in rows if row.get("unique", 1.0) < _COLLAPSED * found.unique_at_start]
    if few:
        least = min(row["unique"] for row in rows if "unique" in row)
        said.append(
            f"It repeats itself: from step {few[0]:,} on less than half as many of its texts were different as at the "
            f"start ({least:.1%} at the least, {found.unique_at_start:.1%} at the start)."
        )
    was, left = found.start.unique[1.0], found.end.unique[1.0]
    if left < _COLLAPSED * was:
        said.append(f"Of the texts that it writes in the end {left:.1%} are different; where it began {was:.1%} were.")
    deviations = [row["reward_deviation"] for row in rows if "reward_deviation" in row]
    if deviations and deviations[-1] < _STILL:
        said.append(
            f"The rewards say nothing: at the end they differ by {deviations[-1]:.2g} from one text to another."
        )
    waits = [row["discriminator_waits"] for row in rows if "discriminator_waits" in row]
    if waits and sum(waits) / len(waits) > _WAITS:
        said.append(
            f"The discriminator waited in {sum(waits) / len(waits):.0%} of the steps: it tells nearly every text "
            "rightly, and the generator does not catch up."
        )
    right = [row["discriminator_correct"] for row in rows if "discriminator_correct" in row]
    sure = right and sum(right) / len(right) > _SURE
    judge = "though the discriminator tells nearly all of them rightly" if sure else "and the discriminator is in doubt"
    return said or [f"There is no sign of a collapse: its texts differ, {judge}."]


def _verdict(config: GANConfig, found: Measured) -> str:
    whole = found.verdict.words(f"this {config.method} generator", f"its {_START} start", repeated="draws of texts")
    return f"{whole} Another seed of training may say otherwise."


# Measuring ------------------------------------------------------------------------------------------------------------


Write = Callable[[float, int, int], Draw]
"""`(temperature, count, seed) -> texts`."""


def swept(config: GANConfig, texts: GANTexts, write: Write, temperatures: Sequence[float]) -> Swept:
    """The costs of what `write` gives, beside the held-out texts."""
    order, count = config.frontier.order, config.frontier.texts
    references = [texts.words(ids, order) for ids in texts.held_out]
    draws: dict[float, list[Draw]] = {each: [] for each in temperatures}
    points: dict[int, list[Point]] = {}
    for draw in range(config.frontier.draws):
        points[draw] = []
        for temperature in temperatures:
            written = write(temperature, count, config.seed + draw)
            draws[temperature].append(written)
            spelt = [texts.words(ids, order) for ids in written]
            quality = 1 - pooled_bleu(spelt, references, orders=(order,))[f"bleu{order}"]
            alike = pooled_self_bleu(spelt, orders=(order,))[f"self_bleu{order}"]
            points[draw].append(Point(temperature=temperature, quality=quality, diversity=alike))
    unique = {each: sum(map(_unique, found)) / len(found) for each, found in draws.items()}
    return Swept(draws=draws, points=points, unique=unique)


def _sampled(model: nn.Module, texts: GANTexts, temperature: float, count: int, seed: int) -> list[list[int]]:
    chance = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    found: list[list[int]] = []
    model.eval()
    for first in range(0, count, _ROWS):
        room = texts.room(min(_ROWS, count - first), first).to(device)
        own = writer(model, Texts.of(room).sources)
        written = sample(own, room.tokens[:, :1], texts.longest, temperature=temperature, chance=chance)
        found += [texts.told(ids) for ids in written.tolist()]
    return found


def _by_codes(game: Game, texts: GANTexts, temperature: float, count: int, seed: int) -> list[list[int]]:
    assert temperature == 1.0, "a code knows no temperature"
    return _of_game(game, texts, count, seed, at_once=_ROWS)


def _of_game(game: Game, texts: GANTexts, count: int, seed: int, at_once: int) -> list[list[int]]:
    """Texts as the game writes them, so many at once; chance is as it was afterwards."""
    device = next(game.generator.parameters()).device
    found: list[list[int]] = []
    states = seeds.capture()
    seeds.seed_everything(seed)
    for first in range(0, count, at_once):
        # Of the real texts beside them only the start, the number, the room and the sources count.
        room = texts.room(min(at_once, count - first), first)
        found += [texts.told(ids) for ids in game.sampled(room.to(device), 0).tokens.tolist()]
    seeds.restore(*states)
    return found


def _as_in_a_step(config: GANConfig, texts: GANTexts, generator: nn.Module, discriminator: nn.Module) -> Draw:
    """As many texts as a step of the game writes, in the way in which the method writes them there."""
    count = config.rows * max(1, config.discriminator_updates)
    if config.method == "leakgan":  # in a game it would be told what the discriminator sees by now
        return _sampled(generator, texts, 1.0, count, config.seed)
    game = build_game(config, generator, discriminator, end_id=texts.end, separator_id=texts.separator)
    return _of_game(game, texts, count, config.seed, at_once=count)


def _record(texts: GANTexts, number: int, text: str) -> str:
    """A line of JSON, with the source where there is one: they were written for in turn."""
    sources = texts.held_out_sources
    beside = {"source": texts.tokenizer.decode(texts.told(sources[number % len(sources)]))} if sources else {}
    return json.dumps({**beside, "text": text}, ensure_ascii=False) + "\n"


def _unique(draw: Draw) -> float:
    return len({tuple(ids) for ids in draw}) / len(draw)


@torch.no_grad()
def _nats(model: nn.Module, texts: GANTexts) -> float:
    if texts.sources:
        device = next(model.parameters()).device
        with evaluating(model):
            losses = [likelihood(model, batch.to(device)) for batch in texts.batches()]
        return sum(float(loss.total) for loss in losses) / sum(float(loss.count) for loss in losses)
    nats = text_nats(model, texts.held_out, start=texts.start)
    return float(nats.sum()) / sum(map(len, texts.held_out))


# Telling --------------------------------------------------------------------------------------------------------------


def _frontier_section(config: GANConfig, found: Measured) -> Section:
    order, settings = config.frontier.order, config.frontier
    section = generator_section(
        GeneratorFacts(
            curves=[_curve(_START, found.start), _curve(config.method, found.end)],
            verdicts=[_verdict(config, found)],
            quality=f"1 - BLEU-{order} on held-out texts",
            diversity=f"Self-BLEU-{order}",
            seeds=1,
        )
    )
    note = (
        f"Each point is {settings.draws} draws of {settings.texts:,} texts, with the interval at 95 % of their mean: "
        "what other draws from the same two generators would give. Words are the tokens; a text of fewer than "
        f"{order} is filled up with end tokens, so that a copy of a short text counts as one."
    )
    return dataclasses.replace(section, body=f"{section.body}<p>{note}</p>")


def _curve(name: str, swept: Swept) -> Curve:
    by_temperature = list(zip(*swept.points.values(), strict=True))
    return Curve(
        name=name,
        points=[
            CurvePoint(
                temperature=points[0].temperature,
                quality=_range([point.quality for point in points]),
                diversity=_range([point.diversity for point in points]),
                measures={"different texts": swept.unique[points[0].temperature]},
            )
            for points in by_temperature
        ],
    )


def _range(values: Sequence[float]) -> Range:
    found = over_seeds(values)
    return found.low, found.estimate, found.high
