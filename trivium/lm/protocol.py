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
from trivium.tokenizers.joined import Text

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


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What may stand in a blank."""

    text: str
    """As it is put into the text."""
    probability: float
    """How probable the model takes it to be there."""


@dataclass(frozen=True, kw_only=True)
class Blank:
    """A mask of a text, and what may stand there."""

    start: int
    """Place of the mask's first character in the text as it was given."""
    end: int
    """Place after its last character."""
    candidates: list[Candidate]
    """The best first; none where the model wrote nothing for this blank."""


@dataclass(frozen=True, kw_only=True)
class Filling:
    """A text whose masks are filled."""

    text: str
    """With the best candidate in each blank."""
    blanks: list[Blank]
    """In the order of the text."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a text says to a question."""

    text: str
    """The answer; empty where the text does not answer."""
    start: int | None
    """Place of its first character in the context; None where there is no answer, or it is not a part of the text."""
    end: int | None
    """Place after its last character."""
    probability: float
    """How probable the model takes it to be, among all that it could have answered."""


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Vectors of texts, and how much of each text is in them."""

    vectors: Float[Tensor, "N D"]
    """One a text, of length 1."""
    cut_tokens: list[int]
    """Tokens at the end of each text that were not read, for want of room."""


@runtime_checkable
class LanguageModel(Protocol):
    """A local checkpoint, an adapter on a shared base, a hosted model.

    What a model cannot do raises ``trivium.Unsupported``; ``capabilities`` tells beforehand: "logits",
    "generate", "stream", "chat", "score", "embed", "fill", "classify", "regress", "tag", "answer", "complete".
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

    def fill(self, text: str, *, top: int = 5) -> Filling:
        """The text with its masks filled, and the ``top`` candidates of each."""
        ...

    def classify(self, texts: Sequence[Text]) -> list[Label]:
        """The label of each text, or pair of texts, with the probability of every label."""
        ...

    def regress(self, texts: Sequence[Text]) -> list[float]:
        """The number that the model estimates of each text, or pair of texts."""
        ...

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[Tagging]:
        """A tag for each word, and the spans they mark; a text is cut into words, a list of words is taken as it is."""
        ...

    def answer(self, question: str, context: str, *, longest_answer: int = 30, no_answer: bool = False) -> Answer:
        """What ``context`` says to ``question``, in at most so many tokens; nothing only where ``no_answer`` may be."""
        ...

    def complete(self, prefix: str, suffix: str, **settings: Any) -> str:
        """What stands between ``prefix`` and ``suffix``."""
        ...
