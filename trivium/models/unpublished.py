"""Models that people name and nobody can build, because their networks were never published: what is known of them.

Nothing here imports torch. What is known is what their makers wrote; rumours of sizes are left out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Unpublished:
    """One model that is not in the table of architectures, and why."""

    name: str
    """The name people use."""
    year: int
    """Year in which it was announced."""
    developer: str
    """Who made it."""
    kind: str
    """What it is, as far as its makers said."""
    source: str
    """Where they said it."""
    not_published: str
    """What one would need to build it."""
    service: str | None
    """The provider that a hosted model is asked of, ``PROVIDER:MODEL``; None where there is none, or none any more."""
    stand_in: str | None = None
    """The nearest that was published, a size of an architecture here."""


UNPUBLISHED: tuple[Unpublished, ...] = (
    Unpublished(
        name="WuDao 2.0",
        year=2021,
        developer="Beijing Academy of Artificial Intelligence",
        kind="mixture of experts that reads and writes text and pictures, 1.75 trillion parameters",
        source="announcement of June 2021; how its experts are trained: He et al. 2021, FastMoE",
        not_published="the network's shape, its weights",
        service=None,
        stand_in="glm-10b",
    ),
    Unpublished(
        name="GPT-4",
        year=2023,
        developer="OpenAI",
        kind="Transformer that predicts the next token, reads text and pictures",
        source="OpenAI 2023, GPT-4 Technical Report, section 2",
        not_published="architecture, size, data, training, weights",
        service="openai",
    ),
    Unpublished(
        name="Claude",
        year=2023,
        developer="Anthropic",
        kind="language model, aligned with preferences of people and of models",
        source="Anthropic's model cards; how it is aligned: Bai et al. 2022, Constitutional AI",
        not_published="architecture, size, data, weights",
        service="anthropic",
    ),
    Unpublished(
        name="Jurassic-2",
        year=2023,
        developer="AI21 Labs",
        kind="language model that completes text, in three sizes",
        source="AI21's documentation",
        not_published="architecture, sizes, data, weights",
        service=None,
    ),
    Unpublished(
        name="PaLM 2",
        year=2023,
        developer="Google",
        kind="Transformer, trained with a mixture of objectives after UL2",
        source="Anil et al. 2023, PaLM 2 Technical Report, section 1",
        not_published="architecture, sizes, weights",
        service=None,
    ),
    Unpublished(
        name="Gemini",
        year=2023,
        developer="Google DeepMind",
        kind="decoder that reads text, pictures, sound and film; since 1.5 a mixture of experts",
        source="Gemini Team 2023, section 2; Gemini Team 2024, Gemini 1.5",
        not_published="depth, width, experts, weights; sizes but for Nano's 1.8 and 3.25 billion",
        service="gemini",
    ),
)
"""In the order of their announcement."""
