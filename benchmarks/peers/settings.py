"""What both sides of `benchmarks/alignment.py` do in a step, and what they say of it."""

import dataclasses
import statistics

import torch
from torch import Tensor

from trivium.models.gpt2 import GPT2Config
from trivium.runtime.memory import peak_mib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What both sides do in a step."""

    model: GPT2Config = dataclasses.field(
        default_factory=lambda: GPT2Config(vocabulary_size=8192, width=384, layers=6, heads=6, context_tokens=256)
    )
    """Of the policy, and of every other network there is."""
    prompts: int
    """Prompts of a step."""
    answers: int
    """Answers to each."""
    prompt_tokens: int = 32
    """Length of every prompt."""
    answer_tokens: int = 64
    """Length of every answer."""
    epochs: int
    """Passes over the answers, one update each."""
    kl_weight: float
    """Of the divergence from the reference."""
    temperature: float = 1.0
    """Of sampling."""
    learning_rate: float = 1e-5
    """Of AdamW."""
    warm_up: int = 1
    """Steps before those that count; the first makes the optimiser's state."""
    steps: int = 5
    """Steps that count."""

    @property
    def rows(self) -> int:
        """Texts of a step."""
        return self.prompts * self.answers


def prompt_ids(settings: Settings) -> Tensor:
    """As many prompts as all steps take, [N, prompt_tokens]."""
    count = settings.prompts * (settings.warm_up + settings.steps)
    draws = torch.Generator().manual_seed(0)
    return torch.randint(settings.model.vocabulary_size, (count, settings.prompt_tokens), generator=draws)


def measured(settings: Settings, seconds: list[float]) -> dict[str, float]:
    """Of one process, from the times of its steps, warmed up."""
    assert len(seconds) == settings.steps, f"{len(seconds)} steps were timed"
    step = statistics.median(seconds)
    tokens = settings.rows * settings.answer_tokens
    return {"step_s": step, "tokens_per_s": tokens / step, "peak_rss_mib": peak_mib()}
