"""A generator of texts against a discriminator: SeqGAN, MaliGAN, TextGAN, LeakGAN, RelGAN and ColdGANs.

    run = gan(GANConfig(data=Path("captions.txt"), method="relgan"))
    trivium.load(run.folder).generate("", max_new_tokens=20, seed=0)

Three trainings, one after the other: the generator by maximum likelihood (the run `likelihood/` in the folder of the
run), the discriminator on what that generator writes (`discriminator/`), and the game (the run itself). Each is
seeded by itself and goes on from its own checkpoints, so that a run that is killed in any of them, or between them, and
resumed ends with the same bits.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from trivium import config as configuration
from trivium.checkpoints.model_folder import load_model, write_model
from trivium.checkpoints.retention import point_to
from trivium.data.provenance import content_sha256
from trivium.data.text_rows import TextRowsSource
from trivium.errors import Unsupported
from trivium.objectives.causal import causal
from trivium.objectives.leakgan import leakgan_pretraining
from trivium.objectives.seq2seq import seq2seq
from trivium.recipes.gan_config import GANConfig
from trivium.recipes.gan_game import build_game, build_networks, generator_name
from trivium.recipes.gan_report import measured, report
from trivium.recipes.gan_texts import GANTexts, read_gan_texts
from trivium.recipes.training import begin, require_free, run_folder
from trivium.runtime import processes, seeds
from trivium.training.adversarial.game import Game
from trivium.training.learners.adversarial import AdversarialConfig, AdversarialLearner
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig
from trivium.training.trainer import Trainer, TrainerConfig

LIKELIHOOD, DISCRIMINATOR = "likelihood", "discriminator"
"""Runs in the folder of the run."""
_PARTS = 20
"""Of the trainings before the game: so often they are saved."""
_OF_THE_PLACE = ("output", "run", "resume")
_CONSTANT = ScheduleConfig(kind="constant", warmup_steps=0)


def gan(config: GANConfig) -> Run:
    """Carries out `config`. The generator is in `run.checkpoints / "best"`: that of the last step.

    Raises `UserError` before any training for data, sizes or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    if processes.place().world > 1:
        raise Unsupported(
            "a game is played by one process",
            received=f"{processes.place().world} processes",
            fix="start it without torchrun",
        )
    device = begin(config, processes.place())
    played = _set_up(config, device)
    run = Run.start(run_folder(config), _resolved(config, played), resume=config.resume)
    _pretrained(played, run)
    game = played.game(config)
    if not run.saved_steps():  # from there on the game has all of both
        _judging(played, game, run)
    _play(played, game, run)
    point_to(run.checkpoints / "best", run.saved_steps()[-1])
    found = measured(config, played.texts, game, run.folder / LIKELIHOOD, device)
    report(run, config, played.texts, found, device)
    return run


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Played:
    """What is trained, and on what."""

    config: GANConfig
    texts: GANTexts
    generator: nn.Module
    discriminator: nn.Module
    device: torch.device
    metadata: dict[str, Any]

    def source(self, rows: int) -> TextRowsSource:
        """Texts in an order of chance."""
        texts = self.texts
        return TextRowsSource(
            texts.training, start=texts.start, rows=rows, seed=self.config.seed, sources=texts.sources
        )

    def game(self, config: GANConfig) -> Game[Any]:
        """Of these two networks, by the settings of `config`."""
        texts = self.texts
        return build_game(config, self.generator, self.discriminator, end_id=texts.end, separator_id=texts.separator)

    def publish(self, phase: str) -> Callable[..., None]:
        """Writes the generator as a model folder; it is to sample unless it is told otherwise. One that writes for a
        source says that it does, and not only how it learnt to."""
        told = {"objective": "text_to_text", "learnt_by": phase} if self.texts.sources else {"objective": phase}
        return functools.partial(
            write_model,
            tokenizer=self.texts.tokenizer,
            generation={"do_sample": True, "temperature": 1.0},
            metadata={**self.metadata, **told},
        )


def _set_up(config: GANConfig, device: torch.device) -> _Played:
    name = generator_name(config)
    texts = read_gan_texts(config)
    generator, discriminator = build_networks(config, texts)
    if texts.sources:
        texts = dataclasses.replace(texts, start=generator.config.start_id)
    metadata = {
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        "architecture": name,
        "texts": len(texts.training),
    }
    played = _Played(
        config=config,
        texts=texts,
        generator=generator.to(device),
        discriminator=discriminator.to(device),
        device=device,
        metadata=metadata,
    )
    # Refuses what does not fit, before any work; LeakGAN's generator is told the discriminator's features from now on.
    _learner(played, played.game(config))
    return played


