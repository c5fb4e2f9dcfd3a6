"""``LanguageModel``: all that evaluation, prompting, retrieval and serving know of a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.generation.request import FinishReason
from trivium.generation.settings import GenerationSettings
from trivium.templates import Message
from trivium.tokenizers import Tokenizer

Prompts = str | Sequence[int] | Sequence[str] | Sequence[Sequence[int]]
"""One text or its ids, or several of either."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One answer."""

    text: str
    """The new text, without its stop text; empty for a model without a tokenizer."""
    token_ids: list[int]
    """The new tokens, the end token included where it was chosen."""
    logprobs: list[float]
    """Natural log-probability of each new token, in the model's own distribution (before temperature, top-k, top-p)."""
    finish_reason: FinishReason
    """"stop": an end token or a stop text; "length": max_new_tokens; of a cancelled request "cancelled"."""
    settings: GenerationSettings
    """The effective settings."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How probable a continuation is after its context."""

    logprob: float
    """Natural log-probability of the whole continuation (of its pseudo-likelihood under a masked model)."""
    is_greedy: bool
    """Every token of it is the most probable one."""
    tokens: int
    """Tokens of the continuation, each scored once."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """What a text is taken for."""

    label: str
    """The most probable label."""
    probability: float
    """How probable the model takes it to be."""
    probabilities: dict[str, float]
    """The probability of every label that the model knows, in the order of its classes; they sum to 1."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of a text with a label: a name, a place."""

    label: str
    """What it is."""
    start: int
    """Place of its first character in the text."""
    end: int
    """Place after its last character."""
    text: str
    """The characters themselves."""


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """The words of a text with a tag each, and the spans that the tags mark."""

    words: list[str]
    """As they were given, or as the text was cut."""
    tags: list[str]
    """One for each word."""
    spans: list[Span]
    """In order. Of words that were given, the text is the words with a space between each two."""


@runtime_checkable
class LanguageModel(Protocol):
    """A local checkpoint, an adapter on a shared base, a hosted model.

    What a model cannot do raises ``trivium.Unsupported``; ``capabilities`` tells beforehand: "logits",
    "generate", "stream", "chat", "score", "embed", "fill", "classify", "tag", "answer", "complete".
    """

    network: nn.Module
    tokenizer: Tokenizer | None
    config: Any
    capabilities: frozenset[str]

    def logits(
        self,
        ids: Int[Tensor, "B T"],
        decoder_ids: Int[Tensor, "B U"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B _ V"]:
        """Unnormalised log-probabilities at every position of ``ids``, of ``decoder_ids`` for an encoder-decoder."""
        ...

    def generate(self, prompts: Prompts, *, max_new_tokens: int, **settings: Any) -> list[Generation]:
        """Answers to each prompt, in order; with ``n`` above 1, ``n`` in a row for each."""
        ...

    def stream(self, prompt: str | Sequence[int], *, max_new_tokens: int, **settings: Any) -> Iterator[str]:
        """The text of one answer as it grows."""
        ...

    def chat(self, messages: Sequence[Message], *, max_new_tokens: int, **settings: Any) -> Generation:
        """The next turn of a conversation."""
        ...

    def score(self, pairs: Sequence[tuple[str, str]], *, method: Literal["causal", "pseudo"] = "causal") -> list[Score]:
        """How probable each continuation is after its context: pairs of (context, continuation)."""
        ...

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        """A vector of length 1 for each text."""
        ...

    def fill(self, text: str) -> str:
        """The text with its masks filled."""
        ...

    def classify(self, texts: Sequence[str]) -> list[Label]:
        """The label of each text, with the probability of every label."""
        ...

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[Tagging]:
        """A tag for each word, and the spans they mark; a text is cut into words, a list of words is taken as it is."""
        ...

    def answer(self, question: str, context: str) -> Any:
        """The span of ``context`` that answers ``question``."""
        ...

    def complete(self, prefix: str, suffix: str) -> str:
        """What stands between ``prefix`` and ``suffix``."""
        ...
