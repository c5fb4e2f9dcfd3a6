"""What all of OpenAI's endpoints that write text have in common: choices, the events of a stream, tokens."""

from collections.abc import Callable
from typing import Any

from trivium.generation.request import FinishReason
from trivium.lm.hosted.failure import MalformedReply, field, shortened
from trivium.lm.hosted.wire import Counted, Piece, Written, counted, finish_reason, told_error

FINISHED: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "failed"}


def streamed(body: dict[str, Any]) -> dict[str, Any]:
    """A request for the same answer as it comes, with its tokens counted at the end."""
    return body | {"stream": True, "stream_options": {"include_usage": True}}


def read_choices(reply: Any, choice: Callable[[Any], Written]) -> tuple[list[Written], Counted]:
    """What ``choice`` makes of each answer of a reply, and its tokens. Raises ``MalformedReply``."""
    choices = field(reply, "choices", kind=list)
    if not choices:
        raise MalformedReply("the service's reply holds no answer: choices is empty", received=shortened(str(reply)))
    return [choice(each) for each in choices], tokens(reply)


def read_piece(event: Any, text: Callable[[Any], str]) -> Piece:
    """What an event adds: of its first choice the ``text``, and why it ended. Raises ``ServiceError``."""
    if isinstance(event, dict) and event.get("error") is not None:
        raise told_error(event["error"])
    used = tokens(event)
    if not field(event, "choices", kind=list):  # the last one but [DONE] tells the tokens
        return Piece(counted=used)
    choice = field(event, "choices", 0, kind=dict)
    said = field(choice, "finish_reason", kind=str, optional=True)
    return Piece(
        text=text(choice),
        finish_reason=None if said is None else finish_reason(said, FINISHED, event),
        counted=used,
    )


def ended(choice: Any) -> FinishReason:
    """Why a whole answer ended. Raises ``MalformedReply``."""
    return finish_reason(field(choice, "finish_reason", kind=str, optional=True), FINISHED, choice)


def tokens(reply: Any) -> Counted:
    """What a reply of this family of protocols says of tokens."""
    usage = field(reply, "usage", kind=dict, optional=True)
    return counted(usage, ("prompt_tokens",), "completion_tokens")
