"""The phases of a cell: likelihood, the discriminator alone, the game. Each is a run that goes on where it stopped."""

import copy
import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from text_gan_parts.languages import Language, WholeTexts
from text_gan_parts.methods import METHODS, Judge, Play, beside, game, generator, learning, likelihood
from trivium.checkpoints.folder import FolderWriter
from trivium.data.batches import CausalBatch
from trivium.data.whole_texts import whole_texts
from trivium.evaluation.oracle import START
from trivium.objectives.loss import Loss
from trivium.runtime.seeds import seed_everything
from trivium.training.adversarial.game import Game
from trivium.training.adversarial.textgan import CodeReader, TextGAN
from trivium.training.adversarial.texts import Texts
from trivium.training.learners.adversarial import AdversarialLearner
from trivium.training.learners.protocol import Learner
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig
from trivium.training.trainer import Trainer, TrainerConfig

ROWS = 64
_RATE = 1e-2
"""Of likelihood."""
_CODE_NOISE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything."""

    epochs: int
    """Of likelihood; the one that is best on the validation texts counts."""
    judge: Judge
    plays: Mapping[str, Play] = dataclasses.field(default_factory=lambda: METHODS)
    """How each method plays."""
    samples: int = 1000
    """Texts that are written to be judged."""
    look_every: int = 50
    """Steps of the game between two looks at it."""
    share: float = 1.0
    """Of the steps of every game; a trial has few."""
    minutes: float | None = None
    """Of the game; None for as many as its steps take."""

    def steps(self, whole: int) -> int:
        """A number of steps, cut down."""
        return max(2, math.ceil(self.share * whole)) if whole else 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One method on one language with one seed."""

    method: str
    language: Language
    sizes: Sizes
    seed: int
    folder: pathlib.Path
    """Of its runs."""
    starts: pathlib.Path
    """Of the generators that have learnt by likelihood: with the same seed every game begins with the same."""

    def likely(self, *, dropout: float = 0.0) -> nn.Module:
        """A generator that has learnt by likelihood, as it was when the validation texts were the likeliest."""
        seed_everything(self.seed)
        model = generator(self.method, self.language, self.sizes.judge, dropout=dropout)
        epoch = math.ceil(len(self.language.train) / ROWS)
        steps = self.sizes.epochs * epoch
        optimiser = OptimiserConfig(learning_rate=_RATE, beta2=0.999, weight_decay=0.0)
        config = SupervisedConfig(optimiser=optimiser, schedule=ScheduleConfig(kind="constant", warmup_steps=0))
        learner = SupervisedLearner(model, likelihood, config, steps=steps)
        own = "leakgan" if self.method.startswith("leakgan") else "lstm"
        folder = self.starts / f"{own}-{dropout:g}-{self.seed}"
        facts = {"generator": own, "dropout": dropout}
        run = self._run("likelihood", learner, ROWS, steps, every=epoch, folder=folder, facts=facts)
        model.load_state_dict(load_file(run.checkpoints / "best" / "model.safetensors"))
        return model

    def played(self) -> dict[str, Any]:
        """The figures before, along and after the game."""
        play, start = self.sizes.plays[self.method], self.likely()
        played, config = self._game(copy.deepcopy(start)), learning(play)
        rows = ROWS * max(1, config.discriminator_updates)
        if play.likelihood_beside:
            steps = self.sizes.steps(play.likelihood_beside)
            rate = dataclasses.replace(config.generator, learning_rate=_RATE / 3)
            both = dataclasses.replace(config, generator=rate)
            learner = AdversarialLearner(beside(played, self.language), both, steps=steps)
            self._run("beside", learner, rows, steps, every=steps)
            start = copy.deepcopy(played.generator)
        before = [self.look(played)] if isinstance(played, TextGAN) else self.measured(start, self.language.alphas)
        if play.discriminator_first:
            alone = dataclasses.replace(config, generator_updates=0)
            steps = self.sizes.steps(play.discriminator_first)
            learner = AdversarialLearner(played, alone, steps=steps)
            self._run("discriminator", learner, rows, steps, every=steps)
        steps, looks = self.sizes.steps(play.steps), self.folder / "looks.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)

        def look(step: int) -> None:
            with looks.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **self.look(played)}) + "\n")

        learner = AdversarialLearner(played, config, steps=steps)
        every = min(self.sizes.look_every, steps)
        run = self._run("game", learner, rows, steps, every=every, minutes=self.sizes.minutes, observe=look)
        lines = [json.loads(line) for line in looks.read_text(encoding="utf-8").splitlines()]
        return {
            "before": before,
            "looks": list({line["step"]: line for line in lines}.values()),
            "after": [self.look(played)]
            if isinstance(played, TextGAN)
            else self.measured(played.generator, self.language.alphas),
            "seconds": run.metrics()[-1]["seconds"],
            "steps": run.metrics()[-1]["step"],
            "play": dataclasses.asdict(play),
        }

    def measured(self, model: nn.Module, alphas: Sequence[float]) -> list[dict[str, float]]:
        """Figures at inverse temperatures."""
        return [self.language.measured(model, alpha, self.sizes.samples, seed=self.seed + 7) for alpha in alphas]

    def look(self, played: Game) -> dict[str, float]:
        """Figures of the generator as it stands. Of TextGAN those of its texts alone: it is no distribution of known
        likelihood."""
        if not isinstance(played, TextGAN):
            return self.language.measured(played.generator, 1.0, self.sizes.samples, seed=self.seed + 7)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 7)
            written = played.sampled(_as_many(self.language, self.sizes.samples), 0)
        return {"alpha": 1.0, **self.language.told(self.language.cut(written.tokens))}

    def _game(self, start: nn.Module) -> Game:
        """Networks of a seed of their own: the generator's must not depend on how it was made."""
        seed_everything(self.seed + 1)
        made = game(
            self.method,
            start,
            self.language,
            self.sizes.judge,
            rollouts=self.sizes.plays[self.method].rollouts,
        )
        if isinstance(made, TextGAN):
            autoencoder = _Autoencoder(made)
            steps = self.sizes.steps(1500)
            optimiser = OptimiserConfig(learning_rate=3e-3, beta2=0.999, weight_decay=0.0)
            learner = SupervisedLearner(
                autoencoder, _Autoencoder.loss, SupervisedConfig(optimiser=optimiser), steps=steps
            )
            self._run("autoencoder", learner, ROWS, steps, every=steps, publish=_nothing)
        return made

    def _run(
        self,
        name: str,
        learner: Learner,
        rows: int,
        steps: int,
        *,
        every: int,
        minutes: float | None = None,
        folder: pathlib.Path | None = None,
        facts: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        folder, facts = folder or self.folder / name, facts or {"method": self.method}
        facts = {**facts, "seed": self.seed, "steps": steps, "rows": rows}
        run = Run.start(folder, facts, resume=(folder / "config.yaml").is_file())
        config = TrainerConfig(
            steps=steps,
            minutes=minutes,
            log_every_steps=every,
            evaluate_every_steps=every,
            checkpoint_every_steps=every,
        )
        source = WholeTexts(self.language, rows, seed=self.seed)
        held_out = [] if name == "autoencoder" else whole_texts(self.language.validation, START).split(4)
        Trainer(run, learner, source, config, validation=held_out, title=name, **options).fit()
        return run


class _Autoencoder(nn.Module):
    """TextGAN's start: the discriminator's reader tells the code of a text, and the generator the text of a code.

    Codes are made to have mean 0 and variance 1 over a batch, a part of it noise, as those of the game have.
    """

    def __init__(self, played: TextGAN) -> None:
        super().__init__()
        assert isinstance(played.discriminator, CodeReader)
        self.generator, self.reader = played.generator, played.discriminator

    def loss(self, batch: CausalBatch) -> Loss:
        """-log p of the texts, each given its own code, in nats."""
        codes = self.reader.code(self.reader.features(Texts(batch.targets, batch.lengths)))
        codes = (codes - codes.mean(0)) / (codes.std(0) + 1e-3)
        codes = (1 - _CODE_NOISE**2) ** 0.5 * codes + _CODE_NOISE * torch.randn_like(codes)
        given = self.generator.embed(batch.tokens)
        given = torch.cat([given[:, :1] + codes[:, None], given[:, 1:]], dim=1)
        hidden = self.generator(embeddings=given, lengths=batch.lengths).hidden
        total = self.generator.head.nll_sum(hidden[batch.mask], batch.targets[batch.mask])
        return Loss(total=total, count=batch.mask.sum().to(total.dtype))


def _nothing(writer: FolderWriter, model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """An auto-encoder is no model that anybody loads."""


def _as_many(language: Language, count: int) -> CausalBatch:
    texts = [language.test[number % len(language.test)] for number in range(count)]
    return whole_texts(texts, START)
