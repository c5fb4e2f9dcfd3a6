"""OpenAI's chat completions, which Gemini, Cohere, vLLM, Ollama and llama.cpp speak as well
(https://platform.openai.com/docs/api-reference/chat)."""

from typing import Any

from trivium.generation.request import FinishReason
from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.failure import MalformedReply, field, shortened
from trivium.lm.hosted.images import Image
from trivium.lm.hosted.providers import Provider
from trivium.lm.hosted.wire import Counted, Piece, Turns, Wire, Written, asked, counted, finish_reason, told_error

FINISHED: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "failed"}


def _body(model: str, turns: Turns, settings: GenerationSettings, provider: Provider, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": role, "content": _content(parts)} for role, parts in turns],
        provider.longest: settings.max_new_tokens,
        **asked(settings, provider),
    }
    if provider.logprobs and not stream:
        body["logprobs"] = True
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})


def _content(parts: Any) -> Any:
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)  # some servers read no lists
    return [
        {"type": "image_url", "image_url": {"url": part.data_uri}}
        if isinstance(part, Image)
        else {"type": "text", "text": part}
        for part in parts
    ]


def _read(reply: Any) -> tuple[list[Written], Counted]:
    choices = field(reply, "choices", kind=list)
    if not choices:
        raise MalformedReply("the service's reply holds no answer: choices is empty", received=shortened(str(reply)))
    return [_choice(choice) for choice in choices], tokens(reply)


def _choice(choice: Any) -> Written:
    ended = finish_reason(field(choice, "finish_reason", kind=str, optional=True), FINISHED, choice)
    # An answer that was refused, or cut off while the model still thought, may have no text.
    refusal = field(choice, "message", "refusal", kind=str, optional=True)
    text = field(choice, "message", "content", kind=str, optional=refusal is not None or ended != "stop")
    told = field(choice, "logprobs", "content", kind=list, optional=True) or []
    return Written(
        text=text if text is not None else refusal or "",
        finish_reason="failed" if text is None and refusal is not None else ended,
        logprobs=tuple(float(field(token, "logprob", kind=(int, float))) for token in told),
    )


def _piece(event: Any) -> Piece:
    if isinstance(event, dict) and event.get("error") is not None:
        raise told_error(event["error"])
    used = tokens(event)
    if not field(event, "choices", kind=list):  # the last one but [DONE] tells the tokens
        return Piece(counted=used)
    choice = field(event, "choices", 0, kind=dict)
    text = field(choice, "delta", "content", kind=str, optional=True)
    refusal = field(choice, "delta", "refusal", kind=str, optional=True)
    said = field(choice, "finish_reason", kind=str, optional=True)
    return Piece(
        text=text or refusal or "",
        finish_reason=None if said is None else finish_reason(said, FINISHED, event),
        counted=used,
    )


def tokens(reply: Any) -> Counted:
    """What a reply of this family of protocols says of tokens."""
    usage = field(reply, "usage", kind=dict, optional=True)
    return counted(usage, ("prompt_tokens",), "completion_tokens")


CHAT = Wire(path="chat/completions", body=_body, read=_read, piece=_piece)
