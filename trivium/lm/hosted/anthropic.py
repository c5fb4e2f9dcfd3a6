"""Anthropic's messages (https://docs.claude.com/en/api/messages)."""

from typing import Any

from trivium.errors import Unsupported
from trivium.generation.request import FinishReason
from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.failure import MalformedReply, field, shortened
from trivium.lm.hosted.images import Image
from trivium.lm.hosted.providers import Provider
from trivium.lm.hosted.wire import Counted, Piece, Turns, Wire, Written, asked, counted, finish_reason, told_error

VERSION = "2023-06-01"
"""Of the protocol: every request names it."""

_FINISHED: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "failed",
}
# What was read from a cache, or put there, was read all the same.
_READ = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def _body(model: str, turns: Turns, settings: GenerationSettings, provider: Provider, stream: bool) -> dict[str, Any]:
    told = next((at for at, (role, _) in enumerate(turns) if role != "system"), len(turns))
    if any(role == "system" for role, _ in turns[told:]):
        raise Unsupported(
            "this protocol tells the model something before the conversation only",
            received="a system message after a user's or the assistant's",
            fix="put it first",
        )
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": settings.max_new_tokens,
        "messages": [{"role": role, "content": [_part(part) for part in parts]} for role, parts in turns[told:]],
        **asked(settings, provider),
    }
    if told:
        body["system"] = "\n\n".join("".join(str(part) for part in parts) for _, parts in turns[:told])
    if body.get("temperature") == 1:  # its own, and some models take no other setting beside one that is named
        del body["temperature"]
    return body | ({"stream": True} if stream else {})


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.base64}}


def _read(reply: Any) -> tuple[list[Written], Counted]:
    ended = finish_reason(field(reply, "stop_reason", kind=str, optional=True), _FINISHED, reply)
    blocks = field(reply, "content", kind=list)
    texts = [field(block, "text", kind=str) for block in blocks if field(block, "type", kind=str) == "text"]
    if not texts and ended == "stop" and blocks:
        raise MalformedReply("the service's reply holds no text", received=shortened(str(reply)))
    usage = field(reply, "usage", kind=dict, optional=True)
    return [Written(text="".join(texts), finish_reason=ended)], counted(usage, _READ, "output_tokens")


def _piece(event: Any) -> Piece:
    kind = field(event, "type", kind=str)
    if kind == "error":
        raise told_error(event.get("error"))
    if kind == "content_block_delta" and field(event, "delta", "type", kind=str) == "text_delta":
        return Piece(text=field(event, "delta", "text", kind=str))
    if kind == "message_start":
        usage = field(event, "message", "usage", kind=dict, optional=True)
        return Piece(counted=counted(usage, _READ, "output_tokens"))
    if kind == "message_delta":
        said = field(event, "delta", "stop_reason", kind=str, optional=True)
        usage = field(event, "usage", kind=dict, optional=True)
        return Piece(
            finish_reason=None if said is None else finish_reason(said, _FINISHED, event),
            counted=Counted(output=counted(usage, (), "output_tokens").output),
        )
    return Piece(last=kind == "message_stop")  # pings, the edges of blocks, and what later versions add


MESSAGES = Wire(path="messages", body=_body, read=_read, piece=_piece)
