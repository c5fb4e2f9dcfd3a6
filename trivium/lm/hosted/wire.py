"""What a protocol is to the client: bodies out, replies and events in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivium.errors import TriviumError
from trivium.generation.request import FinishReason
from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.failure import MalformedReply, ServiceError, field, shortened
from trivium.lm.hosted.images import Image
from trivium.lm.hosted.providers import Provider

Turns = Sequence[tuple[str, Sequence[str | Image]]]
"""A conversation: (role, its texts and images) of each turn."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """One answer of a reply."""

    text: str
    """Its text."""
    finish_reason: FinishReason
    """Why it ended; "failed" where the service held the rest back."""
    logprobs: tuple[float, ...] = ()
    """Of its tokens, where the service tells them."""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Tokens as a reply counts them; None where it does not tell."""

    input: int | None = None
    """Read."""
    output: int | None = None
    """Written."""

    def updated(self, later: "Counted") -> "Counted":
        """As ``later`` says, where it says anything."""
        return Counted(
            input=self.input if later.input is None else later.input,
            output=self.output if later.output is None else later.output,
        )


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one event of a stream adds."""

    text: str = ""
    """To the answer."""
    finish_reason: FinishReason | None = None
    """Where the answer ends with it."""
    counted: Counted = Counted()
    """Where it tells the tokens so far."""
    last: bool = False
    """The protocol says that nothing comes after it."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One endpoint that writes text."""

    path: str
    """Below the service's address."""
    body: Callable[[str, Turns, GenerationSettings, Provider, bool], dict[str, Any]]
    """(model, turns, settings, provider, whether it is streamed) -> what is sent."""
    read: Callable[[Any], tuple[list[Written], Counted]]
    """A parsed reply -> its answers and tokens. Raises ``MalformedReply``."""
    piece: Callable[[Any], Piece]
    """A parsed event of a stream -> what it adds. Raises ``ServiceError`` for one that tells an error."""


def finish_reason(said: Any, known: Mapping[str, FinishReason], reply: Any) -> FinishReason:
    """Our word for why an answer ended. Raises ``MalformedReply`` for one that is none of the protocol's."""
    if isinstance(said, str) and said in known:
        return known[said]
    raise MalformedReply(
        "the service does not say why the answer ended",
        received=shortened(str(reply)),
        expected=f"one of {', '.join(known)}",
    )


def counted(usage: Any, reads: Sequence[str], writes: str) -> Counted:
    """The tokens of a ``usage`` object: the sum of ``reads``, and ``writes``; None of what is not told."""
    if usage is None:
        return Counted()
    read = [field(usage, name, kind=int, optional=True) for name in reads]
    told = [number for number in read if number is not None]
    output = field(usage, writes, kind=int, optional=True)
    if any(number < 0 for number in [*told, output or 0]):
        raise MalformedReply("the service counts fewer tokens than none", received=shortened(str(usage)))
    return Counted(input=sum(told) if told else None, output=output)


def told_error(error: Any) -> TriviumError:
    """An error that comes as an event, after the stream began well."""
    said = error.get("message") if isinstance(error, dict) else error
    kind = error.get("type") if isinstance(error, dict) else None
    return ServiceError(
        "the service broke its answer off",
        received=shortened(f"{kind}: {said}" if kind else str(said)),
        again=kind in ("overloaded_error", "api_error", "server_error", "rate_limit_error", "timeout_error"),
    )


def asked(settings: GenerationSettings, provider: Provider) -> dict[str, Any]:
    """The settings of an answer in the protocol's words, but for its length: what does nothing is left out."""
    given = {
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "min_p": settings.min_p,
        "typical_p": settings.typical_p,
        "repetition_penalty": settings.repetition_penalty if settings.repetition_penalty != 1 else None,
        "frequency_penalty": settings.frequency_penalty or None,
        "presence_penalty": settings.presence_penalty or None,
        "n": settings.n if settings.n > 1 else None,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    return {
        provider.takes[name]: value for name, value in given.items() if value is not None and name in provider.takes
    }
