"""The methods: which networks play which game, at what rates."""

import dataclasses
from typing import Any

from torch import nn

from text_gan_parts.languages import Language
from trivium.data.batches import CausalBatch
from trivium.models.leakgan import LeakGAN, LeakGANConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.relgan_discriminator import RelGANDiscriminator, RelGANDiscriminatorConfig
from trivium.models.text_cnn import SIZES as CLASSIFIERS
from trivium.models.text_cnn import TextCNN, TextCNNConfig
from trivium.objectives.causal import causal
from trivium.objectives.coldgan import ColdConfig
from trivium.objectives.leakgan import LeakGANTraining, leakgan_pretraining
from trivium.objectives.loss import Loss
from trivium.objectives.maligan import MaliGANConfig
from trivium.objectives.relgan import RelGANConfig
from trivium.objectives.seqgan import SeqGANConfig
from trivium.objectives.textgan import TextGANConfig
from trivium.training.adversarial.coldgan import ColdGAN
from trivium.training.adversarial.game import Game
from trivium.training.adversarial.leakgan import LeakGame
from trivium.training.adversarial.maligan import MaliGAN
from trivium.training.adversarial.relgan import RelGAN
from trivium.training.adversarial.seqgan import SeqGAN
from trivium.training.adversarial.textgan import CodeReader, TextGAN
from trivium.training.learners.adversarial import AdversarialConfig
from trivium.training.optimisers import OptimiserConfig

WIDTH = 32
"""Of the generators, as in the authors' programs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judge:
    """Shape of a discriminator."""

    classifier: TextCNNConfig
    """Of all but RelGAN and LeakGAN."""
    leaking: TextCNNConfig
    """Of LeakGAN, whose generator reads it at every token."""
    relgan: RelGANDiscriminatorConfig


_WINDOWS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
_NARROW = TextCNNConfig(width=32, windows=_WINDOWS, filters=(32,) * len(_WINDOWS), highway=True, dropout=0.25)
SMALL = Judge(
    classifier=_NARROW,
    leaking=_NARROW,
    relgan=RelGANDiscriminatorConfig(width=32, representations=1, windows=(1, 2, 3, 4, 5), filters=64),
)
_PUBLISHED = CLASSIFIERS["seqgan"]
LARGE = Judge(
    classifier=_PUBLISHED,
    leaking=dataclasses.replace(_PUBLISHED, filters=tuple(count // 4 for count in _PUBLISHED.filters)),
    relgan=RelGANDiscriminatorConfig(representations=1, windows=(1, 2, 3, 4, 5)),
)
"""As published but for LeakGAN's, with a quarter of the filters, and for RelGAN's 64 representations of one number:
they take 64 times as long as one of 64. And without windows of one token the generator loses the frequencies of words
(docs/log.md)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Play:
    """How long a method plays, and at what rates."""

    steps: int
    generator_rate: float
    discriminator_rate: float = 1e-3
    discriminator_updates: int = 5
    discriminator_first: int = 60
    """Steps of the discriminator alone, before the game."""
    likelihood_beside: int = 0
    """Steps, before the game, of the discriminator and of likelihood: LeakGAN writes by what the discriminator sees,
    and what that learns alone would be strange to it."""
    rollouts: int = 16
    """Endings of each beginning, of SeqGAN and its controls."""
    saturated: float = 0.98
    """A discriminator that is right about so many texts waits; 1 for never. RelGAN's sees soft tokens beside hard ones,
    and is right about nearly all while it still has much to teach."""


METHODS: dict[str, Play] = {
    "seqgan": Play(steps=150, generator_rate=1e-3),
    "seqgan_published": Play(steps=150, generator_rate=1e-3),
    "maligan": Play(steps=300, generator_rate=1e-3),
    "textgan": Play(
        steps=300, generator_rate=2e-4, discriminator_rate=2e-4, discriminator_updates=1, discriminator_first=0
    ),
    "leakgan": Play(steps=100, generator_rate=2e-4, discriminator_first=0, likelihood_beside=100),
    "leakgan_constant": Play(steps=100, generator_rate=2e-4, discriminator_first=0, likelihood_beside=100),
    "relgan": Play(steps=400, generator_rate=2e-4, discriminator_rate=1e-4, discriminator_updates=1, saturated=1.0),
    "coldgan": Play(steps=300, generator_rate=1e-3),
    "constant": Play(steps=150, generator_rate=1e-3, discriminator_updates=0, discriminator_first=0),
    "random": Play(steps=150, generator_rate=1e-3, discriminator_updates=0, discriminator_first=0),
}
"""seqgan has the mean reward of a position as baseline; seqgan_published, constant and random have none.
leakgan_constant rewards the Worker as the authors' program in effect does: every token alike."""