def _resolved(config: GANConfig, played: _Played) -> dict[str, Any]:
    """What config.yaml says: the settings that decide what is computed, with nothing left open."""
    settings = {name: value for name, value in configuration.to_dict(config).items() if name not in _OF_THE_PLACE}
    settings |= {"steps": config.game_steps, "data_sha256": played.metadata["data_fingerprint"]}
    settings["settings"] = {config.method: settings["settings"][config.method]}
    settings["phases"] |= {
        "likelihood_steps": config.likelihood_steps(len(played.texts.training)),
        "likelihood_rate": config.phases.likelihood_rate or config.way.likelihood_rate,
        "discriminator_steps": config.discriminator_steps,
    }
    settings["turns"] |= {
        "generator_rate": config.turns.generator_rate or config.way.generator_rate,
        "discriminator_rate": config.turns.discriminator_rate or config.way.discriminator_rate,
        "discriminator_updates": config.discriminator_updates,
        "saturated": config.saturated,
    }
    return settings


def _pretrained(played: _Played, run: Run) -> None:
    """Brings the generator to the weights that were best on held-out text in training by likelihood."""
    config, texts = played.config, played.texts
    steps = config.likelihood_steps(len(texts.training))
    rate = config.phases.likelihood_rate or config.way.likelihood_rate
    settings = SupervisedConfig(optimiser=_adam(rate), schedule=_CONSTANT, clip_norm=config.turns.clip_norm)
    seeds.seed_everything(config.seed)
    usual = seq2seq if texts.sources else causal
    objective = leakgan_pretraining if config.method == "leakgan" else usual
    learner = SupervisedLearner(played.generator, objective, settings, steps=steps)
    inner = _inner(run, LIKELIHOOD)
    every = max(1, steps // _PARTS)
    cadence = TrainerConfig(
        steps=steps, log_every_steps=every, evaluate_every_steps=every, checkpoint_every_steps=every
    )
    trainer = Trainer(
        inner,
        learner,
        played.source(config.rows),
        cadence,
        validation=texts.batches(),
        publish=played.publish("causal"),
        device=played.device,
        title="maximum likelihood",
    )
    trainer.fit()
    best = load_model(inner.checkpoints / "best", device=played.device)
    played.generator.load_state_dict(best.state_dict())


def _judging(played: _Played, game: Game, run: Run) -> None:
    """Trains the discriminator, on real texts and what the generator writes; alone, but that LeakGAN's generator, which
    writes by what the discriminator sees, goes on by likelihood beside it."""
    config = played.config
    if not config.discriminator_steps:
        return
    seeds.seed_everything(config.seed + 1)
    if config.method == "leakgan":
        settings = dataclasses.replace(config.settings.leakgan, likelihood_every=1)
        by_likelihood = dataclasses.replace(config, settings=dataclasses.replace(config.settings, leakgan=settings))
        game = played.game(by_likelihood)
    learner = _learner(played, game, before=True)
    every = max(1, config.discriminator_steps // _PARTS)
    cadence = TrainerConfig(
        steps=config.discriminator_steps,
        log_every_steps=every,
        evaluate_every_steps=config.discriminator_steps,
        checkpoint_every_steps=every,
    )
    trainer = Trainer(
        _inner(run, DISCRIMINATOR),
        learner,
        played.source(_rows(config)),
        cadence,
        publish=played.publish("causal"),
        device=played.device,
        title="discriminator alone",
    )
    trainer.fit()


def _play(played: _Played, game: Game, run: Run) -> None:
    config = played.config
    seeds.seed_everything(config.seed + 2)
    cadence = TrainerConfig(
        steps=config.game_steps,
        minutes=config.minutes,
        log_every_steps=config.cadence.log_every_steps,
        evaluate_every_steps=config.cadence.evaluate_every_steps,
        checkpoint_every_steps=config.cadence.checkpoint_every_steps,
        keep_best=0,  # by the likelihood of real text that would be the beginning
    )
    trainer = Trainer(
        run,
        _learner(played, game),
        played.source(_rows(config)),
        cadence,
        validation=played.texts.batches(),
        publish=played.publish(config.method),
        device=played.device,
        title=f"game ({config.method})",
    )
    trainer.fit()


def _learner(played: _Played, game: Game, *, before: bool = False) -> AdversarialLearner:
    """`before` the game the discriminator learns without ever waiting, and no generator but LeakGAN's does."""
    config, turns = played.config, played.config.turns
    beside = int(config.method == "leakgan")
    settings = AdversarialConfig(
        generator=_adam(turns.generator_rate or config.way.generator_rate),
        discriminator=_adam(turns.discriminator_rate or config.way.discriminator_rate),
        schedule=_CONSTANT,
        generator_updates=beside if before else turns.generator_updates,
        discriminator_updates=max(1, config.discriminator_updates) if before else config.discriminator_updates,
        saturated=1.0 if before else config.saturated,
        clip_norm=turns.clip_norm,
    )
    return AdversarialLearner(game, settings, steps=config.game_steps or sys.maxsize)


def _rows(config: GANConfig) -> int:
    """Texts that a step reads."""
    return config.rows * max(1, config.discriminator_updates)


def _adam(rate: float) -> OptimiserConfig:
    return OptimiserConfig(learning_rate=rate, beta2=0.999, weight_decay=0.0)


def _inner(run: Run, name: str) -> Run:
    """A run in the folder of the run, begun or gone on with."""
    folder = run.folder / name
    return Run.start(folder, {"phase": name, **run.config}, resume=(folder / "config.yaml").is_file())
