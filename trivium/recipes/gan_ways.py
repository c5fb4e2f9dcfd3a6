"""What each method of `trivium pretrain gan` has where nothing is said.

Widths, rates and turns are those of the authors' programs but where a comment says otherwise; how much is done is
scaled. With ten thousand texts SeqGAN trained 120 epochs by likelihood, its discriminator 150, and played 200 rounds of
15 epochs, about 22 hours of one processor. Here likelihood training ends after twenty passes and leads to the weights
that were best on held-out text, the discriminator has hundreds of updates and not tens of thousands and a quarter of
the filters, and RelGAN plays 500 steps and not 2,000.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

MethodName = Literal["seqgan", "maligan", "textgan", "leakgan", "relgan", "coldgan"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """What a method has where nothing is said."""

    architecture: str
    """Of the generator."""
    width: int
    """Of the generator."""
    embedding_width: int | None = None
    """Of its embedding; null for the same."""
    likelihood_rate: float = 1e-2
    """Learning rate of the generator by maximum likelihood."""
    generator_rate: float = 1e-2
    """Its learning rate in the game."""
    discriminator_rate: float = 1e-4
    """That of the discriminator."""
    discriminator_steps: int = 100
    """Of the discriminator alone."""
    discriminator_updates: int = 5
    """In a step."""
    saturated: float = 0.98
    """Share of the texts about which a discriminator is right that waits; 1 for one that never does."""
    steps: int = 200
    """Of the game."""


WAYS: Mapping[MethodName, Way] = {
    # The authors' rate is 1e-2, at which a generator of few words repeats itself within 30 steps.
    "seqgan": Way(architecture="lstm", width=32, generator_rate=1e-3),
    "maligan": Way(architecture="lstm", width=32, generator_rate=1e-3),
    # The authors' rate is 1e-5, over batches of 256 and days.
    "textgan": Way(architecture="lstm", width=128, generator_rate=1e-4, discriminator_updates=1, steps=1000),
    # The authors' rate is 1.5e-3, one step of it to some thousands of the discriminator's.
    "leakgan": Way(
        architecture="leakgan", width=32, likelihood_rate=1.5e-3, generator_rate=2e-4, discriminator_rate=5e-5
    ),
    "relgan": Way(
        architecture="relational_memory",
        width=512,
        embedding_width=32,
        generator_rate=1e-4,
        discriminator_steps=0,
        # It sees soft tokens beside hard ones, and is right about nearly all while it has much to teach.
        saturated=1.0,
        steps=500,
    ),
    # The authors begin with a large pre-trained model; a rate between that and SeqGAN's.
    "coldgan": Way(architecture="lstm", width=32, generator_rate=1e-3),
}
"""By the name of the method."""

# At the LSTM's rate a T5 that learns to reverse words forgot its sources: in 60 steps held-out targets went from 0.55
# to 1.47 nats a token, and at a tenth of it from 0.43 to 0.40. What fits a source is harder to tell than what is real.
ON_PAIRS = Way(architecture="t5", width=64, likelihood_rate=3e-3, generator_rate=1e-4, discriminator_rate=1e-3)
"""Of coldgan with an encoder-decoder."""