LARGE_METHODS: dict[str, Play] = {
    name: dataclasses.replace(play, steps=2 * play.steps, rollouts=4) for name, play in METHODS.items()
}
"""With thousands of tokens, each seen less often: longer, and with as many roll-outs as LeakGAN has, which is what a
step of SeqGAN takes its time for."""
PLAYS: dict[str, dict[str, Play]] = {
    "paper": {
        "relgan": dataclasses.replace(METHODS["relgan"], generator_rate=5e-4),
        "leakgan": dataclasses.replace(LARGE_METHODS["leakgan"], generator_rate=1e-3),
    },
    "coco": {"relgan": dataclasses.replace(LARGE_METHODS["relgan"], generator_rate=1e-4)},
}
"""Where a language asks for another rate: at 2e-4 RelGAN's generator hardly moves in the published synthetic test, and
collapses on captions. LeakGAN's is nearer to the authors' there."""


def learning(play: Play) -> AdversarialConfig:
    """Without decay of weights, Adam's second moment over a thousand updates: rewards are noisy."""
    rates = [
        OptimiserConfig(learning_rate=rate, beta2=0.999, weight_decay=0.0)
        for rate in (play.generator_rate, play.discriminator_rate)
    ]
    return AdversarialConfig(
        generator=rates[0],
        discriminator=rates[1],
        discriminator_updates=play.discriminator_updates,
        saturated=play.saturated,
    )


def generator(method: str, language: Language, judge: Judge, *, dropout: float = 0.0) -> nn.Module:
    """One LSTM; LeakGAN has its own."""
    if method.startswith("leakgan"):
        shape = judge.leaking
        return LeakGAN(
            LeakGANConfig(
                vocabulary_size=language.vocabulary,
                width=WIDTH,
                leak_width=shape.width,
                windows=shape.windows,
                filters=shape.filters,
                dropout=dropout,
            )
        )
    return LSTM(LSTMConfig(vocabulary_size=language.vocabulary, width=WIDTH, layers=1, dropout=dropout))


def likelihood(model: nn.Module, batch: CausalBatch) -> Loss:
    """What every generator learns first."""
    return leakgan_pretraining(model, batch) if isinstance(model, LeakGAN) else causal(model, batch)


def classifier(language: Language, shape: TextCNNConfig) -> TextCNN:
    """The convolutional discriminator of all but RelGAN."""
    labels = ("generated", "real")
    return TextCNN(dataclasses.replace(shape, vocabulary_size=language.vocabulary, labels=labels))


def game(method: str, own: nn.Module, language: Language, judge: Judge, *, rollouts: int = 16) -> Game:
    """`own` has learnt by likelihood; `rollouts` are SeqGAN's."""
    ends: dict[str, Any] = {"end_id": language.end_id}
    if method == "relgan":
        shape = dataclasses.replace(judge.relgan, vocabulary_size=language.vocabulary)
        return RelGAN(own, RelGANDiscriminator(shape), RelGANConfig(largest_beta=1.0), **ends)
    opponent = classifier(language, judge.leaking if isinstance(own, LeakGAN) else judge.classifier)
    if isinstance(own, LeakGAN):
        reward = "constant" if method == "leakgan_constant" else "intrinsic"
        return LeakGame(own, opponent, LeakGANTraining(worker_reward=reward), **ends)
    if method == "textgan":
        return TextGAN(own, CodeReader(opponent, WIDTH), TextGANConfig(), **ends)
    if method == "maligan":
        return MaliGAN(own, opponent, MaliGANConfig(baseline_steps=100), **ends)
    if method == "coldgan":
        return ColdGAN(own, opponent, ColdConfig(), **ends)
    if method in ("constant", "random"):
        return SeqGAN(own, opponent, SeqGANConfig(reward=method, rollouts=rollouts), **ends)
    baseline = "position" if method == "seqgan" else "none"
    return SeqGAN(own, opponent, SeqGANConfig(baseline=baseline, rollouts=rollouts), **ends)


def beside(played: Game, language: Language) -> Game:
    """The same networks, but that LeakGAN's generator learns by likelihood alone."""
    assert isinstance(played, LeakGame)
    return LeakGame(played.generator, played.discriminator, LeakGANTraining(likelihood_every=1), end_id=language.end_id)
