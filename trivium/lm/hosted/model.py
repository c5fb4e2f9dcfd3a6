"""``HostedModel``: a model that is reached as a service."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.errors import DataError, Unsupported
from trivium.generation.request import FinishReason
from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.anthropic import MESSAGES
from trivium.lm.hosted.asking import generation_of, one_answer_each, require, settings_of, texts_of, turns_of
from trivium.lm.hosted.client import Client, estimated
from trivium.lm.hosted.clock import Clock
from trivium.lm.hosted.in_order import in_order
from trivium.lm.hosted.openai_chat import CHAT
from trivium.lm.hosted.openai_completions import COMPLETIONS, read_score, score_body
from trivium.lm.hosted.openai_embeddings import TEXTS_AT_ONCE, embeddings_body, read_vectors
from trivium.lm.hosted.providers import Protocol
from trivium.lm.hosted.service import Service
from trivium.lm.hosted.spending import Usage
from trivium.lm.hosted.wire import Piece, Turns, Wire, Written
from trivium.lm.protocol import Answer, Embeddings, Filling, Generation, Label, Prompts, Score, Tagging
from trivium.lm.purpose import Purpose
from trivium.templates import Message
from trivium.tokenizers.joined import Text

_CHATS: dict[Protocol, Wire] = {"openai": CHAT, "anthropic": MESSAGES}


@dataclasses.dataclass(kw_only=True, eq=False)
class Growing:
    """An answer of a service as it comes. It has no ids: the service keeps them."""

    pieces: list[str] = dataclasses.field(default_factory=list)
    """The text so far."""
    finish_reason: FinishReason | None = None
    """Why it ended; None before that."""
    prompt: tuple[int, ...] = ()
    """None are known."""
    token_ids: tuple[int, ...] = ()
    """None are known."""


class HostedModel:
    """A ``LanguageModel`` behind an address; ``trivium.load("openai:MODEL")`` makes one.

    It takes and gives texts: it has no network, no tokenizer and no ids. ``config`` are the settings of the service.
    ``generate`` continues a text where the service has an endpoint for that; else the text is a user's turn, and what
    comes is the answer to it. Decoding is greedy unless it is asked otherwise, but for models that take no temperature.
    A setting that the service does not take is refused. Requests go out from ``config.concurrency`` threads at most.

    Raises ``ConfigError`` where the key is missing, ``Unsupported`` without an HTTP client (the extra "hosted").
    """

    network: Any = None
    tokenizer: Any = None

    def __init__(self, service: Service, *, clock: Clock | None = None) -> None:
        self.config: Any = service
        self.capabilities = service.published.can
        self.generation = generation_of(service)
        """What stands in place of ``generation_config.json``."""
        self.purpose: Purpose | None = purpose_of_service(service)
        self._service = service
        self._client = Client(service, clock or Clock())

    def __repr__(self) -> str:
        return f"HostedModel({self._service.name} at {self._service.url})"

    @property
    def usage(self) -> Usage:
        """Requests, tokens and, where prices were stated, the cost of all that was asked of this object."""
        return self._client.usage

    # Text ------------------------------------------------------------------------------------------------------------

    def generate(self, prompts: Prompts, *, max_new_tokens: int, **settings: Any) -> list[Generation]:
        """Answers to each text, in order; with ``n`` above 1, ``n`` in a row for each.

        Raises ``Unsupported`` for settings the service does not take, ``ServiceError`` where one answer cannot be had.
        """
        return list(self.answers(prompts, max_new_tokens=max_new_tokens, **settings))

    def answers(self, prompts: Prompts, *, max_new_tokens: int, **settings: Any) -> Iterator[Generation]:
        """What ``generate`` gives, each as soon as those before it are there."""
        self._require("generate")
        effective = self.settings(max_new_tokens=max_new_tokens, **settings)
        turns: list[Turns] = [[("user", [text])] for text in texts_of(prompts)]
        wire = COMPLETIONS if self._service.published.continues else self._chats
        return self._answered(wire, turns, effective)

    def settings(self, *, max_new_tokens: int, **arguments: Any) -> GenerationSettings:
        """The effective settings of a call. Raises as ``generate`` does."""
        return settings_of(self._service, max_new_tokens=max_new_tokens, **arguments)

    def stream(self, prompt: str | Sequence[int], *, max_new_tokens: int, **settings: Any) -> Iterator[str]:
        """The text of one answer in pieces, as it comes."""
        return _texts(*self.follow(prompt, max_new_tokens=max_new_tokens, **settings))

    def follow(
        self, prompt: str | Sequence[int], *, max_new_tokens: int, **settings: Any
    ) -> tuple[Growing, Iterator[None]]:
        """One answer in the making, and the steps that make it."""
        self._require("stream")
        effective = self._streamed(max_new_tokens, settings)
        (text,) = texts_of([prompt])
        wire = COMPLETIONS if self._service.published.continues else self._chats
        return self._followed(wire, [("user", [text])], effective)

    def chat(self, messages: Sequence[Message], *, max_new_tokens: int = 256, **settings: Any) -> Generation:
        """The assistant's next turn after ``messages``, whose content is a text or, for models that read images, a list
        of parts; see ``trivium.lm.hosted.asking.turns_of``."""
        self._require("chat")
        effective = self.settings(max_new_tokens=max_new_tokens, **settings)
        return next(self._answered(self._chats, [turns_of(self._service, messages)], effective))

    def follow_chat(
        self, messages: Sequence[Message], *, max_new_tokens: int = 256, **settings: Any
    ) -> tuple[Growing, Iterator[None]]:
        """``chat``, as it comes, or all at once from a service that does not stream: the answer in the making, and the
        steps that make it."""
        self._require("chat")
        effective = self._streamed(max_new_tokens, settings)
        return self._followed(self._chats, turns_of(self._service, messages), effective)

    def score(self, pairs: Sequence[tuple[str, str]], *, method: Literal["causal", "pseudo"] = "causal") -> list[Score]:
        """How probable each continuation is after its context, where the service echoes probabilities."""
        self._require("score")
        if method != "causal":
            raise Unsupported(
                f"{self._service.name} cannot be scored this way",
                received=f"method={method!r}",
                expected="method='causal'",
            )
        asked = [
            (context, continuation, score_body(self._service.model, context, continuation))
            for context, continuation in pairs
        ]

        def scored(one: tuple[str, str, dict[str, Any]]) -> Score:
            context, continuation, body = one
            read = functools.partial(read_score, context=context, continuation=continuation)
            return self._client.send(COMPLETIONS.path, body, read, estimated([("user", [context, continuation])]))

        return list(in_order(scored, asked, threads=self._service.concurrency))

    def embed(self, texts: Sequence[str]) -> Float[Tensor, "N D"]:
        """A vector of length 1 for each text."""
        return self.embeddings(texts).vectors

    def embeddings(self, texts: Sequence[str]) -> Embeddings:
        """What ``embed`` gives. A service refuses a text that is too long, or does not tell that it cut it."""
        self._require("embed")
        if isinstance(texts, str):
            raise DataError("embed takes several texts", received="one text", fix="embed([text])")
        parts = [texts[at : at + TEXTS_AT_ONCE] for at in range(0, len(texts), TEXTS_AT_ONCE)]

        def vectors_of(part: Sequence[str]) -> Tensor:
            read = functools.partial(read_vectors, count=len(part))
            body = embeddings_body(self._service.model, part)
            return self._client.send("embeddings", body, read, estimated([("user", part)]))

        found = list(in_order(vectors_of, parts, threads=self._service.concurrency))
        return Embeddings(vectors=torch.cat(found) if found else torch.empty(0, 0), cut_tokens=[0] * len(texts))

    # What no service has ---------------------------------------------------------------------------------------------

    def logits(
        self,
        ids: Int[Tensor, "B T"],
        decoder_ids: Int[Tensor, "B U"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B _ V"]:
        """Not of a service."""
        self._refuse("logits")

    def fill(self, text: str, *, top: int = 5) -> Filling:
        """Not of a service."""
        self._refuse("fill")

    def classify(self, texts: Sequence[Text]) -> list[Label]:
        """Not of a service."""
        self._refuse("classify")

    def regress(self, texts: Sequence[Text]) -> list[float]:
        """Not of a service."""
        self._refuse("regress")

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[Tagging]:
        """Not of a service."""
        self._refuse("tag")

    def answer(self, question: str, context: str, *, longest_answer: int = 30, no_answer: bool = False) -> Answer:
        """Not of a service."""
        self._refuse("answer")

    def complete(self, prefix: str, suffix: str, **settings: Any) -> str:
        """Not of a service."""
        self._refuse("complete")

    # Inside ----------------------------------------------------------------------------------------------------------

    @property
    def _chats(self) -> Wire:
        return _CHATS[self._service.published.protocol]

    def _streamed(self, max_new_tokens: int, settings: dict[str, Any]) -> GenerationSettings:
        effective = self.settings(max_new_tokens=max_new_tokens, **settings)
        if effective.n != 1:
            raise DataError("a stream is one answer", received=f"n={effective.n}", fix="leave n out, or use generate")
        return effective

    def _answered(self, wire: Wire, asked: Sequence[Turns], settings: GenerationSettings) -> Iterator[Generation]:
        questions = [(turns, each) for turns in asked for each in one_answer_each(self._service, settings)]

        def answered(question: tuple[Turns, GenerationSettings]) -> list[Written]:
            return self._client.ask(wire, *question)

        for (_, effective), written in zip(
            questions, in_order(answered, questions, threads=self._service.concurrency), strict=True
        ):
            for one in written:
                yield Generation(
                    text=one.text,
                    token_ids=[],
                    logprobs=list(one.logprobs),
                    finish_reason=one.finish_reason,
                    settings=dataclasses.replace(effective, n=settings.n),
                )

    def _followed(self, wire: Wire, turns: Turns, settings: GenerationSettings) -> tuple[Growing, Iterator[None]]:
        grown = Growing()

        def steps() -> Iterator[None]:
            for piece in self._pieces(wire, turns, settings):
                if piece.text:
                    grown.pieces.append(piece.text)
                grown.finish_reason = piece.finish_reason or grown.finish_reason
                yield

        return grown, steps()

    def _pieces(self, wire: Wire, turns: Turns, settings: GenerationSettings) -> Iterator[Piece]:
        if "stream" in self.capabilities:
            yield from self._client.stream(wire, turns, settings)
            return
        (whole,) = self._client.ask(wire, turns, settings)
        yield Piece(text=whole.text, finish_reason=whole.finish_reason)

    def _require(self, capability: str) -> None:
        require(self._service, capability)

    def _refuse(self, capability: str) -> NoReturn:
        require(self._service, capability)
        raise AssertionError(f"no service can {capability}")


def purpose_of_service(service: Service) -> Purpose | None:
    """What a service is for beside continuing texts: those that do nothing else embed."""
    return "embedding" if service.published.can == {"embed"} else None


def _texts(grown: Growing, steps: Iterator[None]) -> Iterator[str]:
    shown = 0
    for _ in steps:
        yield from grown.pieces[shown:]
        shown = len(grown.pieces)
